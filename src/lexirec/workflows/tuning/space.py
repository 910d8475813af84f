"""What a search over settings may try, and how much it may spend: the same for every recommender."""

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
    """A search: what may be tried for each recommender, and what each may spend.

    trials = 20
    [space.sasrec]
    "baselines.sasrec.dropout" = { low = 0.1, high = 0.6 }
    "baselines.sasrec.training.learning_rate" = { low = 3e-4, high = 1e-2, log = true }
    """

    space: dict[Name, dict[str, Dimension]] = Field(min_length=1)
    """By recommender of the experiment: settings, named as `--set` takes them, and what may be tried for each."""
    trials: int | None = Field(default=None, ge=1)
    """Trials of every recommender; 20 where no budget is given."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes of every recommender instead; the trial in which they end is finished."""
    seen: Literal["excluded", "included"] | None = None
    """Whether validation lists leave out seen items; by default as the experiment's headline."""
    choose_on: Literal["validation", "unseen"] = "validation"
    """unseen: only those validation cases whose newest event nothing was trained on, as for fusions; where data are
    split by time, they are like the test's."""
    sample_users: int | None = Field(default=None, ge=1)
    """Validation cases that are measured, drawn once; by default all."""
    seed: int = 0
    """Seed of what is proposed."""

    @model_validator(mode="after")
    def _is_a_search(self) -> Self:
        if self.trials is not None and self.minutes is not None:
            raise ValueError("'trials' and 'minutes' are both given; one budget, the same for all, is enough")
        names = [name for dimensions in self.space.values() for name in dimensions]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"'{twice[0]}' belongs to two recommenders; what both depend on is no part of either's search"
            )
        empty = [name for name, dimensions in self.space.items() if not dimensions]
        if empty:
            raise ValueError(f"'space.{empty[0]}' is empty; name a setting, or leave the table out")
        return self

    @property
    def budget(self) -> tuple[float, str]:
        """What each recommender may spend, and of what."""
        return (self.minutes, "minutes") if self.minutes is not None else (float(self.trials or 20), "trials")


def load_space(
    path: str | Path, experiment: Experiment, *, trials: int | None = None, minutes: float | None = None
) -> TuningSettings:
    """Read a file of settings to be tried.

    Args:
        path: the TOML file.
        experiment: whose recommenders it is about.
        trials: the budget, instead of what the file says.
        minutes: likewise.

    Raises:
        SettingsError: it cannot be understood, the experiment has no such recommender, or there are two budgets.
    """
    settings = load_settings(path, TuningSettings)
    if trials is not None and minutes is not None:
        raise SettingsError("tune: --trials and --minutes are both given; one budget, the same for all, is enough")
    given = trials if minutes is None else minutes
    if given is not None and given <= 0:
        raise SettingsError(f"tune: a budget of {given:g} allows nothing; give more than 0")
    if trials is not None or minutes is not None:
        settings = settings.model_copy(update={"trials": trials, "minutes": minutes})
    known = list(recommender_names(experiment))
    for system in settings.space:
        if system not in known:
            raise SettingsError(
                f"{Path(path).name}: 'space.{system}' is no recommender of {experiment.name}; it has "
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
    """Yield what an experiment's recommenders are called."""
    yield from experiment.baselines
    if experiment.model is not None:
        yield "model"
    if experiment.reinforcement is not None:
        yield "reinforced"
    yield from experiment.ensemble
