"""Cases with items that counts of other users find as likely as the target.

A recommender that never saw a held-out target can hardly tell it from its matched items; one that was trained on it
can. Items are matched by a reference that counts the training rows of other users (cross-fitted), with the items'
texts, so that popularity, transitions and texts decide nothing between a target and its matched items.

Legend: `C` cases, `I` items, `K` matched items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.core.progress import track
from lexirec.data.neighbors import Neighbors
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.models.baselines.base import score_batches
from lexirec.models.baselines.memory import TRANSITIONS, Memory, MemorySettings
from lexirec.models.baselines.text_neighbors import text_neighbors

TRAINED, VALIDATION, TEST, AFTER_TRAINING = "training", "validation", "test", "test after training rows"
"""Groups of cases: the newest training event of each user, validation cases, test cases, and test targets after the
training rows alone (as a model sees them whose training rows were lengthened by the test target)."""
MOST_CASES, FEWEST_CASES = 2000, 300
"""Cases of a group: at most, and where the catalogue or a slow recommender allows no more."""
_CELLS = 1 << 29
_FOLDS, _HALF = 5, 10
_MIX = (0.6, 0.3, 0.1)
"""Weights of memory, transitions and popularity in the reference."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MatchedCases:
    """The cases of one group.

    Attributes:
        cases: Their histories and targets.
        matched: int64 (C, K), items that the reference finds a little likelier (first half) and a little less likely
            than the target (second half), −1 where there is none.
    """

    cases: Cases
    matched: NDArray[np.int64]

    def sample(self, most: int) -> MatchedCases:
        """Return at most this many cases, drawn once."""
        if len(self.cases) <= most:
            return self
        rows = np.sort(np.random.default_rng(0).choice(len(self.cases), most, replace=False))
        return MatchedCases(self.cases.take(rows), self.matched[rows])

    def wins(self, recommender: Recommender) -> Floats:
        """Return the share of its matched items that each target is ranked above: (C,).

        Likelier and less likely items count alike, so that the reference itself wins one half.
        """
        n_items, shares = len(recommender.catalog), [np.empty(0, dtype=np.float32)]
        for rows in score_batches(len(self.cases), n_items):
            targets, matched, row = self.cases.targets[rows], self.matched[rows], np.arange(len(rows))[:, None]
            allowed = np.zeros((len(rows), n_items + 1), dtype=np.bool_)
            allowed[row, matched] = True  # −1 is the extra last column
            allowed[row[:, 0], targets] = True
            width = matched.shape[1] + 1
            ranking = recommender.rank(self.cases.histories.take(rows), k=width, allowed=allowed[:, :-1])
            place = np.full((len(rows), n_items + 1), width, dtype=np.int64)
            place[row, ranking.items] = np.arange(width)
            below = (place[row, matched] > place[row[:, 0], targets][:, None]) & (matched >= 0)
            shares.append(_mean_of_halves(below, matched >= 0))
        return np.concatenate(shares)


def _mean_of_halves(hit: NDArray[np.bool_], there: NDArray[np.bool_]) -> Floats:
    halves = [hit[:, part].sum(axis=1) / there[:, part].sum(axis=1) for part in (slice(_HALF), slice(_HALF, None))]
    return np.asarray((halves[0] + halves[1]) / 2, dtype=np.float32)


