"""Running a study: run after run, each stage once, one display; a run that fails does not lose the others."""

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
from lexirec.workflows.studies.plan import VERSIONS, LikeStages, StudyPlan, plan_study, walk_run


@dataclass(frozen=True)
class Failure:
    """A run that came to no end.

    Attributes:
        run: the run.
        stage: the stage that failed.
        message: why, in one line.
        trace: where in the code, for errors that are nobody's mistake in using it; else "".
    """

    run: StudyRun
    stage: str
    message: str
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a study.

    Attributes:
        study: the study.
        steps: run's name -> its steps by name, of all runs that came to their end.
        failures: the others.
    """

    study: Study
    steps: dict[str, dict[str, Stage]] = field(repr=False)
    failures: list[Failure]

    @property
    def finished(self) -> list[StudyRun]:
        """The runs that came to their end, in order."""
        return [run for run in self.study.runs if run.name in self.steps]


def run_study(study: Study, store: Store) -> Outcome:
    """Make every stage of every run that the store does not hold yet.

    Killed at any moment and called again, it carries on; what failed is tried again.

    Raises:
        DataError: a file of data is missing.
    """
    plan = plan_study(study, store)
    outcome = Outcome(study, {}, [])
    with Progress(f"Study {study.settings.name}", total=len(plan.to_do)) as bar:
        display = _Display(bar, plan, store)
        for number, run in enumerate(study.runs, start=1):
            display.run = f"run {number} of {len(study.runs)}: {run.name}"
            _carry_out(outcome, run, store, display)
    return outcome


def _carry_out(outcome: Outcome, run: StudyRun, store: Store, display: _Display) -> None:
    runner = StageRunner(store, VERSIONS, shown=display.around)
    try:
        outcome.steps[run.name] = walk_run(outcome.study.settings, run, runner)
    except LexirecError as error:
        outcome.failures.append(Failure(run, display.stage, " ".join(str(error).split())))
    except Exception as error:  # whatever it is, the other runs are worth having
        message = " ".join(f"{type(error).__name__}: {error}".split())
        outcome.failures.append(Failure(run, display.stage, message, traceback.format_exc()))
    else:
        _recorded(store, run, runner.stages)


def _recorded(store: Store, run: StudyRun, steps: list[Stage]) -> RunRecord | None:
    """Write down that a run is finished, for `lexirec show` and `compare`, unless that is written already."""
    name, keys = run.experiment.name, {step.name: step.key for step in steps}
    for known in runs(store, name):
        if known.settings.get("seed") == run.seed and {n: step.key for n, step in known.stages.items()} == keys:
            return None
    return record(store, name, run.experiment, steps)


class _Display:
    """The study's one line: which run, which stage, how many are done, how long it will take."""

    def __init__(self, bar: Progress, plan: StudyPlan, store: Store) -> None:
        self.run, self.stage = "", ""
        self._bar, self._like = bar, LikeStages(store)
        self._to_do = {stage.step.key: stage.recipe for stage in plan.to_do}
        self._expected: float | None = None  # seconds from `_since` on
        self._of_stage = 0.0  # of them for the stage that is being made
        self._since = time.monotonic()

    @contextmanager
    def around(self, step: Stage) -> Iterator[None]:
        """Show a stage while it is made."""
        self.stage = step.name
        if step.state == "done":
            yield
            return
        self._expected, self._since = self._remaining(), time.monotonic()
        recipe = self._to_do.get(step.key)
        self._of_stage = (self._like.seconds(recipe) if recipe is not None else None) or 0.0
        self._show(step.name)
        with report_progress_to(self._show):
            yield
        self._like.learn(step)
        if self._to_do.pop(step.key, None) is not None:
            self._bar.advance()

    def _show(self, text: str) -> None:
        about = text if text == self.stage else f"{self.stage}, {text}"
        spent = time.monotonic() - self._since
        # a stage that takes longer than its like took costs nothing of what the later ones will take
        left = None if self._expected is None else self._expected - min(spent, self._of_stage)
        self._bar.update(
            f"{self.run}: {about}", left=left or None
        )  # by the steps done where nothing is expected any more

    def _remaining(self) -> float | None:
        """Return the seconds that remain, where the like of every stage to be made is known."""
        known = [self._like.seconds(recipe) for recipe in self._to_do.values()]
        there = [seconds for seconds in known if seconds is not None]
        return sum(there) if len(there) == len(known) else None


def write_traces(outcome: Outcome, folder: Path) -> None:
    """Write where in the code runs failed, `failures/ROW-seed-N.txt`."""
    for failure in outcome.failures:
        if failure.trace:
            path = folder / "failures" / f"{failure.run.row.slug}-seed-{failure.run.seed}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(failure.trace, encoding="utf-8")
