"""Journal of a hyperparameter search: proposals of optuna's TPE sampler, stored so that a killed search resumes.

Proposals come from the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011); each has its own seed, so a
resumed search proposes what an uninterrupted one would have. Proposals and their values are kept in optuna's journal;
the caller stores everything else about a trial.
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
"""Distance between the seeds of two proposals."""


class Journal:
    """Trials and their values in one file, for one process at a time."""

    def __init__(
        self, path: Path, name: str, dimensions: Mapping[str, Dimension], *, seed: int = 0, joint: bool = False
    ) -> None:
        """Open a journal, or create it.

        Args:
            path: of the file; its folder must exist.
            name: of the search.
            dimensions: the search space, by setting.
            seed: of the proposals.
            joint: propose settings jointly (multivariate TPE) instead of each on its own.

        Raises:
            SettingsError: optuna is not installed.
        """
        optuna = _optuna()
        _mend(path)
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path), _NoLock()))
        self._study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        self._dimensions, self._seed, self._joint = dimensions, seed, joint

    def next(self, first: Mapping[str, Value] | None = None) -> tuple[int, dict[str, Value]]:
        """Return the number and the settings of a trial: one that was interrupted, else a new one.

        Args:
            first: settings of the first trial; the others are proposed.
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
        """Record the value of a trial; None if it failed."""
        if value is None:
            self._study.tell(number, state=_optuna().trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def settle(self, values: Mapping[int, float | None]) -> None:
        """Record trials, by number, that finished but were not recorded before a crash."""
        recorded = {each.number for each in self._study.trials if each.state.is_finished()}
        for number, value in values.items():
            if number not in recorded:
                self.tell(number, value)

    def _sampler(self, number: int) -> Any:
        optuna, seed = _optuna(), self._seed + _STEP * number
        if not self._joint:
            return optuna.samplers.TPESampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, multivariate=True)


class _NoLock:
    """A lock without effect: the caller already holds the search's lock, which ends with its process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def _mend(journal: Path) -> None:
    """Cut off a last row that was not completely written."""
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
        raise SettingsError("hyperparameter search needs the package 'optuna': pip install 'lexirec[tune]'") from None
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
