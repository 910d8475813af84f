"""Commands that compute: whole experiments, searches, transfers, studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexirec.cli.options import (
    DEFAULT_STORE,
    ExperimentArgument,
    JsonOption,
    SetOption,
    StoreOption,
    UntilOption,
    app,
    settings_argument,
)
from lexirec.core.store import Store

if TYPE_CHECKING:
    from lexirec.pipeline.experiment import Experiment


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where the report and the artifacts go.")] = Path("demo"),
    family: Annotated[str, typer.Option(help="What is demonstrated: gram or tsrec.")] = "gram",
    sets: SetOption = None,
) -> None:
    """Train, measure and recommend on the built-in toy shop."""
    from lexirec.cli import run_output
    from lexirec.workflows.demo import demonstrate

    run_output.demonstration(demonstrate(folder, sets or [], family))


@app.command()
def run(
    experiment: ExperimentArgument,
    sets: SetOption = None,
    until: UntilOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run an experiment; what is done already is taken from the store, what was cut off is carried on."""
    from lexirec.cli import run_output
    from lexirec.pipeline.run import run_experiment

    loaded = _load(experiment, sets)
    try:
        done = run_experiment(loaded, Store(store), until)
    except KeyboardInterrupt:
        typer.echo("lexirec: interrupted; the same command carries on from here", err=True)
        raise
    run_output.run_result(Store(store), loaded, done, until)


@app.command()
def tune(
    experiment: ExperimentArgument,
    space: Annotated[Path, settings_argument("SPACE.toml", "What may be tried.")],
    trials: Annotated[int | None, typer.Option(help="Trials of every recommender.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of every recommender instead.")] = None,
    sets: SetOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Search for good settings, with the same budget for every recommender, on validation cases alone.

    Writes best.toml, which `run` takes. Killed at any moment, the same command carries on.
    """
    from lexirec.cli import run_output
    from lexirec.workflows.tuning import search

    found = search.tune(experiment, space, Store(store), sets=sets or [], trials=trials, minutes=minutes)
    run_output.tuned(found, json)


@app.command()
def transfer(
    source: Annotated[Path, settings_argument("SOURCE.toml")],
    target: Annotated[Path, settings_argument("TARGET.toml")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="source.… and target.… override the files; may be repeated."),
    ] = None,
    fine_tune: Annotated[
        bool, typer.Option("--fine-tune", help="Let it learn on the target, too, beside one that learns there alone.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What results are found under.")] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Say which stages are done, without computing.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Carry what a model learned on one catalogue to another, and measure it there."""
    from lexirec.cli import run_output
    from lexirec.workflows.transfer import run as running
    from lexirec.workflows.transfer.settings import load_transfer

    loaded = load_transfer(source, target, [*(sets or []), *(["fine_tune=true"] if fine_tune else [])], name)
    if only_plan:
        run_output.steps(running.plan_transfer(loaded, Store(store)))
        return
    try:
        done = running.transfer(loaded, Store(store))
    except KeyboardInterrupt:
        typer.echo("lexirec: interrupted; the same command carries on from here", err=True)
        raise
    run_output.transferred(Store(store), done)


@app.command()
def study(
    file: Annotated[Path, settings_argument("STUDY.toml")],
    only_plan: Annotated[bool, typer.Option("--plan", help="Say what there is to do, without computing.")] = False,
    sets: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes; by default below the store.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run one experiment in many variants, and report what differs beyond chance and at what cost."""

    try:
        failed = _study(file, sets or [], Store(store), out, only_plan=only_plan)
    except KeyboardInterrupt:
        typer.echo("lexirec: interrupted; the same command carries on from here", err=True)
        raise
    if failed:
        raise typer.Exit(1)


@app.command()
def plan(
    experiment: ExperimentArgument,
    sets: SetOption = None,
    until: UntilOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say which stages are done, new, stale or unfinished, without computing anything."""
    from lexirec.cli import run_output
    from lexirec.pipeline.run import plan_experiment

    run_output.steps(plan_experiment(_load(experiment, sets), Store(store), until))


def _load(path: Path, sets: list[str] | None) -> Experiment:
    from lexirec.pipeline.experiment import load_experiment

    return load_experiment(path, sets or [])


def _study(file: Path, overrides: Sequence[str], store: Store, out: Path | None, *, only_plan: bool = False) -> int:
    """Plan a study, or run it and write its report; return the number of runs that failed."""
    from lexirec.cli.output import put
    from lexirec.workflows.studies.design import load_study
    from lexirec.workflows.studies.plan import plan_study
    from lexirec.workflows.studies.report import findings_table, plan_table, report_folder, report_study
    from lexirec.workflows.studies.run import run_study

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
