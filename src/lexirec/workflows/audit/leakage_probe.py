"""Leakage probe: do neighbours, vectors, identifiers or scorers contain held-out interactions?

The probe uses held-out successions (last item, target) that no training row contains: lists made from the training part
can only guess them. The share that a list of similar items contains is compared with two others: the share of
successions that occur once in training (what the list memorises), and the share of the held-out ones in reference lists
made here from the training part and texts alone (what can be guessed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from lexirec.data.neighbors import pair_counts, top_k
from lexirec.data.sequences import Sequences
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent

_WINDOW = 10
_MOST_PAIRS = 2000
_FEW_PAIRS = 30
_BLOCK = 1 << 24

Lists = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""Items (rows,) -> their similar items (rows, any), −1 for none."""


@dataclass(frozen=True)
class Pairs:
    """Successions: `earlier` and `later` int64 (pairs,)."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]

    def held_by(self, lists: Lists) -> float:
        """Share of the pairs whose later item is in the earlier one's list."""
        anchors, row = np.unique(self.earlier, return_inverse=True)
        similar = lists(anchors)
        return float((similar[row] == self.later[:, None]).any(axis=1).mean()) if len(row) else 0.0


@dataclass(frozen=True, eq=False)
class Successions:
    """Successions of the probe.

    Attributes:
        evidence: The evidence.
        together: Counts of item pairs at most ten positions apart in a training row, both ways: sparse (I, I).
        unseen: Held-out successions that are not among them.
        once: Successions that occur once in training rows.
        cases: Share of the test cases with an unseen succession.
        width: Length of the reference lists.
    """

    evidence: Evidence
    together: Any
    unseen: Pairs
    once: Pairs
    cases: float
    width: int = 20

    @classmethod
    def of(cls, evidence: Evidence) -> Successions:
        """Count the training part, and sample up to 2,000 pairs of either kind."""
        random, n_items, cases = np.random.default_rng(0), evidence.n_items, evidence.split.test
        together = pair_counts(evidence.split.train, n_items, window=_WINDOW, backward=1.0)
        nonempty = np.flatnonzero(cases.histories.lengths)
        last = cases.histories.items[cases.histories.offsets[1:][nonempty] - 1].astype(np.int64)
        later = cases.targets[nonempty].astype(np.int64)
        new = np.flatnonzero((_counts(together, last, later) == 0) & (last != later))
        chosen = _some(new, random)
        train = evidence.split.train
        row = np.repeat(np.arange(len(train)), train.lengths)
        follows = np.flatnonzero((row[1:] == row[:-1]) & (train.items[1:] != train.items[:-1]))
        first, second = train.items[:-1][follows].astype(np.int64), train.items[1:][follows].astype(np.int64)
        single = _some(np.flatnonzero(_counts(together, first, second) == 1), random)
        known = Pairs(first[single], second[single])
        return cls(evidence, together, Pairs(last[chosen], later[chosen]), known, len(new) / max(len(cases), 1))

    @cached_property
    def references(self) -> dict[str, Lists]:
        """Reference lists, made from the training part and the texts alone."""
        lists: dict[str, Lists] = {"two steps in training": self._two_steps}
        try:
            words = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
            texts = sparse.csr_array(words.fit_transform(self.evidence.catalog.texts()))
        except ValueError:  # no word occurs in two texts
            return lists

        def alike(rows: Sequences) -> NDArray[np.float32]:
            return np.asarray((texts[rows.items] @ texts.T).toarray(), dtype=np.float32)

        def followed(rows: Sequences) -> NDArray[np.float32]:
            near = best_of(alike, rows.items.astype(np.int64), self.width, self.evidence.n_items)
            weights = np.take_along_axis(alike(rows), np.maximum(near, 0), axis=1) * (near >= 0)
            row = np.repeat(np.arange(len(near)), near.shape[1])
            shape = (len(near), self.evidence.n_items)
            carried = sparse.csr_array((weights.ravel(), (row, np.maximum(near, 0).ravel())), shape=shape)
            return np.asarray((carried @ self.together).toarray(), dtype=np.float32)

        lists["texts"] = lambda items: best_of(alike, items, self.width, self.evidence.n_items)
        lists["training, carried over by texts"] = lambda items: best_of(
            followed, items, self.width, self.evidence.n_items
        )
        return lists

    def _two_steps(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        def spread(rows: Sequences) -> NDArray[np.float32]:
            return np.asarray((self.together[rows.items] @ self.together).toarray(), dtype=np.float32)

        return best_of(spread, items, self.width, self.evidence.n_items)


def _counts(together: Any, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
    """Look up pairs in a sparse matrix with sorted indices."""
    together.sum_duplicates()
    width = np.int64(together.shape[1])
    cells = np.repeat(np.arange(together.shape[0], dtype=np.int64), np.diff(together.indptr)) * width
    cells += together.indices
    wanted = first * width + second
    at = np.minimum(np.searchsorted(cells, wanted), max(len(cells) - 1, 0))
    there = cells[at] == wanted if len(cells) else np.zeros(len(wanted), dtype=bool)
    return np.where(there, together.data[at] if len(cells) else 0, 0).astype(np.float32)


def _some(places: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    return places if len(places) <= _MOST_PAIRS else np.sort(random.choice(places, _MOST_PAIRS, replace=False))


def best_of(
    scores: Callable[[Sequences], NDArray[np.floating[Any]]], items: NDArray[np.int64], k: int, n_items: int
) -> NDArray[np.int64]:
    """Return the k highest scored items for histories of one item each, without that item: int64 (rows, k)."""
    best, size = np.full((len(items), k), -1, dtype=np.int64), max(1, _BLOCK // max(n_items, 1))
    for first in range(0, len(items), size):
        some = items[first : first + size].astype(np.int32)
        values = np.array(scores(Sequences(some, np.arange(len(some) + 1))), dtype=np.float32)
        values[np.arange(len(some)), some] = -np.inf
        best[first : first + size] = top_k(values, k)[0]
    return best


def nearest_of(vectors: NDArray[np.float32], items: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the k nearest items by cosine, without the item itself: int64 (rows, k)."""
    return best_of(lambda rows: vectors[rows.items] @ vectors.T, items, k, len(vectors))


@lru_cache(maxsize=1)
def successions(evidence: Evidence) -> Successions:
    """Return the successions of the evidence, cached."""
    return Successions.of(evidence)


def probe(evidence: Evidence, lists: Lists, width: int, name: str, *, ours: bool = False) -> Iterator[Finding]:
    """Test whether lists of similar items contain more held-out successions than can be guessed.

    Args:
        evidence: The evidence.
        lists: The lists to test.
        width: Length of the lists.
        name: Their name in sentences, in the plural.
        ours: Whether this experiment reference them from the training part; then only leaks are reported.

    Raises:
        NotLookedError: too few held-out successions are new to training.
    """
    probed = successions(evidence)
    unseen, count = probed.unseen, len(probed.unseen.earlier)
    if count < _FEW_PAIRS:
        raise NotLookedError(f"only {count} held-out successions are new to training")
    held, known = unseen.held_by(lists), probed.once.held_by(lists)
    guessed = {
        title: unseen.held_by(lambda items, reference=reference: reference(items)[:, :width])  # type: ignore[misc]
        for title, reference in probed.references.items()
    }
    best = max(guessed, key=lambda title: guessed[title])
    figures = (
        f"of {count:,} held-out successions absent from training, {name} contain {percent(held)}, and reference lists "
        f"from {best} {percent(guessed[best])}; of those that occur once in training they contain {percent(known)}"
    )
    if not _leaks(held, known, guessed[best], count):
        if not ours:
            effect = (
                "none probed: held-out successions are contained less often than training ones, as expected"
                if known > held + 3 * _noise(known, count)
                else "none probed; such lists memorise too little for a certain result"
            )
            yield Finding("note", figures, effect, "nothing to do; check where the lists come from")
        return
    at_stake = (held - guessed[best]) * probed.cases
    anchors, row = np.unique(unseen.earlier, return_inverse=True)
    hit = np.flatnonzero((lists(anchors)[row] == unseen.later[:, None]).any(axis=1))
    yield Finding(
        "leak",
        f"{name} contain held-out interactions: {figures}",
        f"up: models that read them see targets; about {at_stake:.3f} of recall is at stake",
        "make them from the training part alone",
        at_stake,
        evidence.pair_names(unseen.earlier[hit], unseen.later[hit]),
    )


def _leaks(held: float, known: float, guessed: float, count: int) -> bool:
    """Whether `held` exceeds guessing: significantly, by half as much again, and by a share of what is memorised."""
    beyond = held - guessed
    memorised = beyond >= 0.3 * max(known - guessed, beyond)
    return beyond >= 0.05 and held >= 1.5 * guessed and beyond > 4 * _noise(guessed, count) and memorised


def _noise(share: float, count: int) -> float:
    """Standard error of a share of `count` pairs."""
    return float(np.sqrt(max(share * (1 - share), 1 / count) / count))
