"""Proposals of a search for settings, kept so that a search that was cut off goes on as if it had not been.

Values are proposed by optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), each by a seed of its
own. What was proposed and what it was worth is kept in optuna's journal; who searches keeps what else a trial found.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.core.errors import SettingsError

_STEP = 7919
"""Between the seeds of two proposals."""


class Journal:
    """What was proposed and what it was worth, in one file; one process at a time may hold it."""

    def __init__(
        self, path: Path, name: str, dimensions: Mapping[str, Dimension], *, seed: int = 0, joint: bool = False
    ) -> None:
        """Open a journal or begin one.

        Args:
            path: the file; its folder is there.
            name: of the search.
            dimensions: what may be tried, by setting.
            seed: of what is proposed.
            joint: settings are proposed together, as what was good together, and not each on its own.

        Raises:
            SettingsError: optuna is not installed.
        """
        optuna = _optuna()
        _mend(path)
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path), _Held()))
        self._study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        self._dimensions, self._seed, self._joint = dimensions, seed, joint

    def next(self, first: Mapping[str, Value] | None = None) -> tuple[int, dict[str, Value]]:
        """Return the number of a trial and what to try: one that was cut off, else a new one.

        Args:
            first: what the first trial tries; what is not named is proposed.
        """
        open_ = next((each for each in self._study.trials if not each.state.is_finished() and each.params), None)
        if open_ is not None:
            return open_.number, dict(open_.params)
        number = len(self._study.trials)
        if not number and first:
            self._study.enqueue_trial(dict(first))
        self._study.sampler = self._sampler(number)
        asked = self._study.ask({name: _distribution(each) for name, each in self._dimensions.items()})
        return asked.number, dict(asked.params)

    def tell(self, number: int, value: float | None) -> None:
        """Say what a trial was worth; None where it failed."""
        if value is None:
            self._study.tell(number, state=_optuna().trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def settle(self, values: Mapping[int, float | None]) -> None:
        """Tell of trials that were finished before the journal could be told, by their numbers."""
        told = {each.number for each in self._study.trials if each.state.is_finished()}
        for number, value in values.items():
            if number not in told:
                self.tell(number, value)

    def _sampler(self, number: int) -> Any:
        optuna, seed = _optuna(), self._seed + _STEP * number
        if not self._joint:
            return optuna.samplers.TPESampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, multivariate=True)


class _Held:
    """The lock that the journal asks for: the search is locked already, by a lock that ends with its process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def _mend(journal: Path) -> None:
    """Cut a last line that was not written to its end."""
    if journal.is_file():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(journal, whole)


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError:
        raise SettingsError("searching settings needs the package 'optuna': pip install 'lexirec[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(dimension: Dimension) -> Any:
    optuna = _optuna()
    if dimension.choices:
        return optuna.distributions.CategoricalDistribution(list(dimension.choices))
    (low, high), step = dimension.ends, dimension.step
    if dimension.whole:
        return optuna.distributions.IntDistribution(low, high, log=dimension.log, step=1 if step is None else step)
    return optuna.distributions.FloatDistribution(low, high, log=dimension.log, step=step)


# ----------------------------------------------------------------------------------------------------------- dimensions
# What may be tried for one setting of a search.


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
