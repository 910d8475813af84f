"""What the command line prints: results on stdout, as tables for people or JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import read_manifest
from lexirec.core.manifest import verify as verify_artifact
from lexirec.core.progress import track
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.importers.base import Imported
from lexirec.evaluation.evaluator import Report
from lexirec.models.recommend import Recommendation
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.results import evaluations, measured, side_by_side
from lexirec.pipeline.runner import Stage
from lexirec.pipeline.runs import RunRecord, find_run, run_names, seconds
from lexirec.pipeline.stages.report import shared_protocol
from lexirec.reporting.tables import metrics_table, protocol_table, shopper_panel
from lexirec.workflows.audit.findings import Audit, tables
from lexirec.workflows.comparison.analyze import Analysis
from lexirec.workflows.comparison.compare import Comparison
from lexirec.workflows.comparison.table import ResultsTable
from lexirec.workflows.demo import Demonstration
from lexirec.workflows.doctor import Finding
from lexirec.workflows.scaffold import Draft
from lexirec.workflows.transfer.stages import saw_card
from lexirec.workflows.tuning import report as tuning_report
from lexirec.workflows.tuning.trials import Tuning

_WIDE = 140
_COLORS = {"done": "green", "ok": "green", "new": "cyan", "unfinished": "yellow", "stale": "yellow", "note": "yellow"}


def put(*parts: RenderableType) -> None:
    """Print to stdout; where that is no terminal, without colours and wide enough for every table.

    What users named, such as titles, ids and paths, is printed as it is, brackets included; lines of text are left to
    the terminal to break, so that a path can be copied.
    """
    console = Console(file=sys.stdout, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=_WIDE, markup=False, emoji=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))


def put_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _state(state: str) -> Text:
    return Text(state, style=_COLORS.get(state, "red"))


# ---------------------------------------------------------------------------------------------------------- running


def run_result(store: Store, experiment: Experiment, run: RunRecord | None, until: str | None) -> None:
    """Print what a run found, and where it is."""
    if run is None:
        put(f"{experiment.name}: done up to '{until}'; run it again without --until to finish")
        return
    if evaluations(run):
        put(metrics_table(measured(run), title=run.name))
        put(f"report: {run.step('report').folder / 'report.md'}")
    put(f"more: lexirec show {run.name} --store {store.root}")


def transferred(store: Store, run: RunRecord) -> None:
    """Print what a transfer found, what each recommender had seen, and where it is."""
    put(metrics_table(measured(run), title=run.name))
    saw = read_manifest(run.step("report").folder).settings["saw"]
    put(protocol_table(saw_card(saw, evaluations(run))))
    put(f"report: {run.step('report').folder / 'report.md'}")
    put(f"more: lexirec show {run.name} --store {store.root}")


def tuned(found: Tuning, as_json: bool) -> None:
    """Print what a search found for every recommender, and where the best settings are."""
    if as_json:
        put_json({"folder": str(found.folder), "recommenders": tuning_report.rows(found)})
        return
    table = _table("recommender", "trials", "failed", "minutes", "first", "best", "settings")
    for row in tuning_report.rows(found):
        values = [tuning_report.figure(row[name]) for name in ("first", "best")]
        told = Text("\n".join(f"{name}={value}" for name, value in row["settings"].items()))
        spent = (str(row["trials"]), str(row["failed"]), f"{row['minutes']:.1f}")
        table.add_row(row["recommender"], *spent, *values, told)
    put(table, f"report: {found.folder / 'report.md'}")
    put(f"measure on test: lexirec run {found.folder / tuning_report.BEST} --store {found.folder.parent.parent}")


def demonstration(found: Demonstration) -> None:
    """Print what the demonstration found: metrics, shoppers with their recommendations, and what to try next."""
    content = found.content
    put(Text(content.lead), metrics_table(content.systems, title=content.title), protocol_table(content.protocol))
    put(*(shopper_panel(shopper) for shopper in content.shoppers))
    put(f"report: {found.report}", "what to try next:")
    put(*(Text(f"  - {step.replace('`', '')}") for step in content.next_steps))
    put(f"(the demonstration's store: add --store {found.report.parent / 'store'} to these commands)")


def steps(planned: Sequence[Stage]) -> None:
    """Print the steps of an experiment with their states."""
    table = _table("stage", "state", "key")
    for step in planned:
        table.add_row(step.name, _state(step.state), step.key[:12])
    put(table)


# ----------------------------------------------------------------------------------------------------------- looking


def experiments(store: Store) -> None:
    """Print the finished experiments of a store."""
    table = _table("experiment", "finished (UTC)", "stages")
    for name in run_names(store):
        run = find_run(store, name)
        table.add_row(name, run.finished[:19].replace("T", " "), str(len(run.steps)))
    put(table if table.row_count else f"the store {store.root} holds no finished experiment yet")


def experiment(store: Store, name: str) -> None:
    """Print an experiment's metrics, protocol and stages."""
    run = find_run(store, name)
    found = evaluations(run)
    if found:
        put(metrics_table(measured(run), title=name), protocol_table(shared_protocol(found)))
    table = _table("stage", "seconds", "folder")
    for step in run.steps.values():
        table.add_row(step.name, f"{seconds(step):.1f}", str(step.folder))
    put(table)


