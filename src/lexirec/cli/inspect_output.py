"""Output of the commands `show`, `verify`, `doctor`, `audit`, `compare`, `table` and `analyze`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markdown import Markdown
from rich.text import Text

from lexirec.cli.output import colored, new_table, put, put_json
from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import read_manifest
from lexirec.core.manifest import verify as verify_artifact
from lexirec.core.progress import track
from lexirec.core.runs import (
    RunRecord,
    Stage,
    check_there,
    evaluations,
    find_run,
    run_names,
    seconds,
    unfinished_names,
    unfinished_run,
)
from lexirec.core.store import Store
from lexirec.models.exported import check_export
from lexirec.models.loading import folder_named
from lexirec.pipeline.results import measured, published_beside, side_by_side
from lexirec.pipeline.stages.report import shared_protocol
from lexirec.reporting.published_rows import published_table
from lexirec.reporting.tables import metrics_table, protocol_table
from lexirec.workflows.audit.findings import Audit, tables
from lexirec.workflows.comparison.analyze import Analysis
from lexirec.workflows.comparison.compare import Comparison
from lexirec.workflows.comparison.table import ResultsTable
from lexirec.workflows.distribution.verify import Verification
from lexirec.workflows.doctor import Finding

if TYPE_CHECKING:
    from lexirec.workflows.backbones.examine import BackboneReport
    from lexirec.workflows.comparison.sliced import SlicedComparison


def print_experiments(store: Store) -> None:
    """Print the experiments of a store."""
    check_there(store)
    table = new_table("experiment", "finished (UTC)", "stages")
    finished = run_names(store)
    for name in finished:
        run = find_run(store, name)
        table.add_row(name, run.finished[:19].replace("T", " "), str(len(run.stages)))
    for name in unfinished_names(store):
        begun = unfinished_run(store, name)
        if name not in finished and begun is not None:
            table.add_row(name, f"unfinished, up to {list(begun.stages)[-1]}", str(len(begun.stages)))
    put(table if table.row_count else f"the store {store.root} holds no finished experiment yet")


def print_experiment(store: Store, name: str) -> None:
    """Print an experiment's metrics, protocol and stages; of an unfinished one the stages that are done."""
    run, begun = _newest(store, name), unfinished_run(store, name)
    folders = evaluations(run)
    if folders and run is not begun:
        rows = published_beside(run)
        beside = [published_table(rows)] if rows else []
        put(metrics_table(measured(run), title=name), *beside, protocol_table(shared_protocol(folders)))
    table = new_table("stage", "seconds", "folder")
    for stage in run.stages.values():
        table.add_row(stage.name, _seconds(stage), str(stage.folder))
    put(table, *(f"{part} is left out: {why}" for part, why in run.left_out.items()))
    if begun is not None:
        done = f"{name} has an unfinished run, done up to '{list(begun.stages)[-1]}'"
        put(f"{done}; lexirec show {name} STAGE shows its stages, lexirec run EXPERIMENT.toml finishes it")


def _newest(store: Store, name: str) -> RunRecord:
    """Return the newest finished run of an experiment, or what an unfinished one has done."""
    begun = unfinished_run(store, name)
    return begun if begun is not None and name not in run_names(store) else find_run(store, name)


def _seconds(stage: Stage) -> str:
    try:
        return f"{seconds(stage):.1f}"
    except ArtifactError:
        return "not there"


def _stage(store: Store, name: str, stage_name: str) -> Stage:
    """Return a stage of an experiment: of its unfinished run where that has got so far, else of its newest one."""
    begun = unfinished_run(store, name)
    if begun is not None and (stage_name in begun.stages or name not in run_names(store)):
        return begun.stage(stage_name)
    return find_run(store, name).stage(stage_name)


