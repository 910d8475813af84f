"""Output of the commands `run`, `plan`, `tune`, `transfer` and `demo`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from lexirec.cli.output import colored, new_table, put, put_json
from lexirec.core.manifest import read_manifest
from lexirec.core.runs import RunRecord, Stage, evaluations
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.results import measured, published_beside
from lexirec.reporting.published_rows import published_table
from lexirec.reporting.tables import metrics_table, protocol_table, shopper_panel
from lexirec.workflows.demo import Demonstration
from lexirec.workflows.transfer.stages import saw_card
from lexirec.workflows.tuning import report as tuning_report
from lexirec.workflows.tuning.trials import Tuning


def print_run(store: Store, experiment: Experiment, run: RunRecord | None, until: str | None) -> None:
    """Print a run's metrics and the path of its report; `run` is None where it stopped after the stage `until`."""
    if run is None:
        put(f"{experiment.name}: done up to '{until}'; run it again without --until to finish")
        return
    if evaluations(run):
        put(metrics_table(measured(run), title=run.name))
        if rows := published_beside(run):
            put(published_table(rows))
        put(f"report: {run.stage('report').folder / 'report.md'}")
    put(f"more: lexirec show {run.name} --store {store.root}")


def print_transfer(store: Store, run: RunRecord) -> None:
    """Print a transfer's metrics, the data each recommender had seen, and the path of the report."""
    put(metrics_table(measured(run), title=run.name))
    saw = read_manifest(run.stage("report").folder).settings["saw"]
    put(protocol_table(saw_card(saw, evaluations(run))))
    put(f"report: {run.stage('report').folder / 'report.md'}")
    put(f"more: lexirec show {run.name} --store {store.root}")


def print_tuning(tuning: Tuning, as_json: bool) -> None:
    """Print a search's best settings and scores for every recommender, and the paths of its files."""
    if as_json:
        put_json({"folder": str(tuning.folder), "recommenders": tuning_report.rows(tuning)})
        return
    table = new_table("recommender", "trials", "failed", "minutes", "first", "best", "settings")
    for row in tuning_report.rows(tuning):
        scores = [tuning_report.figure(row[name]) for name in ("first", "best")]
        settings = Text("\n".join(f"{name}={value}" for name, value in row["settings"].items()))
        costs = (str(row["trials"]), str(row["failed"]), f"{row['minutes']:.1f}")
        table.add_row(row["recommender"], *costs, *scores, settings)
    put(table, f"report: {tuning.folder / 'report.md'}")
    put(f"evaluate on test: lexirec run {tuning.folder / tuning_report.BEST} --store {tuning.folder.parent.parent}")


def print_demo(demo: Demonstration) -> None:
    """Print the demonstration's metrics, some shoppers with their recommendations, and the next commands."""
    content = demo.content
    put(Text(content.lead), metrics_table(content.systems, title=content.title), protocol_table(content.protocol))
    put(*(shopper_panel(shopper) for shopper in content.shoppers))
    put(f"report: {demo.report}", "what to try next:")
    put(*(Text(f"  - {step.replace('`', '')}") for step in content.next_steps))
    put(f"(these commands need the demonstration's store: --store {demo.report.parent / 'store'})")


def print_stages(stages: Sequence[Stage], without: Mapping[str, str] | None = None) -> None:
    """Print the stages of an experiment with their states, and the baselines that will be left out, with the reason."""
    table = new_table("stage", "state", "key")
    for stage in stages:
        table.add_row(stage.name, colored(stage.state), stage.key[:12])
    put(table, *(f"baselines.{name} will be left out: {reason}" for name, reason in (without or {}).items()))
