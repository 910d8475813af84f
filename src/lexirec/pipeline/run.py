"""Run an experiment, or plan it without computing anything."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from lexirec.core.arguments import expect
from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.runs import EXPERTS, RunRecord, Stage, newest_run, record, record_unfinished
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import StageRunner, StopRequested


def run_experiment(experiment: Experiment, store: Store, until: str | None = None) -> RunRecord | None:
    """Run an experiment: execute every stage that the store lacks, in order.

    An interrupted run resumes when called again: finished stages are reused from the store, the unfinished one resumes
    from its saved progress. What is finished can be shown before the rest is.

    Args:
        experiment: Settings of the experiment.
        store: Store of the artifacts.
        until: The stage after which to stop.

    Returns:
        The record of the finished run; None when it stopped at `until`.

    Raises:
        LexirecError: settings, files or store are invalid; the message says what to do.
    """
    _check_arguments(experiment, store)
    if until is not None:
        plan_experiment(experiment, store, until)  # raises if the experiment lacks this stage

    def note(stages: Sequence[Stage]) -> None:
        record_unfinished(store, experiment.name, experiment, stages)

    runner = StageRunner(store, VERSIONS, until, left_out={}, after=note)
    try:
        walk(experiment, runner)
    except StopRequested:
        return None
    return record(store, experiment.name, experiment, runner.stages, runner.left_out)


def plan_experiment(experiment: Experiment, store: Store, until: str | None = None) -> list[Stage]:
    """Return the stages of `run_experiment` with the state of each, without executing any.

    Raises:
        SettingsError: the experiment has no stage `until`.
    """
    _check_arguments(experiment, store)
    known = [*VERSIONS, EXPERTS]
    if until is not None and until not in known:
        raise SettingsError(f"--until {until}: allowed are {', '.join(known)}.{did_you_mean(until, known)}")
    before = newest_run(store, experiment.name)
    keys = {name: stage.key for name, stage in before.stages.items()} if before else {}
    runner = StageRunner(store, VERSIONS, until, act=False, before=keys)
    with contextlib.suppress(StopRequested):
        walk(experiment, runner)
    groups = list(dict.fromkeys(stage.group for stage in runner.stages))
    if until is not None and until not in groups:
        raise SettingsError(f"--until {until}: {experiment.name} has no such stage; allowed are {', '.join(groups)}")
    return runner.stages


def _check_arguments(experiment: Experiment, store: Store) -> None:
    expect("experiment", experiment, Experiment, "pass what load_experiment returns")
    expect("store", store, Store, 'pass a store, such as Store("store")')
