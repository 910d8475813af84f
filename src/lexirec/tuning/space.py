"""What a search over settings may try, and how much it may spend: the same for every recommender."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lexirec.config import Settings, load_settings
from lexirec.errors import SettingsError, did_you_mean
from lexirec.experiment import Experiment, Name

Value = bool | int | float | str


class Dimension(Settings):
    """What may be tried for one setting: numbers between two ends, whole ones where both ends are whole, or choices."""

    low: int | float | None = None
    """The smallest number that is tried."""
    high: int | float | None = None
    """The greatest number that is tried."""
    log: bool = False
    """Whether orders of magnitude are tried alike."""
    step: int | float | None = Field(default=None, gt=0)
    """Distance between numbers that are tried; by default 1 for whole numbers, any for others."""
    choices: tuple[Value, ...] = ()
    """Values that are tried, instead of numbers between ends."""

    @model_validator(mode="after")
    def _says_what_is_tried(self) -> Self:
        if self.choices:
            if len(self.choices) < 2 or self.model_fields_set != {"choices"}:
                raise ValueError("should have two choices or more, and nothing else beside them")
            return self
        if self.low is None or self.high is None:
            raise ValueError("should have both low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"should have low = {self.low} below high = {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("should have low above 0 and no step where log = true")
        if self.whole and isinstance(self.step, float):
            raise ValueError(f"should have a whole step, as low and high are; it has {self.step}")
        return self

    @property
    def whole(self) -> bool:
        """Whether whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The choices, or the least and the greatest number."""
        return self.choices or (self.low or 0, self.high or 0)

    def holds(self, value: Any) -> bool:
        """Say whether a value is one of those that may be tried."""
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        low, high = float(self.ends[0]), float(self.ends[1])
        steps = (value - low) / (self.step or 1)
        return low <= value <= high and (self.step is None or abs(steps - round(steps)) < 1e-9)


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
    return settings


def recommender_names(experiment: Experiment) -> Iterator[str]:
    """Yield what an experiment's recommenders are called."""
    yield from experiment.baselines
    if experiment.model is not None:
        yield "model"
    if experiment.reinforcement is not None:
        yield "reinforced"
    yield from experiment.fusion
