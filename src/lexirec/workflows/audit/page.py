"""An audit as a page: findings, shortcut figures and what was skipped, written as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lexirec.reporting.html import page_html
from lexirec.reporting.page import Block, Bullets, Cell, Grid, Heading, Page, Tone
from lexirec.workflows.audit.findings import Audit, Finding, Severity, figure_text, percent, verdict
from lexirec.workflows.audit.shortcuts import Shortcuts

_TONES: Mapping[Severity, Tone] = {"leak": "bad", "distortion": "strong", "note": ""}


def audit_page(audit: Audit) -> Page:
    """Return the audit as a page."""
    return Page(f"Audit of {audit.experiment}", f"{verdict(audit)}.", [*_blocks(audit)])


def write_page(audit: Audit, path: Path) -> None:
    """Write the audit as one HTML file that needs nothing beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_html(audit_page(audit)), encoding="utf-8")


def _blocks(audit: Audit) -> Iterator[Block]:
    if audit.findings:
        yield Heading("Findings")
        rows = [_row(each) for each in audit.findings]
        yield Grid(("severity, check", "finding", "effect", "what to do"), rows, words=4)
    if audit.shortcuts is not None:
        yield Heading("Can counting solve these data?")
        yield _figures(audit.shortcuts)
    yield Heading("Checks")
    yield Bullets([f"{name}: {question}" for name, question in audit.asked.items()])
    if audit.not_looked_at:
        yield Heading("Skipped")
        yield Bullets([f"{name}: {why}" for name, why in audit.not_looked_at.items()])


def _row(finding: Finding) -> tuple[Cell, ...]:
    share = f", {percent(finding.share)} of cases" if finding.share else ""
    return (
        Cell(finding.severity, f"{finding.check}{share}", _TONES[finding.severity]),
        Cell(finding.found, "; ".join(finding.examples)),
        Cell(finding.effect),
        Cell(finding.advice),
    )


def _figures(shortcuts: Shortcuts) -> Grid:
    rows = [
        (Cell(each.name, tone="strong" if each.shortcut else ""), each.meaning, each.reference, figure_text(each.value))
        for each in shortcuts.figures.values()
    ]
    note = (
        f"{shortcuts.verdict()}. Measured on the last events of {shortcuts.cases:,} training rows; no held-out event "
        "is read (arXiv 2605.07125 names the structures)."
    )
    return Grid(("figure", "meaning", "compared with", "value"), rows, note, words=3)
