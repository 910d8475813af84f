"""Trials of a hyperparameter search: one recommender of an experiment, run and evaluated on validation cases."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lexirec.core.errors import LexirecError
from lexirec.core.files import read_json, write_json
from lexirec.core.runs import FUSED, Stage, seconds
from lexirec.core.search_space import Value
from lexirec.core.store import Store
from lexirec.pipeline.experiment import EvaluationSettings, Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.resolve import alone
from lexirec.pipeline.runner import StageRunner, StopRequested
from lexirec.pipeline.stages import evaluation
from lexirec.pipeline.stages.report import stored_reports
from lexirec.workflows.tuning.settings import TuningSettings

_log = logging.getLogger(__name__)

METRIC = "ndcg@10"
"""Metric that selects trials, on validation cases."""


@dataclass(frozen=True)
class Trial:
    """One trial: its settings, metrics and cost.

    Attributes:
        number: from 0.
        params: setting -> value.
        value: NDCG@10 on validation cases; None where the trial failed.
        metrics: all metrics.
        seconds: time of the stages that no earlier trial of this recommender had run.
        error: message of the failure, if any.
        steps: stage -> key of its artifact.
    """

    number: int
    params: Mapping[str, Value]
    value: float | None
    metrics: Mapping[str, float]
    seconds: float
    error: str | None = None
    steps: Mapping[str, str] | None = None

    def save(self, folder: Path) -> None:
        """Save the trial atomically."""
        write_json(folder / f"{self.number:05}.json", asdict(self))


@dataclass(frozen=True)
class Tuning:
    """A search, finished or not.

    Attributes:
        experiment: the experiment before tuning.
        settings: search space and budget.
        folder: folder of the search.
        trials: recommender -> its trials, in order.
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
        finished = [trial for trial in self.trials[system] if trial.value is not None]
        if not finished:
            error = next((trial.error for trial in self.trials[system]), "no trial was run")
            raise LexirecError(f"tune: every trial of '{system}' failed; the first with: {error}")
        return max(finished, key=lambda trial: (trial.value or 0.0, -trial.number))

    def spent(self, system: str) -> float:
        """Return the spent budget of a recommender, in the budget's unit."""
        if self.settings.budget[1] == "trials":
            return float(len(self.trials[system]))
        return sum(trial.seconds for trial in self.trials[system]) / 60


def load_trials(folder: Path) -> list[Trial]:
    """Return the saved trials, in order; a damaged one is left out with a line, and is run again."""
    found = [_read(path) for path in sorted(folder.glob("[0-9]*.json"))]
    return [trial for trial in found if trial is not None]


def _read(path: Path) -> Trial | None:
    try:
        trial = Trial(**read_json(path))
        numbers = (trial.seconds, *trial.metrics.values(), *([] if trial.value is None else [trial.value]))
        if f"{trial.number:05}" == path.stem and all(math.isfinite(number) for number in numbers):
            return trial
    except (TypeError, ValueError, AttributeError):
        pass
    _log.warning("%s is damaged; the trial is run again", path)
    return None


def run_trial(
    experiment: Experiment, system: str, store: Store, settings: TuningSettings
) -> tuple[dict[str, float], list[Stage]]:
    """Run and evaluate one recommender of an experiment; return its metrics and its stages."""
    runner = StageRunner(store, VERSIONS, until=_last_group(experiment, system))
    with contextlib.suppress(StopRequested):
        walk(alone(experiment, system), runner)
    stages = {stage.name: stage for stage in runner.stages}
    inputs = {"data": stages["data"], "recommender": _recommender(stages, system)}
    seen = settings.seen or experiment.evaluation.seen[0]
    measured = EvaluationSettings(
        ks=(1, 5, 10),
        seen=(seen,),
        fold="validation",
        cases="unseen" if settings.choose_on == "unseen" else "all",
        sample_users=settings.sample_users,
        keep_lists=0,
    )
    evaluated = StageRunner(store, VERSIONS).stage(f"evaluation.{system}", evaluation.measure, measured, inputs)
    return dict(stored_reports(evaluated.folder)[seen].metrics), [*runner.stages, evaluated]


def _last_group(experiment: Experiment, system: str) -> str:
    if system in experiment.baselines:
        return "baselines"
    return FUSED if system in experiment.ensemble else system


def _recommender(stages: Mapping[str, Stage], system: str) -> Stage:
    names = (f"baselines.{system}", system, f"{FUSED}.{system}")
    return next(stages[name] for name in names if name in stages)


def cost(stages: Sequence[Stage], before: Iterable[Trial]) -> float:
    """Return the seconds of the stages that no earlier trial had run."""
    earlier = {key for trial in before for key in (trial.steps or {}).values()}
    return round(sum(seconds(stage) for stage in stages if stage.key not in earlier), 3)
