"""What `run`, `plan`, `tune`, `transfer` and `demo` print."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from lexirec.cli.output import colored, new_table, put, put_json
from lexirec.core.manifest import read_manifest
from lexirec.core.runs import RunRecord, Stage, evaluations
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.results import measured
from lexirec.reporting.tables import metrics_table, protocol_table, shopper_panel
from lexirec.workflows.demo import Demonstration
from lexirec.workflows.transfer.stages import saw_card
from lexirec.workflows.tuning import report as tuning_report
from lexirec.workflows.tuning.trials import Tuning


def run_result(store: Store, experiment: Experiment, run: RunRecord | None, until: str | None) -> None:
    """Print what a run found, and where it is."""
    if run is None:
        put(f"{experiment.name}: done up to '{until}'; run it again without --until to finish")
        return
    if evaluations(run):
        put(metrics_table(measured(run), title=run.name))
        put(f"report: {run.stage('report').folder / 'report.md'}")
    put(f"more: lexirec show {run.name} --store {store.root}")


def transferred(store: Store, run: RunRecord) -> None:
    """Print what a transfer found, what each recommender had seen, and where it is."""
    put(metrics_table(measured(run), title=run.name))
    saw = read_manifest(run.stage("report").folder).settings["saw"]
    put(protocol_table(saw_card(saw, evaluations(run))))
    put(f"report: {run.stage('report').folder / 'report.md'}")
    put(f"more: lexirec show {run.name} --store {store.root}")


def tuned(found: Tuning, as_json: bool) -> None:
    """Print what a search found for every recommender, and where the best settings are."""
    if as_json:
        put_json({"folder": str(found.folder), "recommenders": tuning_report.rows(found)})
        return
    table = new_table("recommender", "trials", "failed", "minutes", "first", "best", "settings")
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
    table = new_table("stage", "state", "key")
    for step in planned:
        table.add_row(step.name, colored(step.state), step.key[:12])
    put(table)
