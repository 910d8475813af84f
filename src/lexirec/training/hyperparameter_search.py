"""Journal of a hyperparameter search: proposals of optuna's TPE sampler, stored so that a killed search resumes.

Proposals come from the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011); each has its own seed, so a
resumed search proposes what an uninterrupted one would have. Proposals and their values are kept in optuna's journal;
the caller stores everything else about a trial. A damaged journal is made again from the caller's trials, and a trial
that the caller has lost is proposed again.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lexirec.core.errors import SettingsError
from lexirec.core.search_space import Dimension, Value

_STEP = 7919
"""Distance between the seeds of two proposals."""


_log = logging.getLogger(__name__)


class Finished(NamedTuple):
    """A finished trial: its settings, and its value, None if it failed."""

    params: Mapping[str, Value]
    value: float | None


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
        self._path, self._name = path, name
        self._dimensions, self._seed, self._joint = dimensions, seed, joint
        self._known: set[int] = set()
        _optuna()
        _mend(path)
        try:
            self._study = self._open()
            self._known = {each.number for each in self._study.trials if each.state.is_finished()}
        except OSError:  # a disk that is full or cannot be read, not what is in the file
            raise
        except Exception as error:  # whatever optuna makes of a damaged file
            self._make_again({}, " ".join(str(error).split()))
        else:
            cut_off = [each for each in self._study.trials if each.params and each.params.keys() != dimensions.keys()]
            if cut_off:  # killed between two of its settings
                self._make_again(self._finished(), f"trial {cut_off[0].number} is incomplete")

    def next(self, first: Mapping[str, Value] | None = None) -> tuple[int, dict[str, Value]]:
        """Return the number and the settings of a trial: one that was interrupted or lost, else a new one.

        Args:
            first: settings of the first trial; the others are proposed.
        """
        open_ = next((each for each in self._study.trials if each.number not in self._known and each.params), None)
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
        recorded = self._study.trials[number]
        if recorded.state.is_finished():  # before the caller lost it
            if recorded.value != value:
                again = {**self._finished(), number: Finished(dict(recorded.params), value)}
                self._make_again(again, f"trial {number} is not what it was")
        elif value is None:
            self._study.tell(number, state=_optuna().trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)
        self._known.add(number)

    def settle(self, trials: Mapping[int, Finished]) -> set[int]:
        """Agree with the caller, who holds these trials by number.

        Those that the journal does not have are recorded. Those that the caller lacks are the next to be run again.
        Where the journal says something else, it is made again from the caller's trials.

        Returns:
            The numbers of the trials that stay; those after one that neither side has were proposed from what is lost.
        """
        odd = [number for number, trial in trials.items() if not self._agrees(number, trial)]
        if odd:
            self._make_again({}, f"trial {odd[0]} is not what it was")
        for number, trial in sorted(trials.items()):
            open_ = self._study.trials
            if number < len(open_) and open_[number].params:
                self.tell(number, trial.value)
            elif number == len([each for each in open_ if each.params]):
                self._add(trial)
        kept = set(self._finished()) & set(trials)
        self._known = set(kept)
        return kept

    def _agrees(self, number: int, trial: Finished) -> bool:
        """Whether the journal says nothing else about a trial."""
        recorded = self._study.trials[number] if number < len(self._study.trials) else None
        if recorded is None or not recorded.params:
            return True
        same = dict(recorded.params) == dict(trial.params)
        return same and (not recorded.state.is_finished() or recorded.value == trial.value)

    def _finished(self) -> dict[int, Finished]:
        """Return the trials with a value before the first that has no settings."""
        found = {}
        for each in self._study.trials:
            if each.params.keys() != self._dimensions.keys():
                break
            if each.state.is_finished():
                found[each.number] = Finished(dict(each.params), each.value)
        return found

    def _open(self) -> Any:
        optuna = _optuna()
        backend = optuna.storages.journal.JournalFileBackend(str(self._path), _NoLock())
        storage = optuna.storages.JournalStorage(backend)
        return optuna.create_study(storage=storage, study_name=self._name, direction="maximize", load_if_exists=True)

    def _make_again(self, trials: Mapping[int, Finished], reason: str) -> None:
        """Begin a new file with these trials, up to the first that is missing."""
        _log.warning("%s is damaged (%s); it is made again from the trials", self._path, reason)
        self._path.unlink(missing_ok=True)
        self._study = self._open()
        for number in range(len(trials)):
            if number not in trials:
                break
            self._add(trials[number])

    def _add(self, trial: Finished) -> None:
        optuna = _optuna()
        state = optuna.trial.TrialState.FAIL if trial.value is None else optuna.trial.TrialState.COMPLETE
        distributions = {name: _distribution(each) for name, each in self._dimensions.items()}
        made = optuna.trial.create_trial(
            state=state, value=trial.value, params=dict(trial.params), distributions=distributions
        )
        self._study.add_trial(made)

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
