"""Proposals of a search for settings, kept so that a search that was cut off goes on as if it had not been.

Values are proposed by optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), each by a seed of its
own. What was proposed and what it was worth is kept in optuna's journal; who searches keeps what else a trial found.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexirec.core.errors import SettingsError
from lexirec.core.search_space import Dimension, Value

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