def stage(store: Store, name: str, step_name: str) -> None:
    """Print what one stage of an experiment made, and from what."""
    step = find_run(store, name).step(step_name)
    manifest = read_manifest(step.folder)
    summary = step.folder / "summary.md"
    if summary.is_file():
        text = summary.read_text(encoding="utf-8")
        put(Markdown(text) if sys.stdout.isatty() else Text(text))
    table = _table("", "")
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
        folders = [step.folder for step in find_run(store, name).steps.values()]
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
    table = _table("", "state", "found", "what to do")
    for finding in found:
        table.add_row(finding.name, _state(finding.state), finding.found, finding.advice)
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


# ------------------------------------------------------------------------------------------------------------- using


def recommendations(found: Sequence[Recommendation], catalog: Catalog, as_json: bool) -> None:
    """Print recommended items, with the items that speak for them where they were asked for."""
    if as_json:
        put_json([{key: value for key, value in asdict(each).items() if key != "because" or value} for each in found])
        return
    explained = any(each.because for each in found)
    table = _table("", "item", "score", "title", *(["because of"] if explained else []))
    names = dict(zip(catalog.item_ids, catalog.field(catalog.text_fields[0]), strict=True)) if explained else {}
    for place, each in enumerate(found, start=1):
        because = "; ".join(f"{names[item] or item} ({share:.0%})" for item, share in each.because)
        table.add_row(str(place), each.item_id, f"{each.score:.4g}", each.title, *([because] if explained else []))
    put(table if found else "nothing is left to recommend; loosen the filters or add --include-seen")


def report(found: Report, as_json: bool) -> None:
    """Print an evaluation."""
    if as_json:
        put_json(found.as_json())
    else:
        put(*found.tables())


def figures(found: Mapping[str, Any], as_json: bool) -> None:
    """Print a benchmark's figures."""
    if as_json:
        put_json(dict(found))
    else:
        put(protocol_table(found))


def drafted(draft: Draft, as_json: bool) -> None:
    """Print which experiment was written, what it takes the columns for, and what to do next."""
    columns = {"item_id": "item_id", "user_id": "user_id"} | draft.guess.item_columns | draft.guess.interaction_columns
    if as_json:
        put_json(
            {
                "path": str(draft.path),
                "items": draft.items,
                "users": draft.users,
                "events": draft.events,
                **asdict(draft.guess),
                "remarks": draft.remarks,
            }
        )
        return
    put(f"{draft.path}: {draft.items:,} items, {draft.users:,} users, {draft.events:,} events")
    told = _table("ours", "column")
    for ours in ("item_id", *draft.guess.text, "user_id", *filter(None, [draft.guess.order])):
        told.add_row(ours, columns.get(ours, ours))
    if draft.guess.published_split:
        told.add_row("split", columns.get("split", "split"))
    put(told, *(f"- {remark}" for remark in draft.remarks))
    put(
        f"next: lexirec plan {draft.path}; lexirec run {draft.path}; lexirec recommend {draft.path.stem} --history ITEM"
    )


def imported(found: Imported, destination: Path) -> None:
    """Print what an import wrote and left out."""
    put(f"{destination}: {found.items:,} items, {found.users:,} users, {found.interactions:,} interactions")
    for reason, count in found.left_out.items():
        put(f"left out: {count:,} {reason}")