def print_stage(store: Store, name: str, stage_name: str) -> None:
    """Print the summary, inputs, files and settings of one stage of an experiment."""
    stage = _stage(store, name, stage_name)
    manifest = read_manifest(stage.folder)
    summary = stage.folder / "summary.md"
    if summary.is_file():
        text = summary.read_text(encoding="utf-8")
        put(Markdown(text) if sys.stdout.isatty() else Text(text))
    table = new_table("", "")
    table.show_header = False
    rows = {
        "folder": str(stage.folder),
        "created": f"{manifest.created[:19].replace('T', ' ')} UTC in {manifest.seconds:.1f} s",
        "inputs": ", ".join(f"{key} {digest[:12]}" for key, digest in manifest.inputs.items()) or "none",
        "commit": manifest.commit or "an installed package",
        "machine": ", ".join(str(value) for value in manifest.machine.values()),
        "files": ", ".join(f"{file} ({entry.bytes:,} bytes)" for file, entry in manifest.files.items()),
        "settings": json.dumps(manifest.settings, ensure_ascii=False),
    }
    for key, value in rows.items():
        table.add_row(Text(key, style="dim"), Text(value))
    put(table)


def print_damages(store: Store, name: str | None) -> int:
    """Verify the artifacts of an experiment or of a whole store, print the damaged ones, and return their number."""
    exported = None if name is None else folder_named(name)
    if exported is not None:
        put(f"{len(check_export(exported).files)} files of {exported} verified, 0 damaged")
        return 0
    check_there(store)
    if name is None:
        folders = list(store.folders())
    else:
        folders = [stage.folder for stage in _newest(store, name).stages.values()]
    damaged = 0
    for folder in track(list(dict.fromkeys(folders)), "verifying"):
        try:
            verify_artifact(folder)
        except ArtifactError as error:
            damaged += 1
            put(Text(str(error), style="red"))
    put(f"{len(set(folders))} artifacts verified, {damaged} damaged")
    return damaged


def print_verification(found: Verification, as_json: bool) -> None:
    """Print every compared metric, stored and measured, and which ones could not be compared."""
    if as_json:
        rows = [asdict(row) | {"difference": row.difference, "alike": row.alike} for row in found.rows]
        put_json({"metrics": rows, "not_compared": dict(found.left_out)})
        return
    table = new_table("metric", "seen items", "stored", "measured", "difference", "allowed", "")
    for row in found.rows:
        figures = (f"{row.stored:.6f}", f"{row.measured:.6f}", f"{row.difference:+.6f}", f"{row.allowed:.6f}")
        table.add_row(row.metric, row.seen, *figures, colored("ok" if row.alike else "differs"))
    put(table, *(f"not compared: {name}: {why}" for name, why in found.left_out.items()))


def print_findings(findings: Sequence[Finding], as_json: bool = False) -> int:
    """Print the findings of `doctor`, and return the number of problems."""
    if as_json:
        put_json([asdict(finding) for finding in findings])
    else:
        _put_findings(findings)
    return sum(finding.state == "problem" for finding in findings)


def print_backbone(report: BackboneReport, as_json: bool) -> None:
    """Print what a backbone is and needs."""
    if as_json:
        put_json(report.as_json())
    else:
        _put_findings(report.findings())


def _put_findings(findings: Sequence[Finding]) -> None:
    table = new_table("", "state", "found", "what to do")
    for finding in findings:
        table.add_row(finding.name, colored(finding.state), finding.found, finding.advice)
    put(table)


def print_audit(audit: Audit, as_json: bool) -> None:
    """Print the findings of an audit, the most severe first, and the checks it could not make."""
    if as_json:
        put_json(audit.as_json())
    else:
        put(*tables(audit))


def print_comparison(
    store: Store, names: Sequence[str], comparison: Comparison, slices: Sequence[SlicedComparison], *, as_json: bool
) -> None:
    """Print the stored metrics of the named experiments, and the systems' differences from the baseline, also within
    slices where there are some."""
    if as_json:
        put_json(comparison.as_json() | ({"slices": [each.as_json() for each in slices]} if slices else {}))
        return
    experiments = [name for name in names if name in run_names(store)]
    if experiments:
        put(metrics_table(side_by_side(store, experiments), title=" | ".join(experiments)))
    put(comparison.table(), *(each.table() for each in slices))


def print_results(results: ResultsTable, as_json: bool) -> None:
    """Print one table of all systems for each treatment of seen items."""
    if as_json:
        put_json(results.as_json())
    else:
        put(*results.tables())


def print_analysis(analysis: Analysis, as_json: bool) -> None:
    """Print metrics by slice, beyond-accuracy metrics and calibration."""
    if as_json:
        put_json(analysis.as_json())
    else:
        put(Text(analysis.heading()), *analysis.tables())
