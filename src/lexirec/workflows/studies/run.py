"""Run a study: all runs in order, each shared stage once, with one progress display; failures do not stop it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lexirec.core.errors import LexirecError
from lexirec.core.progress import Progress, report_progress_to
from lexirec.core.runs import RunRecord, Stage, record, runs
from lexirec.core.store import Store
from lexirec.pipeline.runner import StageRunner
from lexirec.workflows.studies.design import Study, StudyRun
from lexirec.workflows.studies.plan import VERSIONS, SimilarStages, StudyPlan, plan_study, walk_run


@dataclass(frozen=True)
class Failure:
    """A failed run.

    Attributes:
        run: the run.
        stage: the stage that failed.
        message: the error, in one line.
        trace: traceback of unexpected errors; "" for errors of use.
    """

    run: StudyRun
    stage: str
    message: str
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """Result of running a study.

    Attributes:
        study: the study.
        stages: name of a finished run -> its stages by name.
        failures: the failed runs.
    """

    study: Study
    stages: dict[str, dict[str, Stage]] = field(repr=False)
    failures: list[Failure]

    @property
    def finished(self) -> list[StudyRun]:
        """The finished runs, in order."""
        return [run for run in self.study.runs if run.name in self.stages]


def run_study(study: Study, store: Store) -> Outcome:
    """Execute every stage of every run that the store lacks.

    An interrupted study resumes when called again; failed runs are tried again.

    Raises:
        DataError: a file of data is missing.
    """
    plan = plan_study(study, store)
    outcome = Outcome(study, {}, [])
    with Progress(f"Study {study.settings.name}", total=len(plan.to_do)) as bar:
        display = _Display(bar, plan, store)
        for number, run in enumerate(study.runs, start=1):
            display.run = f"run {number} of {len(study.runs)}: {run.name}"
            _run_one(outcome, run, store, display)
    return outcome


def _run_one(outcome: Outcome, run: StudyRun, store: Store, display: _Display) -> None:
    runner = StageRunner(store, VERSIONS, display=display.around)
    try:
        outcome.stages[run.name] = walk_run(outcome.study.settings, run, runner)
    except LexirecError as error:
        outcome.failures.append(Failure(run, display.stage, " ".join(str(error).split())))
    except Exception as error:  # any error: the other runs should still finish
        message = " ".join(f"{type(error).__name__}: {error}".split())
        outcome.failures.append(Failure(run, display.stage, message, traceback.format_exc()))
    else:
        _record(store, run, runner.stages)


def _record(store: Store, run: StudyRun, stages: list[Stage]) -> RunRecord | None:
    """Record a finished run, for `lexirec show` and `compare`, unless it is recorded already."""
    name, keys = run.experiment.name, {stage.name: stage.key for stage in stages}
    for known in runs(store, name):
        if known.settings.get("seed") == run.seed and {n: stage.key for n, stage in known.stages.items()} == keys:
            return None
    return record(store, name, run.experiment, stages)


class _Display:
    """The progress line of a study: run, stage, stages done, time left."""

    def __init__(self, bar: Progress, plan: StudyPlan, store: Store) -> None:
        self.run, self.stage = "", ""
        self._bar, self._similar = bar, SimilarStages(store)
        self._to_do = {planned.stage.key: planned.recipe for planned in plan.to_do}
        self._expected: float | None = None  # seconds from `_since` on
        self._of_stage = 0.0  # of them for the current stage
        self._since = time.monotonic()

    @contextmanager
    def around(self, stage: Stage) -> Iterator[None]:
        """Show a stage while it runs."""
        self.stage = stage.name
        if stage.state == "done":
            yield
            return
        self._expected, self._since = self._remaining(), time.monotonic()
        recipe = self._to_do.get(stage.key)
        self._of_stage = (self._similar.seconds(recipe) if recipe is not None else None) or 0.0
        self._show(stage.name)
        with report_progress_to(self._show):
            yield
        self._similar.add(stage)
        if self._to_do.pop(stage.key, None) is not None:
            self._bar.advance()

    def _show(self, text: str) -> None:
        about = text if text == self.stage else f"{self.stage}, {text}"
        spent = time.monotonic() - self._since
        # a stage that takes longer than expected does not reduce the time expected for later ones
        left = None if self._expected is None else self._expected - min(spent, self._of_stage)
        self._bar.update(
            f"{self.run}: {about}", left=left or None
        )  # by the steps done where nothing is expected any more

    def _remaining(self) -> float | None:
        """Return the expected remaining seconds; None where a stage to run has no similar one."""
        known = [self._similar.seconds(recipe) for recipe in self._to_do.values()]
        there = [seconds for seconds in known if seconds is not None]
        return sum(there) if len(there) == len(known) else None


def write_traces(outcome: Outcome, folder: Path) -> None:
    """Write the tracebacks of failed runs, `failures/ROW-seed-N.txt`."""
    for failure in outcome.failures:
        if failure.trace:
            path = folder / "failures" / f"{failure.run.row.slug}-seed-{failure.run.seed}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(failure.trace, encoding="utf-8")
