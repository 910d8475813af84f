"""Findings of an audit, checks that were skipped, and their terminal tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lexirec.workflows.audit.shortcuts import Shortcuts

Severity = Literal["leak", "distortion", "note"]
"""leak: held-out data reached training, inputs or model selection. distortion: figures are biased. note: a property of
the protocol that readers of the figures should know."""
SEVERITIES: tuple[Severity, ...] = ("leak", "distortion", "note")


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        severity: Its severity.
        found: The finding, with counts.
        effect: Direction of its effect on the figures, with the size where it can be computed.
        advice: What to do.
        share: Share of affected test cases; None where cases are not affected individually.
        examples: Two or three affected cases, by ids.
        check: Name of the check.
    """

    severity: Severity
    found: str
    effect: str
    advice: str
    share: float | None = None
    examples: tuple[str, ...] = ()
    check: str = ""


class NotLookedError(Exception):
    """A check cannot run; the message is the reason shown in the audit."""


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        experiment: Name of the experiment.
        findings: Ordered by severity, then by share of affected cases.
        asked: Check -> its question, for all checks that ran.
        not_looked_at: Check -> why it did not run, or only in part.
        seconds: Duration.
        stages: Stage -> folder of the artifact that was audited.
        shortcuts: What counting finds within the training part; None where the check `shortcuts` did not run.
    """

    experiment: str
    findings: Sequence[Finding]
    asked: Mapping[str, str]
    not_looked_at: Mapping[str, str]
    seconds: float = 0.0
    stages: Mapping[str, str] = field(default_factory=dict)
    shortcuts: Shortcuts | None = None

    @property
    def counts(self) -> dict[Severity, int]:
        """Number of findings by severity."""
        return {severity: sum(each.severity == severity for each in self.findings) for severity in SEVERITIES}

    def at_least(self, severity: Severity) -> bool:
        """Whether there is a finding of this severity or worse."""
        bad = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return any(each.severity in bad for each in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the audit as plain JSON values, as `lexirec audit --json` prints it."""
        return {
            "experiment": self.experiment,
            "counts": self.counts,
            "findings": [asdict(each) for each in self.findings],
            "asked": dict(self.asked),
            "not_looked_at": dict(self.not_looked_at),
            "stages": dict(self.stages),
            "shortcuts": None if self.shortcuts is None else self.shortcuts.as_json(),
            "seconds": self.seconds,
        }


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Order findings by severity, then by share of affected cases."""
    return sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), -(each.share or 0.0)))


def percent(share: float) -> str:
    """Format a share in percent, with one decimal, or two where it is small."""
    return f"{share:.1%}" if share >= 0.01 or share == 0 else f"{share:.2%}"


# ----------------------------------------------------------------------------------------------------- terminal tables

_STYLES = {"leak": "bold red", "distortion": "yellow", "note": "cyan"}
_SHOWN = 120


def tables(audit: Audit) -> Iterator[RenderableType]:
    """Yield the tables of findings and of shortcut figures, the skipped checks with reasons, and last the verdict."""
    table = Table(title=f"audit of {audit.experiment}", title_justify="left", box=box.SIMPLE_HEAD, show_lines=True)
    table.add_column("severity, check")
    table.add_column("finding, effect, advice", overflow="fold")
    for each in audit.findings:
        table.add_row(_head(each), _body(each))
    if audit.findings:
        yield table
    if audit.shortcuts is not None:
        yield _shortcuts(audit.shortcuts)
    reasons: dict[str, list[str]] = {}
    for name, why in audit.not_looked_at.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        yield Text(f"skipped: {_short(names)}: {why}", style="dim")
    yield Text(verdict(audit))


def _shortcuts(shortcuts: Shortcuts) -> Table:
    title = f"can counting solve these data? {shortcuts.verdict()}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for head in ("figure", "value", "compared with", "meaning"):
        table.add_column(head, justify="right" if head == "value" else "left", overflow="fold")
    for each in shortcuts.figures.values():
        style = "yellow" if each.shortcut else ""
        table.add_row(Text(each.name, style), Text(figure_text(each.value)), each.reference, each.meaning)
    table.caption = f"measured on the last events of {shortcuts.cases:,} training rows; no held-out event is read"
    table.caption_justify = "left"
    return table


def figure_text(value: float) -> str:
    """Format a share or a ratio with three decimals, a larger number with one."""
    return f"{value:,.1f}" if value >= 2 else f"{value:.3f}"


def verdict(audit: Audit) -> str:
    """Return the counts of findings and checks in one line."""
    counts = audit.counts
    words = [f"{counts[name]} {name if counts[name] == 1 else f'{name}s'}" for name in SEVERITIES]
    return f"{', '.join(words)}; {len(audit.asked)} checks ran in {audit.seconds:.0f} s"


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
    listed = ", ".join(names)
    return listed if len(listed) <= _SHOWN else f"{listed[:_SHOWN].rpartition(', ')[0]} … ({len(names)} in all)"
