"""Commands that compute: `run` and `plan` of experiments, `demo`, `tune`, `transfer` and `study`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexirec.cli.options import (
    DEFAULT_STORE,
    CheckOption,
    ExperimentArgument,
    JsonOption,
    SetOption,
    StoreOption,
    UntilOption,
    app,
    settings_argument,
)
from lexirec.core.errors import SettingsError
from lexirec.core.store import Store

if TYPE_CHECKING:
    from lexirec.pipeline.experiment import Experiment


@contextmanager
def _resumable() -> Iterator[None]:
    """Say on interruption that the same command resumes."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; run the same command again to resume") from None


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the report and the artifacts.")] = Path("demo"),
    family: Annotated[str, typer.Option(help="Model family: gram or tsrec.")] = "gram",
    sets: SetOption = None,
) -> None:
    """Train, evaluate and recommend on the built-in toy shop."""
    from lexirec.cli import run_output
    from lexirec.cli.output import check_place
    from lexirec.workflows.demo import demonstrate

    check_place("--dir", folder, folder=True)
    run_output.print_demo(demonstrate(folder, sets or [], family))


@app.command()
def run(
    experiment: ExperimentArgument,
    sets: SetOption = None,
    until: UntilOption = None,
    check: CheckOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run an experiment.

    Finished stages are taken from the store, interrupted ones are resumed.
    """
    from lexirec.cli import run_output
    from lexirec.pipeline.run import run_experiment

    loaded = _load(experiment, sets)
    with _resumable():
        finished = run_experiment(loaded, Store(store, check=check), until)
    run_output.print_run(Store(store), loaded, finished, until)


@app.command()
def tune(
    experiment: ExperimentArgument,
    space: Annotated[Path, settings_argument("SPACE.toml", "Search space: the values to try.")],
    trials: Annotated[int | None, typer.Option(help="Trials per recommender.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes per recommender, instead of trials.")] = None,
    sets: SetOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Search hyperparameters on validation cases.

    Every recommender gets the same budget. Writes best.toml for `run`; after an interruption the same command resumes.
    """
    from lexirec.cli import run_output
    from lexirec.workflows.tuning import search

    with _resumable():
        tuning = search.tune(experiment, space, Store(store), sets=sets or [], trials=trials, minutes=minutes)
    run_output.print_tuning(tuning, json)


@app.command()
def transfer(
    source: Annotated[Path, settings_argument("SOURCE.toml")],
    target: Annotated[Path, settings_argument("TARGET.toml")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Override source.… or target.…; may be repeated."),
    ] = None,
    fine_tune: Annotated[
        bool,
        typer.Option("--fine-tune", help="Also fine-tune on the target, and train on the target alone to compare."),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the results.")] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="List the stages without computing.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Transfer a model to another catalogue and evaluate it.

    The model is trained on the source and evaluated on the target.
    """
    from lexirec.cli import run_output
    from lexirec.workflows.transfer import run as running
    from lexirec.workflows.transfer.settings import load_transfer

    loaded = load_transfer(source, target, [*(sets or []), *(["fine_tune=true"] if fine_tune else [])], name)
    if only_plan:
        run_output.print_stages(running.plan_transfer(loaded, Store(store)))
        return
    with _resumable():
        finished = running.transfer(loaded, Store(store))
    run_output.print_transfer(Store(store), finished)


@app.command()
def study(
    file: Annotated[Path, settings_argument("STUDY.toml")],
    only_plan: Annotated[bool, typer.Option("--plan", help="List the runs without computing.")] = False,
    sets: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the report; by default below the store.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run variants of one experiment and compare them.

    The report shows which differ significantly, and at what cost.
    """
    with _resumable():
        failed = _study(file, sets or [], Store(store), out, only_plan=only_plan)
    if failed:
        raise typer.Exit(1)


@app.command()
def plan(
    experiment: ExperimentArgument,
    sets: SetOption = None,
    until: UntilOption = None,
    cost: Annotated[
        bool,
        typer.Option("--cost", help="Estimate operations, memory and hours of the model on named devices instead."),
    ] = False,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Device of --cost: here, rtx4090, a6000, a100, h100, h200; may be repeated."),
    ] = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List the stages of an experiment and their states, or estimate its cost.

    States are done, new, stale and unfinished; nothing is computed. --cost reads the data where they are there, and
    states what it assumes.
    """
    from lexirec.cli import run_output
    from lexirec.pipeline.baseline_sizes import planned_without
    from lexirec.pipeline.run import plan_experiment

    loaded = _load(experiment, sets)
    if not cost:
        _only_with_cost(device, json)
        stages = plan_experiment(loaded, Store(store), until)
        run_output.print_stages(stages, planned_without(loaded, stages))
        return
    from lexirec.cli import cost_output
    from lexirec.workflows.costs.devices import devices_named
    from lexirec.workflows.costs.plan import plan_cost

    planned = plan_cost(loaded, Store(store))
    cost_output.print_cost(planned, devices_named(device, planned.shape.width), json)


def _only_with_cost(device: list[str] | None, json: bool) -> None:
    """Refuse the options of --cost where it is not given.

    Raises:
        SettingsError: one of them is.
    """
    given = next((name for name, value in (("--device", device), ("--json", json)) if value), None)
    if given is not None:
        raise SettingsError(f"{given} belongs to --cost; add it: lexirec plan EXPERIMENT.toml --cost {given} …")


def _load(path: Path, sets: list[str] | None) -> Experiment:
    from lexirec.pipeline.experiment import load_experiment

    return load_experiment(path, sets or [])


def _study(file: Path, overrides: Sequence[str], store: Store, out: Path | None, *, only_plan: bool = False) -> int:
    """Plan a study, or run it and write its report; return the number of runs that failed."""
    from lexirec.cli.output import check_place, put
    from lexirec.workflows.studies.design import load_study
    from lexirec.workflows.studies.plan import plan_study
    from lexirec.workflows.studies.report import findings_table, plan_table, report_folder, report_study
    from lexirec.workflows.studies.run import run_study

    study = load_study(file, overrides)
    if only_plan:
        put(plan_table(plan_study(study, store)))
        return 0
    check_place("--out", out, folder=True)
    outcome = run_study(study, store)
    folder = report_folder(study, store, out)
    findings = report_study(outcome, folder)
    if findings:
        put(findings_table(findings, study.settings.metrics))
    for failure in outcome.failures:
        put(f"failed: {failure.run.name}, stage {failure.stage}: {failure.message}")
    put(f"report: {folder / 'report.html'}")
    return len(outcome.failures)
