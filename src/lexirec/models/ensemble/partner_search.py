"""Partner search: tune a memory for the accuracy of the ensemble's product instead of its own.

A memory that is better alone is not always the better partner: the network may already predict what it gained. A trial
therefore counts anew with other settings, chooses the weights of the product, and measures its NDCG@10 on validation
cases. The other parts do not depend on the trial: they score all items once, so a trial costs as much as the memory.

Our own measurement (docs/log/). Legend: `C` cases, `K` candidates, `I` items.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError
from lexirec.core.files import find_sealed, read_json, save_sealed, write_json
from lexirec.core.progress import Progress, quiet
from lexirec.core.search_space import Value
from lexirec.data.neighbors import Neighbors, nearest
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.data.training_part import TrainingAndValidation
from lexirec.models.baselines.base import score_batches
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.baselines.text_neighbors import text_neighbors
from lexirec.models.ensemble.candidates import Part, best, gathered, union
from lexirec.models.ensemble.settings import EnsembleSettings, PartnerSettings
from lexirec.models.ensemble.weights import (
    Candidates,
    Floats,
    choose_weights,
    chosen_cases,
    support_of,
    weighted_scores,
)
from lexirec.models.score_distributions import shares
from lexirec.training.hyperparameter_search import Finished, Journal

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartnerTrial:
    """One trial: settings of the memory, and NDCG@10 of the product with it.

    Attributes:
        number: from 0; trial 0 has the part's own settings.
        params: setting of the memory -> value.
        value: NDCG@10 of the product on all cases of the search.
        halves: the same on the cases of users of even and of odd numbers; nan where there are none.
        seconds: duration of the trial.
    """

    number: int
    params: Mapping[str, Value]
    value: float
    halves: tuple[float, float]
    seconds: float


@dataclass(frozen=True)
class Partner:
    """Result of a partner search.

    Attributes:
        memory: fitted with the settings of the best trial.
        trials: all trials, in order.
        cases: number of cases per trial.
    """

    memory: Memory
    trials: Sequence[PartnerTrial]
    cases: int

    @property
    def best(self) -> PartnerTrial:
        """The best trial; ties go to the first."""
        return _best(self.trials)

    @property
    def held_out(self) -> float:
        """NDCG@10 on users that did not choose the trial: the mean over both halves, each with the other half's best.

        The weights of every trial were chosen on all users.
        """
        by_odd = max(self.trials, key=lambda trial: (trial.halves[1], -trial.number))
        by_even = max(self.trials, key=lambda trial: (trial.halves[0], -trial.number))
        return (by_odd.halves[0] + by_even.halves[1]) / 2


def _best(trials: Sequence[PartnerTrial]) -> PartnerTrial:
    return max(trials, key=lambda trial: (trial.value, -trial.number))


def find_partner(
    names: Sequence[str],
    parts: Sequence[Part],
    settings: EnsembleSettings,
    split: Split | TrainingAndValidation,
    folder: Path,
    *,
    texts: Sequence[str] | None = None,
    vectors: NDArray[np.floating[Any]] | None = None,
) -> Partner:
    """Search the settings of a memory for the NDCG@10 of its product with the other parts.

    Args:
        names: of the parts, the lead's first.
        parts: the lead first, `settings.partner.part` among the others.
        settings: of the ensemble.
        split: its training part is counted, its validation cases measure.
        folder: of scores and trials; an interrupted search resumes from there.
        texts: one per item, for smoothing counts; see `Memory.fit`.
        vectors: (I, d), likewise; without either, counts are not smoothed.

    Raises:
        SettingsError: the part is the lead or no memory, or optuna is not installed.
        DataError: there is no validation case, or the texts have no words in common.
    """
    wanted = settings.partner
    if wanted is None:
        raise ValueError("ensemble.partner is not set; set it to search one")
    index = names.index(wanted.part)
    own = getattr(getattr(parts[index].recommender, "scorer", None), "settings", None)
    if not isinstance(own, MemorySettings):
        raise SettingsError(f"ensemble.partner.part: '{wanted.part}' is no memory; name a part of kind \"memory\"")
    if not index:
        raise SettingsError(
            f"ensemble.partner.part: '{wanted.part}' is the lead of the ensemble; put another part first in ensemble.of"
        )
    trial_folder = folder / "trials"
    trial_folder.mkdir(parents=True, exist_ok=True)
    # opened before the scoring, so that a missing optuna is reported at once
    journal = Journal(trial_folder / "journal.jsonl", wanted.part, wanted.space, seed=wanted.seed, joint=True)
    cases = chosen_cases(settings, split)[0].sample(wanted.cases, wanted.seed)
    fixed = _FixedScores(folder / "readings", cases, settings)
    for name, part in zip(names, parts, strict=True):
        if name != wanted.part:
            fixed.add(name, part)
    widest = max(wanted.space["neighbors"].ends) if "neighbors" in wanted.space else own.neighbors
    neighbors = _text_neighbors(int(widest), texts, vectors)

    def memory(tried: MemorySettings) -> Memory:
        return Memory(tried).fit(split.train, split.n_items, neighbors=neighbors)

    evaluator = _ProductEvaluator(names, parts, index, settings, split, fixed)
    trials = _trials(wanted, own, lambda tried: evaluator.gains(memory(tried)), cases, journal, trial_folder)
    return Partner(memory(_changed(own, _best(trials).params)), trials, len(cases))


def _text_neighbors(k: int, texts: Sequence[str] | None, vectors: NDArray[np.floating[Any]] | None) -> Neighbors | None:
    """Find every item's k nearest neighbours once; each trial uses the first few of them."""
    if vectors is not None:
        return nearest(vectors, k)
    return None if texts is None else text_neighbors(texts, k)


