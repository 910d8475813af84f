"""Write the report of a study, and build its terminal tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from lexirec.core.store import Store
from lexirec.evaluation.bootstrap import STANDARD
from lexirec.evaluation.verdicts import FEW_SEEDS, enough
from lexirec.reporting.content import number, seen_in_words
from lexirec.reporting.forest import p_text, signed
from lexirec.reporting.markdown import write_page
from lexirec.workflows.studies.collect import gather, write_table
from lexirec.workflows.studies.design import Study
from lexirec.workflows.studies.findings import Finding, find
from lexirec.workflows.studies.page import study_page
from lexirec.workflows.studies.plan import StudyPlan, duration
from lexirec.workflows.studies.run import Outcome, write_traces

FOLDER = "studies"
"""Default folder of reports, below the store."""


def report_study(outcome: Outcome, folder: str | Path) -> list[Finding]:
    """Write `report.html`, `report.md` with its figures and `runs.parquet`; traces of failures into `failures/`.

    Returns:
        The findings, one per row.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    results = gather(outcome)
    findings = find(outcome.study.settings, results)
    write_table(outcome.study, results, target)
    write_traces(outcome, target)
    write_page(target, study_page(outcome, findings))
    return findings


def report_folder(study: Study, store: Store, chosen: Path | None) -> Path:
    """Return the folder of a study's report."""
    return chosen or store.root / FOLDER / study.settings.name


# ------------------------------------------------------------------------------------------------- for the terminal


def plan_table(plan: StudyPlan) -> Table:
    """Table of a study's stages by kind: total, done, shared, to do, and expected time."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=plan.summary(), caption_justify="left")
    for name in ("stage", "total", "done", "shared", "to do", "expected"):
        table.add_column(name, justify="left" if name == "stage" else "right", overflow="fold")
    for kind in dict.fromkeys(stage.stage.kind for stage in plan.stages.values()):
        some = [stage for stage in plan.stages.values() if stage.stage.kind == kind]
        to_do = [stage for stage in some if stage.state != "done"]
        known = [stage.seconds for stage in to_do if stage.seconds is not None]
        expected = "" if not to_do else duration(sum(known)) if known else "unknown"
        counts = len(some), len(some) - len(to_do), sum(stage.runs > 1 for stage in some), len(to_do)
        table.add_row(kind, *(f"{count:,}" for count in counts), expected)
    return table


def findings_table(findings: Sequence[Finding], metrics: Sequence[str]) -> Table:
    """Table of findings with seen items as in the headline; green is shown to be above, red below."""
    headline = {each.data: each.seen for each in reversed(findings)}
    rows = [each for each in findings if each.seen == headline[each.data]]
    title = seen_in_words(rows[0].seen) if rows else ""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title, title_justify="left")
    table.add_column("row", overflow="fold")
    for name in (*metrics, "difference", "p (Holm)"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("outcome", overflow="fold")
    if not all(enough(each.seeds) for each in rows if each.difference is not None):
        table.caption, table.caption_justify = Text(FEW_SEEDS), "left"
    for each in rows:
        values = [number(each.estimates[metric].value) if metric in each.estimates else "–" for metric in metrics]
        found = each.verdict(STANDARD.level)
        style = {"above": "green", "below": "red"}.get(found, "")
        change = "" if each.difference is None else signed(each.difference.value)
        p = "" if each.adjusted is None else p_text(each.adjusted)
        name = f"{each.data}: {each.label}" if each.data else each.label
        outcome = Text("" if each.difference is None else found, style)
        table.add_row(Text(name, "bold" if each.reference else ""), *values, Text(change, style), p, outcome)
    return table
