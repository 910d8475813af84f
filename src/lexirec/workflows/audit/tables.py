"""An audit for people: findings the worst first, then what was and what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lexirec.workflows.audit.findings import SEVERITIES, Audit, Finding, percent

_STYLES = {"leak": "bold red", "distortion": "yellow", "note": "cyan"}
_SHOWN = 120


def tables(audit: Audit) -> Iterator[RenderableType]:
    """Lay out the findings, and say what was not looked at; the verdict comes last, where it is read first."""
    table = Table(title=f"audit of {audit.experiment}", title_justify="left", box=box.SIMPLE_HEAD, show_lines=True)
    table.add_column("finding")
    table.add_column("what, what it does, what to do", overflow="fold")
    for each in audit.findings:
        table.add_row(_head(each), _body(each))
    if audit.findings:
        yield table
    reasons: dict[str, list[str]] = {}
    for name, why in audit.not_looked_at.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        yield Text(f"not looked at: {_short(names)}: {why}", style="dim")
    yield Text(verdict(audit))


def verdict(audit: Audit) -> str:
    """Say in one line what came out."""
    counts = audit.counts
    words = [f"{counts[name]} {name if counts[name] == 1 else f'{name}s'}" for name in SEVERITIES]
    return f"{', '.join(words)}; {len(audit.asked)} checks made in {audit.seconds:.0f} s"


def _head(each: Finding) -> Text:
    head = Text(each.severity, style=_STYLES[each.severity])
    head.append(f"\n{each.check}", style="default")
    if each.share:
        head.append(f"\n{percent(each.share)} of cases", style="dim")
    return head


def _body(each: Finding) -> Text:
    body = Text(each.found)
    for title, text in (("effect: ", each.effect), ("do: ", each.advice), ("such as: ", "; ".join(each.examples))):
        if text:
            body.append(f"\n{title}", style="dim")
            body.append(text)
    return body


def _short(names: list[str]) -> str:
    told = ", ".join(names)
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN].rpartition(', ')[0]} … ({len(names)} in all)"
