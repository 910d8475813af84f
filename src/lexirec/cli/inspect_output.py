"""What `show`, `verify`, `doctor`, `audit`, `compare`, `table` and `analyze` print."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.markdown import Markdown
from rich.text import Text

from lexirec.cli.output import colored, new_table, put, put_json
from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import read_manifest
from lexirec.core.manifest import verify as verify_artifact
from lexirec.core.progress import track
from lexirec.core.runs import evaluations, find_run, run_names, seconds
from lexirec.core.store import Store
from lexirec.pipeline.results import measured, side_by_side
from lexirec.pipeline.stages.report import shared_protocol
from lexirec.reporting.tables import metrics_table, protocol_table
from lexirec.workflows.audit.findings import Audit, tables
from lexirec.workflows.comparison.analyze import Analysis
from lexirec.workflows.comparison.compare import Comparison
from lexirec.workflows.comparison.table import ResultsTable
from lexirec.workflows.doctor import Finding


def experiments(store: Store) -> None:
    """Print the finished experiments of a store."""
    table = new_table("experiment", "finished (UTC)", "stages")
    for name in run_names(store):
        run = find_run(store, name)
        table.add_row(name, run.finished[:19].replace("T", " "), str(len(run.stages)))
    put(table if table.row_count else f"the store {store.root} holds no finished experiment yet")


def experiment(store: Store, name: str) -> None:
    """Print an experiment's metrics, protocol and stages."""
    run = find_run(store, name)
    found = evaluations(run)
    if found:
        put(metrics_table(measured(run), title=name), protocol_table(shared_protocol(found)))
    table = new_table("stage", "seconds", "folder")
    for step in run.stages.values():
        table.add_row(step.name, f"{seconds(step):.1f}", str(step.folder))
    put(table)


def stage(store: Store, name: str, step_name: str) -> None:
    """Print what one stage of an experiment made, and from what."""
    step = find_run(store, name).stage(step_name)
    manifest = read_manifest(step.folder)
    summary = step.folder / "summary.md"
    if summary.is_file():
        text = summary.read_text(encoding="utf-8")
        put(Markdown(text) if sys.stdout.isatty() else Text(text))
    table = new_table("", "")
    table.show_header = False
    rows = {
        "folder": str(step.folder),
        "made": f"{manifest.created[:19].replace('T', ' ')} UTC in {manifest.seconds:.1f} s",
        "from": ", ".join(f"{key} {digest[:12]}" for key, digest in manifest.inputs.items()) or "settings alone",
        "commit": manifest.commit or "an installed package",
        "machine": ", ".join(str(value) for value in manifest.machine.values()),
        "files": ", ".join(f"{file} ({entry.bytes:,} bytes)" for file, entry in manifest.files.items()),
        "settings": json.dumps(manifest.settings, ensure_ascii=False),
    }
    for key, value in rows.items():
        table.add_row(Text(key, style="dim"), Text(value))
    put(table)


def damages(store: Store, name: str | None) -> int:
    """Verify an experiment's artifacts or all of a store, print what is damaged, and return how many are."""
    if name is None:
        folders = list(store.artifacts())
    else:
        folders = [step.folder for step in find_run(store, name).stages.values()]
    damaged = 0
    for folder in track(list(dict.fromkeys(folders)), "verifying"):
        try:
            verify_artifact(folder)
        except ArtifactError as error:
            damaged += 1
            put(Text(str(error), style="red"))
    put(f"{len(set(folders))} artifacts verified, {damaged} damaged")
    return damaged


def findings(found: Sequence[Finding]) -> int:
    """Print what the doctor found, and return the number of problems."""
    table = new_table("", "state", "found", "what to do")
    for finding in found:
        table.add_row(finding.name, colored(finding.state), finding.found, finding.advice)
    put(table)
    return sum(finding.state == "problem" for finding in found)


def audit(found: Audit, as_json: bool) -> None:
    """Print what an audit found, the worst first, and what it did not look at."""
    if as_json:
        put_json(found.as_json())
    else:
        put(*tables(found))


def comparison(store: Store, names: Sequence[str], found: Comparison, as_json: bool) -> None:
    """Print all stored metrics of the experiments named, and what systems are worth beside the baseline."""
    if as_json:
        put_json(found.as_json())
        return
    whole = [name for name in names if name in run_names(store)]
    if whole:
        put(metrics_table(side_by_side(store, whole), title=" | ".join(whole)))
    put(found.table())


def results(found: ResultsTable, as_json: bool) -> None:
    """Print many systems in one table for each treatment of seen items."""
    if as_json:
        put_json(found.as_json())
    else:
        put(*found.tables())


def analysis(found: Analysis, as_json: bool) -> None:
    """Print where systems are right, what their lists are like, and what their probabilities are worth."""
    if as_json:
        put_json(found.as_json())
    else:
        put(Text(found.heading()), *found.tables())