def _changed(own: MemorySettings, params: Mapping[str, Value]) -> MemorySettings:
    return MemorySettings.model_validate(
        {**{name: getattr(own, name) for name in MemorySettings.model_fields}, **params}
    )


# -------------------------------------------------------------------------------------------------------- the trials


def _trials(
    settings: PartnerSettings,
    own: MemorySettings,
    gains: Callable[[MemorySettings], Floats],
    cases: Cases,
    journal: Journal,
    folder: Path,
) -> list[PartnerTrial]:
    """Run the trials that are missing in the folder; return all trials."""
    found = [trial for trial in map(_read, sorted(folder.glob("[0-9]*.json"))) if trial is not None]
    kept = journal.settle({trial.number: Finished(trial.params, trial.value) for trial in found})
    trials = [trial for trial in found if trial.number in kept]
    first = {name: getattr(own, name) for name, each in settings.space.items() if each.holds(getattr(own, name))}
    even = cases.users % 2 == 0
    with Progress("Partner search", total=settings.trials) as progress:
        progress.advance(min(len(trials), settings.trials))
        while len(trials) < settings.trials:
            started = time.monotonic()
            number, params = journal.next(first)
            gained = gains(_changed(own, params))
            halves = tuple(float(gained[half].mean()) if half.any() else float("nan") for half in (even, ~even))
            seconds = round(time.monotonic() - started, 3)
            trial = PartnerTrial(number, params, float(gained.mean()), (halves[0], halves[1]), seconds)
            write_json(folder / f"{number:04}.json", asdict(trial))
            journal.tell(number, trial.value)
            trials.append(trial)
            progress.advance()
            progress.update(f"best {max(each.value for each in trials):.4f}, own settings {trials[0].value:.4f}")
    return sorted(trials, key=lambda trial: trial.number)


