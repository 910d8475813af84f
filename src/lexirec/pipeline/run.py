"""Run an experiment, or plan it without computing anything."""

from __future__ import annotations

import contextlib

from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.runs import EXPERTS, RunRecord, Stage, newest_run, record
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import StageRunner, StopRequested


def run_experiment(experiment: Experiment, store: Store, until: str | None = None) -> RunRecord | None:
    """Run an experiment: make every stage that the store does not hold yet, in order.

    Killed at any moment and called again, it carries on where it was; finished stages are taken from the store, the
    unfinished one from its saved progress.

    Args:
        experiment: What to do.
        store: Where artifacts are kept.
        until: The stage after which to stop.

    Returns:
        The record of the finished run; None when it stopped at `until`.

    Raises:
        LexirecError: something in the settings, files or store has to be put right by the user.
    """
    if until is not None:
        plan_experiment(experiment, store, until)  # refuses a stage that the experiment does not have
    runner = StageRunner(store, VERSIONS, until)
    try:
        walk(experiment, runner)
    except StopRequested:
        return None
    return record(store, experiment.name, experiment, runner.stages)


def plan_experiment(experiment: Experiment, store: Store, until: str | None = None) -> list[Stage]:
    """Return the steps that `run_experiment` would take, with the state of each, without making anything."""
    known = [*VERSIONS, EXPERTS]
    if until is not None and until not in known:
        raise SettingsError(f"--until {until}: allowed are {', '.join(known)}.{did_you_mean(until, known)}")
    before = newest_run(store, experiment.name)
    keys = {name: step.key for name, step in before.stages.items()} if before else {}
    runner = StageRunner(store, VERSIONS, until, act=False, before=keys)
    with contextlib.suppress(StopRequested):
        walk(experiment, runner)
    groups = list(dict.fromkeys(step.group for step in runner.stages))
    if until is not None and until not in groups:
        raise SettingsError(f"--until {until}: {experiment.name} has no such stage; it has {', '.join(groups)}")
    return runner.stages