def matched_cases(split: Split, texts: list[str]) -> dict[str, MatchedCases]:
    """Return a sample of each group's cases with their matched items; cases without any are left out."""
    n_items = split.n_items
    most = int(np.clip(_CELLS // max(n_items, 1), FEWEST_CASES, MOST_CASES))
    groups = {name: cases.sample(most, seed=0) for name, cases in _groups(split).items() if len(cases)}
    if not groups:
        return {}
    users = np.concatenate([cases.users for cases in groups.values()])
    histories = Sequences.concatenate([cases.histories for cases in groups.values()])
    every = Cases(users, np.concatenate([cases.targets for cases in groups.values()]), histories)
    matched = np.full((len(every), 2 * _HALF), -1, dtype=np.int64)
    random, known = np.random.default_rng(0), _known(split)
    for rows, scores in _by_reference(split, every, texts):
        own = _own(known, every.take(rows), n_items)
        matched[rows] = _nearest(scores, every.targets[rows], own, random)
    whole = (matched[:, :_HALF] >= 0).any(axis=1) & (matched[:, _HALF:] >= 0).any(axis=1)
    group = np.repeat(np.arange(len(groups)), [len(cases) for cases in groups.values()])
    rows_of = {name: np.flatnonzero(whole & (group == number)) for number, name in enumerate(groups)}
    return {name: MatchedCases(every.take(rows), matched[rows]) for name, rows in rows_of.items()}


def _groups(split: Split) -> Mapping[str, Cases]:
    train, most = split.train, int(split.protocol.get("max_history", 20))
    long = np.flatnonzero(train.lengths >= 2)
    ends = train.offsets[1:][long] - 1
    kept = np.minimum(train.lengths[long] - 1, most)
    newest = Cases(split.train_users[long], train.items[ends], train.windows(ends - kept, kept))
    place = np.searchsorted(split.train_users, split.test.users)
    place = np.minimum(place, max(len(train) - 1, 0))
    trained = np.flatnonzero(split.train_users[place] == split.test.users) if len(train) else np.empty(0, np.int64)
    test = split.test.take(trained)
    after = Cases(test.users, test.targets, train.take(place[trained]).last(most))
    held_out = {VALIDATION: split.validation, TEST: split.test}
    return {TRAINED: newest, **{name: _with_history(cases) for name, cases in held_out.items()}, AFTER_TRAINING: after}


def _with_history(cases: Cases) -> Cases:
    return cases.take(np.flatnonzero(cases.histories.lengths > 0))


# ------------------------------------------------------------------------------------------------------- the reference


def _by_reference(split: Split, cases: Cases, texts: list[str]) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield row numbers of cases, in batches, with the scores (rows, I) of counts of other users' training rows."""
    near = _near(texts)
    for fold in track(range(_FOLDS), "counting other users"):
        others = split.train.take(np.flatnonzero(split.train_users % _FOLDS != fold))
        scores = _reference(others, split.n_items, near)
        mine = np.flatnonzero(cases.users % _FOLDS == fold)
        for rows in score_batches(len(mine), split.n_items):
            yield mine[rows], scores(cases.histories.take(mine[rows]))


def _near(texts: list[str]) -> Neighbors | None:
    try:
        return text_neighbors(texts, MemorySettings().neighbors)
    except DataError:  # no word occurs in two texts
        return None


def _reference(train: Sequences, n_items: int, near: Neighbors | None) -> Callable[[Sequences], Floats]:
    memory, steps = Memory(MemorySettings()), Memory(TRANSITIONS).fit(train, n_items)
    memory = memory.fit(train, n_items) if near is None else memory.fit(train, n_items, neighbors=near)
    popular = train.counts(n_items) + 0.1

    def scores(histories: Sequences) -> Floats:
        parts = (memory.scores(histories), steps.scores(histories), popular[None, :])
        mixed = sum(weight * _shares(part) for weight, part in zip(_MIX, parts, strict=True))
        return np.asarray(np.log(mixed), dtype=np.float32)

    return scores


def _shares(scores: NDArray[Any]) -> Floats:
    positive = np.maximum(scores, 0)
    return np.asarray(positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-12), dtype=np.float32)


# ---------------------------------------------------------------------------------------------------- the matched items


def _known(split: Split) -> NDArray[np.int64]:
    """Return user × items + item of every event of the split, ascending."""
    pairs = [(np.repeat(split.train_users, split.train.lengths), split.train.items)]
    pairs += [(cases.users, cases.targets) for cases in (split.validation, split.test)]
    return np.unique(np.concatenate([users * np.int64(split.n_items) + items for users, items in pairs]))


def _own(known: NDArray[np.int64], cases: Cases, n_items: int) -> NDArray[np.bool_]:
    """Return which items are events of each case's user, or of its history: bool (C, I)."""
    own = np.zeros((len(cases), n_items), dtype=np.bool_)
    first, last = (np.searchsorted(known, (cases.users + more) * np.int64(n_items)) for more in (0, 1))
    count = last - first
    row = np.repeat(np.arange(len(cases)), count)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + first[row]
    own[row, known[place] % n_items] = True
    own[np.repeat(np.arange(len(cases)), cases.histories.lengths), cases.histories.items] = True
    own[np.arange(len(cases)), cases.targets] = True
    return own


def _nearest(
    scores: Floats, targets: NDArray[np.int32], own: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return the items next to each target in the order of the scores: (C, K), likelier ones first."""
    scores = scores + random.random(scores.shape, dtype=np.float32) * 1e-4  # ties fall on both sides
    gap = scores - scores[np.arange(len(targets)), targets][:, None]
    sides = [_closest(np.where(own | (gap * sign <= 0), np.inf, np.abs(gap))) for sign in (1, -1)]
    return np.concatenate(sides, axis=1)


def _closest(distance: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the columns of the smallest finite distances, −1 padded: (C, 10)."""
    width = min(_HALF, distance.shape[1])
    columns = np.argpartition(distance, width - 1, axis=1)[:, :width]
    finite = np.isfinite(np.take_along_axis(distance, columns, axis=1))
    found = np.full((len(distance), _HALF), -1, dtype=np.int64)
    found[:, :width] = np.where(finite, columns, -1)
    return found
