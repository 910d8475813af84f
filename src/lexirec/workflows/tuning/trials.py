"""One trial of a search: the part of an experiment that one recommender needs, run and measured on validation cases."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lexirec.core.errors import LexirecError
from lexirec.core.runs import FUSED, Stage, seconds
from lexirec.core.search_space import Value
from lexirec.core.store import Store, write_json
from lexirec.pipeline.experiment import EvaluationSettings, Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.resolve import alone
from lexirec.pipeline.runner import StageRunner, StopRequested
from lexirec.pipeline.stages import evaluation
from lexirec.pipeline.stages.report import stored_reports
from lexirec.workflows.tuning.space import TuningSettings

METRIC = "ndcg@10"
"""What trials are judged by, on validation cases."""


@dataclass(frozen=True)
class Trial:
    """What was tried, and what it was worth.

    Attributes:
        number: from 0.
        params: setting -> value.
        value: NDCG@10 of validation cases; None where it failed.
        metrics: all that was measured.
        seconds: what it took to make what no earlier trial of this recommender had made.
        error: why it failed.
        steps: step -> key of its artifact.
    """

    number: int
    params: Mapping[str, Value]
    value: float | None
    metrics: Mapping[str, float]
    seconds: float
    error: str | None = None
    steps: Mapping[str, str] | None = None

    def save(self, folder: Path) -> None:
        """Write it down, whole or not at all."""
        write_json(folder / f"{self.number:05}.json", asdict(self))


@dataclass(frozen=True)
class Tuning:
    """A search, finished or not.

    Attributes:
        experiment: as it is before tuning.
        settings: what may be tried, and the budget.
        folder: where it is kept.
        trials: by recommender, in order.
    """

    experiment: Experiment
    settings: TuningSettings
    folder: Path
    trials: Mapping[str, Sequence[Trial]]

    def best(self, system: str) -> Trial:
        """Return the best trial of a recommender, the first of equal ones.

        Raises:
            LexirecError: every trial failed.
        """
        judged = [trial for trial in self.trials[system] if trial.value is not None]
        if not judged:
            error = next((trial.error for trial in self.trials[system]), "there was none")
            raise LexirecError(f"no trial of '{system}' succeeded; the first one: {error}")
        return max(judged, key=lambda trial: (trial.value or 0.0, -trial.number))

    def spent(self, system: str) -> float:
        """Return what a recommender has spent of the budget, in its unit."""
        if self.settings.budget[1] == "trials":
            return float(len(self.trials[system]))
        return sum(trial.seconds for trial in self.trials[system]) / 60


def load_trials(folder: Path) -> list[Trial]:
    """Return the trials that were written down, in order."""
    return [Trial(**json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("[0-9]*.json"))]


def run_trial(
    experiment: Experiment, system: str, store: Store, settings: TuningSettings
) -> tuple[dict[str, float], list[Stage]]:
    """Make one recommender of an experiment and measure it; return its metrics and the steps that led there."""
    runner = StageRunner(store, VERSIONS, until=_last_group(experiment, system))
    with contextlib.suppress(StopRequested):
        walk(alone(experiment, system), runner)
    steps = {step.name: step for step in runner.stages}
    inputs = {"data": steps["data"], "recommender": _recommender(steps, system)}
    seen = settings.seen or experiment.evaluation.seen[0]
    measured = EvaluationSettings(
        ks=(1, 5, 10),
        seen=(seen,),
        fold="validation",
        cases="unseen" if settings.choose_on == "unseen" else "all",
        sample_users=settings.sample_users,
        keep_lists=0,
    )
    found = StageRunner(store, VERSIONS).stage(f"evaluation.{system}", evaluation.measure, measured, inputs)
    return dict(stored_reports(found.folder)[seen].metrics), [*runner.stages, found]


def _last_group(experiment: Experiment, system: str) -> str:
    if system in experiment.baselines:
        return "baselines"
    return FUSED if system in experiment.ensemble else system


def _recommender(steps: Mapping[str, Stage], system: str) -> Stage:
    names = (f"baselines.{system}", system, f"{FUSED}.{system}")
    return next(steps[name] for name in names if name in steps)


def cost(steps: Sequence[Stage], before: Iterable[Trial]) -> float:
    """Return the seconds that went into what no earlier trial had made."""
    made = {key for trial in before for key in (trial.steps or {}).values()}
    return round(sum(seconds(step) for step in steps if step.key not in made), 3)
