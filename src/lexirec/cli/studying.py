"""What the command `study` does and prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lexirec.cli.output import put
from lexirec.core.store import Store
from lexirec.workflows.studies.design import load_study
from lexirec.workflows.studies.plan import plan_study
from lexirec.workflows.studies.report import findings_table, plan_table, report_folder, report_study
from lexirec.workflows.studies.run import run_study


def study_command(
    file: Path, overrides: Sequence[str], store: Store, out: Path | None, *, only_plan: bool = False
) -> int:
    """Plan a study, or run it and write its report; return the number of runs that failed."""
    study = load_study(file, overrides)
    if only_plan:
        put(plan_table(plan_study(study, store)))
        return 0
    outcome = run_study(study, store)
    folder = report_folder(study, store, out)
    findings = report_study(outcome, folder)
    if findings:
        put(findings_table(findings, study.settings.metrics))
    for failure in outcome.failures:
        put(f"failed: {failure.run.name}, stage {failure.stage}: {failure.message}")
    put(f"report: {folder / 'report.html'}")
    return len(outcome.failures)
