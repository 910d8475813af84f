"""What an audit finds, and what it did not look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

Severity = Literal["leak", "distortion", "note"]
"""leak: something learned, read or chosen knows what is asked for. distortion: figures are not what they seem to be.
note: a property of the protocol that a reader of the figures should know."""
SEVERITIES: tuple[Severity, ...] = ("leak", "distortion", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: How bad it is.
        found: What was found, with counts.
        effect: What it does to the figures, in which direction, and how much where that can be computed.
        advice: What to do about it.
        share: Share of the test cases it touches; None where that is not a matter of cases.
        examples: Two or three of them, by ids.
        check: Name of the check that found it.
    """

    severity: Severity
    found: str
    effect: str
    advice: str
    share: float | None = None
    examples: tuple[str, ...] = ()
    check: str = ""


class NotLookedError(Exception):
    """A check cannot be made; the message says why, in words for the reader of the audit."""


@dataclass(frozen=True)
class Audit:
    """All that an audit found.

    Attributes:
        experiment: What was looked at.
        findings: The worst first; of one severity those first that touch most cases.
        asked: Check -> the question it answers, of all checks that were made.
        not_looked_at: Check -> why it was not made, or not wholly.
        seconds: How long it took.
    """

    experiment: str
    findings: Sequence[Finding]
    asked: Mapping[str, str]
    not_looked_at: Mapping[str, str]
    seconds: float = 0.0
    stages: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        return {severity: sum(each.severity == severity for each in self.findings) for severity in SEVERITIES}

    def at_least(self, severity: Severity) -> bool:
        """Say whether something as bad as that was found."""
        bad = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return any(each.severity in bad for each in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return what `lexirec audit --json` prints; JSON values only."""
        return {
            "experiment": self.experiment,
            "counts": self.counts,
            "findings": [asdict(each) for each in self.findings],
            "asked": dict(self.asked),
            "not_looked_at": dict(self.not_looked_at),
            "stages": dict(self.stages),
            "seconds": self.seconds,
        }


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings the worst first, then by the share of cases they touch."""
    return sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), -(each.share or 0.0)))


def percent(share: float) -> str:
    """Write a share in percent, with one digit, or two where it is small."""
    return f"{share:.1%}" if share >= 0.01 or share == 0 else f"{share:.2%}"


# --------------------------------------------------------------------------------------------------------------- tables
# An audit for people: findings the worst first, then what was and what was not looked at.


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
