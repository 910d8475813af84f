"""Hyperparameter search with equal budgets: the same number of trials, or minutes, for every recommender.

Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) proposes the trials; the first has the
experiment's own values, so that tuning never ends below them on validation. Trials are selected by NDCG@10 on
validation cases only; test cases are not used. Trials run as stages of the pipeline, so shared stages run once and an
interrupted trial resumes. The search is stored as optuna's journal and as one file per trial; each proposal has a seed
of its own, so that an interrupted search continues as if it had not been.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexirec.core.config import Settings, as_toml
from lexirec.core.errors import LexirecError, SettingsError
from lexirec.core.locks import exclusive
from lexirec.core.manifest import stage_key
from lexirec.core.renamed import spelled
from lexirec.core.runs import Stage
from lexirec.core.search_space import Dimension, Value
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.run import plan_experiment
from lexirec.training.hyperparameter_search import Finished, Journal
from lexirec.workflows.tuning.report import write_tuning
from lexirec.workflows.tuning.settings import TuningSettings, current_names, load_space
from lexirec.workflows.tuning.trials import METRIC, Trial, Tuning, cost, load_trials, run_trial

TUNING = "tuning"
"""Folder of the store with the searches, `tuning/<experiment>-<key>/`."""
_VERSION = 1
_IDLE = 20
"""Trials in a row without new work (failed, or run before) after which a recommender's search ends."""
_log = logging.getLogger(__name__)


def tune(
    path: Path,
    space: Path,
    store: Store,
    *,
    sets: Sequence[str] = (),
    trials: int | None = None,
    minutes: float | None = None,
) -> Tuning:
    """Search until every recommender has spent its budget, and write `best.toml` and the report.

    Args:
        path: the experiment.
        space: the search space, see `space.TuningSettings`.
        store: store of artifacts and search.
        sets: overrides of the experiment.
        trials: budget per recommender, overriding the file's; a search may be continued with a larger one.
        minutes: budget per recommender in minutes, likewise.

    Raises:
        SettingsError: a file or the search space is invalid.
        LexirecError: no trial of a recommender succeeded.
    """
    experiment = load_experiment(path, sets)
    settings = load_space(space, experiment, trials=trials, minutes=minutes)
    for dimensions in settings.space.values():
        for name, dimension in dimensions.items():
            _check(path, sets, spelled(experiment, name), dimension)
    folder = search_folder(experiment, settings, store)
    with exclusive(folder / "search.lock", "this search"):
        searches = {system: _Search(system, settings, folder) for system in settings.space}
        tuning = Tuning(experiment, settings, folder, {name: each.trials for name, each in searches.items()})
        while open_systems := _open(tuning):
            system = min(
                open_systems, key=tuning.spent
            )  # in turns, so that an interrupted search has spent equal budgets
            searches[system].run_next(path, sets, store, experiment)
            write_tuning(tuning, path, sets)
        write_tuning(tuning, path, sets)
    for system in settings.space:
        tuning.best(system)
    return tuning


def search_folder(experiment: Experiment, settings: TuningSettings, store: Store) -> Path:
    """Return the folder of a search, unique for experiment, content of the data, and search space."""
    data = plan_experiment(experiment, store, until="data")[0]
    described = experiment.model_dump(mode="json", exclude={"name", "evaluation"})
    tried = settings.model_dump(mode="json", exclude={"trials", "minutes"})
    key = stage_key(TUNING, _VERSION, {"experiment": described, "search": tried}, {"data": data.key})
    folder = store.root / TUNING / f"{experiment.name}-{key[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _open(tuning: Tuning) -> list[str]:
    limit, _ = tuning.settings.budget
    return [name for name in tuning.settings.space if tuning.spent(name) < limit and not _idle(tuning.trials[name])]


def _idle(trials: Sequence[Trial]) -> bool:
    return len(trials) >= _IDLE and not any(trial.seconds for trial in trials[-_IDLE:])


class _Search:
    """The search for one recommender: optuna's journal and the finished trials."""

    def __init__(self, system: str, settings: TuningSettings, folder: Path) -> None:
        self.system, self._folder = system, folder / system
        self._settings, self._dimensions = settings, settings.space[system]
        self._folder.mkdir(exist_ok=True)
        self._journal = Journal(self._folder / "journal.jsonl", system, self._dimensions, seed=settings.seed)
        found = load_trials(self._folder)
        kept = self._journal.settle({trial.number: Finished(trial.params, trial.value) for trial in found})
        self.trials = [trial for trial in found if trial.number in kept]

    def run_next(self, path: Path, sets: Sequence[str], store: Store, experiment: Experiment) -> None:
        """Run one trial: an interrupted one, else a new one."""
        number, params = self._journal.next(_own_values(experiment, self._dimensions))
        limit, unit = self._settings.budget
        _log.info(
            "%s, trial %d of a budget of %g %s: %s",
            self.system,
            number + 1,
            limit,
            unit,
            current_names(params, experiment),
        )
        metrics: dict[str, float] = {}
        stages: list[Stage] = []
        error: str | None = None
        try:
            changed = load_experiment(path, [*sets, *_overrides(current_names(params, experiment))])
            metrics, stages = run_trial(changed, self.system, store, self._settings)
        except (LexirecError, MemoryError) as problem:
            if not number:
                raise  # with the experiment's own values: every other trial would fail, too
            error = " ".join(str(problem).split()) or "not enough memory"
            _log.warning("%s, trial %d failed: %s", self.system, number + 1, error)
        keys = {stage.name: stage.key for stage in stages}
        trial = Trial(number, params, metrics.get(METRIC), metrics, cost(stages, self.trials), error, keys)
        trial.save(self._folder)
        self.trials.append(trial)
        self.trials.sort(key=lambda each: each.number)
        self._journal.tell(number, trial.value)


def _check(path: Path, sets: Sequence[str], name: str, dimension: Dimension) -> None:
    """Check that the experiment takes the setting with either end of its range."""
    refused: SettingsError | None = None
    for value in dimension.ends:
        try:
            load_experiment(path, [*sets, *_overrides({name: value})])
        except SettingsError as error:
            refused = error
        else:
            return
    if refused is not None:
        raise refused


def _own_values(experiment: Experiment, dimensions: Mapping[str, Dimension]) -> dict[str, Value]:
    """Return the experiment's own values of the searched settings, where they lie in the search space."""
    values = {}
    for name, dimension in dimensions.items():
        value: Any = experiment
        for key in spelled(experiment, name).split("."):
            value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
        if not isinstance(value, Settings) and dimension.holds(value):
            values[name] = value
    return values


def _overrides(params: Mapping[str, Value]) -> list[str]:
    """Format values as `--set` takes them."""
    return [f"{name}={as_toml(value)}" for name, value in params.items()]