def _read(path: Path) -> PartnerTrial | None:
    """Return a saved trial; None where the file is damaged."""
    values = read_json(path)
    try:
        trial = PartnerTrial(**{**values, "halves": tuple(values["halves"])})
        if f"{trial.number:04}" == path.stem and math.isfinite(trial.value) and len(trial.halves) == 2:
            return trial
    except (KeyError, TypeError, ValueError):
        pass
    _log.warning("%s is damaged; the trial is run again", path)
    return None


class _FixedScores:
    """Scores of all items, and candidates, of the parts that no trial changes: in blocks of cases, on disk."""

    def __init__(self, folder: Path, cases: Cases, settings: EnsembleSettings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._settings = folder, settings
        self.cases, self.blocks = cases, list[NDArray[np.int64]]()
        self._scores: list[list[NDArray[np.float32]]] = []
        self._lists: list[list[NDArray[np.int32]]] = []

    def add(self, name: str, part: Part) -> None:
        """Score all cases with a part, or read the scores of an earlier run."""
        n_items = len(part.recommender.catalog)
        self.blocks = list(score_batches(len(self.cases), n_items))
        scores, lists, unseen = (
            list[NDArray[np.float32]](),
            list[NDArray[np.int32]](),
            self._settings.seen == "excluded",
        )
        with Progress(f"Scoring with {name}", total=len(self.cases)) as progress:
            for number, rows in enumerate(self.blocks):
                block, histories = f"{name}-{number:04}", self.cases.histories.take(rows)
                path = find_sealed(self._folder, block, ".npy")
                if path is None:
                    with quiet():
                        made = _scores_of(part, histories, self._settings)
                    path = save_sealed(self._folder, block, ".npy", partial(np.save, arr=made, allow_pickle=False))
                scores.append(np.load(path, mmap_mode="r", allow_pickle=False))
                lists.append(best(scores[-1], histories, self._settings.depth, unseen))
                progress.advance(len(rows))
        self._scores.append(scores)
        self._lists.append(lists)

    def of(self, block: int) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int32]]]:
        """Return each part's scores (rows, I) and candidates (rows, depth) of a block."""
        return [scores[block] for scores in self._scores], [lists[block] for lists in self._lists]


def _scores_of(part: Part, histories: Sequences, settings: EnsembleSettings) -> Floats:
    """Return a part's scores of all items; of a generative part from its root distribution, else from its search."""
    if part.searcher is not None and part.searcher.flat:
        return part.searcher.item_log_probabilities(histories)
    return part.read(histories, settings.reach, exclude_seen=settings.seen == "excluded")


class _ProductEvaluator:
    """Measures the product with a given memory."""

    def __init__(
        self,
        names: Sequence[str],
        parts: Sequence[Part],
        index: int,
        settings: EnsembleSettings,
        split: Split | TrainingAndValidation,
        fixed: _FixedScores,
    ) -> None:
        self._names, self._parts, self._index, self._settings = names, parts, index, settings
        self._fixed, self._support = fixed, support_of(split.train, split.n_items)

    def gains(self, memory: Memory) -> Floats:
        """Return each case's NDCG@10 under the best weights: (C,)."""
        candidates = self._candidates(memory)
        weights = choose_weights(candidates, self._names[1:], self._settings, self._support)
        return candidates.gains(weighted_scores(candidates, weights.option, weights.values, weights.edges))

    def _candidates(self, memory: Memory) -> Candidates:
        settings, fixed = self._settings, self._fixed
        blocks: list[tuple[NDArray[np.int32], list[NDArray[Any]]]] = []
        for number, rows in enumerate(fixed.blocks):
            histories = fixed.cases.histories.take(rows)
            scores, lists = fixed.of(number)
            tried = shares(memory.scores(histories))
            items = union([*lists, best(tried, histories, settings.depth, settings.seen == "excluded")])
            columns = np.maximum(items, 0)
            scores.insert(self._index, tried)
            blocks.append((items, [np.take_along_axis(each, columns, axis=1) for each in scores]))
        return gathered(blocks, self._parts, fixed.cases, settings, self._support)
