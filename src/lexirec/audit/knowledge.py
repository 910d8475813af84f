"""Does what stands beside the interactions (neighbours, vectors, identifiers, texts, scorers) know the held-out ones?

Held-out successions that no training row shows are the touchstone: something made from the training part can only guess
them. How often a list of companions holds them is compared with two others: how often it holds successions that
training shows just once (what it remembers), and how often lists made here, from the training part and the texts alone,
hold the held-out ones (what can be guessed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.audit.evidence import Evidence
from lexirec.audit.findings import Finding, NotLookedError, percent
from lexirec.codes.vectors import lsa
from lexirec.data.neighbors import pair_counts, top_k
from lexirec.data.sequences import Sequences
from lexirec.errors import DataError
from lexirec.models.memory import Memory

_WINDOW = 10
_MOST_PAIRS = 2000
_FEW_PAIRS = 30
_SMOOTHED = 20_000
"""Items of a catalogue up to which the reference smooths counts over text neighbours; that takes time by its square."""
_BLOCK = 1 << 24

Lists = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""Items (rows,) -> their companions (rows, any), −1 where there is none."""


@dataclass(frozen=True)
class Pairs:
    """Successions: `earlier` and `later` int64 (pairs,)."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]

    def held_by(self, lists: Lists) -> float:
        """Share of the pairs whose later item is among the earlier one's companions."""
        anchors, row = np.unique(self.earlier, return_inverse=True)
        companions = lists(anchors)
        return float((companions[row] == self.later[:, None]).any(axis=1).mean()) if len(row) else 0.0


@dataclass(frozen=True, eq=False)
class Successions:
    """What the touchstone is made of.

    Attributes:
        evidence: Where from.
        together: Pairs of items at most ten places apart in a training row, counted both ways: sparse (I, I).
        unseen: Held-out successions that are not among them.
        once: Training successions that were seen once.
        cases: Share of the test cases that the unseen ones are.
        width: Most companions of an item that references give.
    """

    evidence: Evidence
    together: Any
    unseen: Pairs
    once: Pairs
    cases: float
    width: int = 20

    @classmethod
    def of(cls, evidence: Evidence) -> Successions:
        """Count the training part, and take up to 2,000 pairs of either kind."""
        random, n_items, cases = np.random.default_rng(0), evidence.n_items, evidence.split.test
        together = pair_counts(evidence.split.train, n_items, window=_WINDOW, backward=1.0)
        told = np.flatnonzero(cases.histories.lengths)
        last = cases.histories.items[cases.histories.offsets[1:][told] - 1].astype(np.int64)
        later = cases.targets[told].astype(np.int64)
        new = np.flatnonzero((together[last, later] == 0) & (last != later)) if len(told) else told
        chosen = _some(new, random)
        once = together.tocoo()
        single = np.flatnonzero((once.data == 1) & (once.coords[0] != once.coords[1]))
        single = _some(single, random)
        known = Pairs(once.coords[0][single].astype(np.int64), once.coords[1][single].astype(np.int64))
        return cls(evidence, together, Pairs(last[chosen], later[chosen]), known, len(new) / max(len(cases), 1))

    @cached_property
    def references(self) -> dict[str, Lists]:
        """Lists made from the training part and the texts alone."""
        found: dict[str, Lists] = {"two steps in training": self._two_steps}
        train, n_items = self.evidence.split.train, self.evidence.n_items
        try:
            texts = lsa(self.evidence.catalog.texts(), 128)
        except DataError:  # no words at all
            return found
        found["texts"] = lambda items: nearest_of(texts, items, self.width)
        if n_items <= _SMOOTHED:
            memory = Memory().fit(train, n_items, vectors=texts)
            found["training smoothed by texts"] = lambda items: best_of(memory.scores, items, self.width, n_items)
        return found

    def _two_steps(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        def spread(rows: Sequences) -> NDArray[np.float32]:
            return np.asarray((self.together[rows.items] @ self.together).toarray(), dtype=np.float32)

        return best_of(spread, items, self.width, self.evidence.n_items)


def _some(places: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    return places if len(places) <= _MOST_PAIRS else np.sort(random.choice(places, _MOST_PAIRS, replace=False))


def best_of(
    scores: Callable[[Sequences], NDArray[np.floating[Any]]], items: NDArray[np.int64], k: int, n_items: int
) -> NDArray[np.int64]:
    """Return the k items with the highest scores for histories of one item each, that one left out: int64 (rows, k)."""
    found, size = np.full((len(items), k), -1, dtype=np.int64), max(1, _BLOCK // max(n_items, 1))
    for first in range(0, len(items), size):
        some = items[first : first + size].astype(np.int32)
        values = np.array(scores(Sequences(some, np.arange(len(some) + 1))), dtype=np.float32)
        values[np.arange(len(some)), some] = -np.inf
        found[first : first + size] = top_k(values, k)[0]
    return found


def nearest_of(vectors: NDArray[np.float32], items: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the k nearest by cosine of some items, themselves left out: int64 (rows, k)."""
    return best_of(lambda rows: vectors[rows.items] @ vectors.T, items, k, len(vectors))


@lru_cache(maxsize=1)
def successions(evidence: Evidence) -> Successions:
    """Return the touchstone of some evidence; it is made once."""
    return Successions.of(evidence)


def judge(evidence: Evidence, lists: Lists, width: int, name: str, *, ours: bool = False) -> Iterator[Finding]:
    """Say whether lists of companions know held-out successions.

    Args:
        evidence: What they are held against.
        lists: What is judged.
        width: Companions of an item.
        name: What it is called, in the plural, within a sentence.
        ours: Made here from the training part: then only what is wrong is said.

    Raises:
        NotLookedError: too few held-out successions are new.
    """
    found = successions(evidence)
    unseen, count = found.unseen, len(found.unseen.earlier)
    if count < _FEW_PAIRS:
        raise NotLookedError(f"only {count} held-out successions are new to training")
    held, known = unseen.held_by(lists), found.once.held_by(lists)
    guessed = {
        title: unseen.held_by(lambda items, made=made: made(items)[:, :width])  # type: ignore[misc]
        for title, made in found.references.items()
    }
    best = max(guessed, key=lambda title: guessed[title])
    figures = (
        f"of {count:,} held-out successions that training never shows, {name} hold {percent(held)}, and lists made "
        f"here from {best} {percent(guessed[best])}; of those that training shows once they hold {percent(known)}"
    )
    if not _knows(held, known, guessed[best], count):
        if not ours:
            advice = "nothing to do; where they come from is worth knowing all the same"
            yield Finding("note", figures, "none that shows: they can have been made without held-out events", advice)
        return
    worth = (held - guessed[best]) * found.cases
    anchors, row = np.unique(unseen.earlier, return_inverse=True)
    hit = np.flatnonzero((lists(anchors)[row] == unseen.later[:, None]).any(axis=1))
    yield Finding(
        "leak",
        f"{name} know held-out interactions: {figures}",
        f"up: what reads them is told answers; about {worth:.3f} of recall are at stake",
        "make them from the training part alone",
        worth,
        evidence.pair_names(unseen.earlier[hit], unseen.later[hit]),
    )


def _knows(held: float, known: float, guessed: float, count: int) -> bool:
    """Say whether `held` is beyond what can be guessed: clearly, by half as much again, and near what is remembered."""
    beyond = held - guessed
    noise = float(np.sqrt(max(guessed * (1 - guessed), 1 / count) / count))
    remembered = beyond >= 0.3 * max(known - guessed, beyond)
    return beyond >= 0.05 and held >= 1.5 * guessed and beyond > 4 * noise and remembered
