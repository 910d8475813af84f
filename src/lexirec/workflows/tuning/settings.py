"""Search space and budget of a hyperparameter search, the budget equal for every recommender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings, load_settings
from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.renamed import Spelling, mention, spelled
from lexirec.core.search_space import Dimension, Value
from lexirec.pipeline.experiment import Experiment, Name


class TuningSettings(Settings):
    """Search space per recommender, and the budget of each.

    trials = 20
    [space.sasrec]
    "baselines.sasrec.dropout" = { low = 0.1, high = 0.6 }
    "baselines.sasrec.training.learning_rate" = { low = 3e-4, high = 1e-2, log = true }
    """

    space: dict[Name, dict[str, Dimension]] = Field(min_length=1)
    """Recommender -> setting (named as for `--set`) -> its range or values."""
    trials: int | None = Field(default=None, ge=1)
    """Trials per recommender; 20 if no budget is given."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes per recommender instead; the trial in which they end is finished."""
    seen: Literal["excluded", "included"] | None = None
    """Treatment of seen items on validation; by default the experiment's headline."""
    choose_on: Literal["validation", "unseen"] = "validation"
    """unseen: only validation cases whose newest history event is not in training, as for ensembles; with a split by
    time they are like the test cases."""
    sample_users: int | None = Field(default=None, ge=1)
    """Number of validation cases to evaluate, sampled once; by default all."""
    seed: int = 0
    """Seed of the proposals."""

    @model_validator(mode="after")
    def _is_a_search(self) -> Self:
        if self.trials is not None and self.minutes is not None:
            raise ValueError("'trials' and 'minutes' are both given; give one budget")
        names = [name for dimensions in self.space.values() for name in dimensions]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"'{twice[0]}' is searched for two recommenders; search a setting for one only")
        empty = [name for name, dimensions in self.space.items() if not dimensions]
        if empty:
            raise ValueError(f"'space.{empty[0]}' is empty; name a setting, or remove the table")
        return self

    @property
    def budget(self) -> tuple[float, str]:
        """Budget per recommender and its unit, `trials` or `minutes`."""
        return (self.minutes, "minutes") if self.minutes is not None else (float(self.trials or 20), "trials")


def load_space(
    path: str | Path, experiment: Experiment, *, trials: int | None = None, minutes: float | None = None
) -> TuningSettings:
    """Read a search space.

    Args:
        path: the TOML file.
        experiment: experiment with the recommenders.
        trials: budget in trials, overriding the file's.
        minutes: budget in minutes, likewise.

    Raises:
        SettingsError: the file is invalid, the experiment lacks a recommender, or two budgets are given.
    """
    settings = load_settings(path, TuningSettings)
    if trials is not None and minutes is not None:
        raise SettingsError("tune: --trials and --minutes are both given; give one budget")
    budget = trials if minutes is None else minutes
    if budget is not None and budget <= 0:
        raise SettingsError(f"tune: budget {budget:g} must be above 0")
    if trials is not None or minutes is not None:
        settings = settings.model_copy(update={"trials": trials, "minutes": minutes})
    known = list(recommender_names(experiment))
    for system in settings.space:
        if system not in known:
            raise SettingsError(
                f"{Path(path).name}: 'space.{system}' is not a recommender of {experiment.name}; allowed are "
                f"{', '.join(known)}.{did_you_mean(system, known)}"
            )
    space = {system: _as_stored(tried, experiment, Path(path).name) for system, tried in settings.space.items()}
    return settings.model_copy(update={"space": space})


def _as_stored(tried: dict[str, Dimension], experiment: Experiment, file: str) -> dict[str, Dimension]:
    """Name settings as they are stored, so that searches are found whatever spelling a file has."""
    found: dict[str, Dimension] = {}
    for name, dimension in tried.items():
        current, stored = spelled(experiment, name), spelled(experiment, name, stored=True)
        if stored in found:
            raise SettingsError(
                f"{file}: '{stored}' is the old name of '{current}', and both are given; keep the new one"
            )
        if name != current:
            mention(Spelling(name, current), file)
        found[stored] = dimension
    return found


def current_names(params: Mapping[str, Value], experiment: Experiment) -> dict[str, Value]:
    """Return what a trial set under current names; trials are stored under those that settings had first."""
    return {spelled(experiment, name): value for name, value in params.items()}


def recommender_names(experiment: Experiment) -> Iterator[str]:
    """Yield the names of an experiment's recommenders."""
    yield from experiment.baselines
    if experiment.model is not None:
        yield "model"
    if experiment.reinforcement is not None:
        yield "reinforced"
    yield from experiment.ensemble
