"""Item-to-item transitions of the training part, to tell memorised test cases from those that need generalisation.

Legend: `E` queried pairs, `T` distinct transitions, `C` cases, `P` patterns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lexirec.data.sequences import Sequences, bounded_slices
from lexirec.data.splits import Cases

_Integers = NDArray[np.integer[Any]]
_ENTRIES = 4_000_000
"""Largest number of neighbours per batch."""
PATTERNS = ("substitution", "symmetry", "transitivity", "second-order symmetry")
"""Patterns of training from which an unseen transition can be inferred, those that need one example first."""
MOST_HOPS = 4
"""Largest number of hops of a transition, as in arXiv 2603.19809."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """The distinct ordered pairs of items that stand at most so many places apart in the training sequences.

    Attributes:
        keys: `first * n_items + second`, ascending, int64 (T,).
        n_items: size of the catalogue.
    """

    keys: NDArray[np.int64]
    n_items: int

    @classmethod
    def of(cls, train: Sequences, n_items: int, hops: int = 1) -> Transitions:
        """Collect the transitions of training sequences; an item that follows itself counts.

        Args:
            train: rows of item numbers, oldest first.
            n_items: size of the catalogue.
            hops: largest distance in places; 1 for adjacent items only.
        """
        items, row_of = train.items.astype(np.int64), np.repeat(np.arange(len(train)), train.lengths)
        keys = np.empty(0, dtype=np.int64)
        for gap in range(1, hops + 1):
            together = row_of[:-gap] == row_of[gap:]
            keys = np.union1d(keys, (items[:-gap] * n_items + items[gap:])[together])
        return cls(keys, n_items)

    def seen(self, first: _Integers, second: _Integers) -> NDArray[np.bool_]:
        """Return whether each pair occurred in training in this order, bool (E,)."""
        queried = first.astype(np.int64) * self.n_items + second
        position = np.searchsorted(self.keys, queried)
        found: NDArray[np.bool_] = np.append(self.keys, -1)[position] == queried
        return found

    def through_one(self, first: _Integers, second: _Integers) -> NDArray[np.bool_]:
        """Return whether an item that followed `first` was followed by `second`, bool (E,)."""
        return _share_one(self._after, first, self._before, second)

    def common_cause(self, first: _Integers, second: _Integers) -> NDArray[np.bool_]:
        """Return whether some item was followed by both, bool (E,)."""
        return _share_one(self._before, first, self._before, second)

    def common_effect(self, first: _Integers, second: _Integers) -> NDArray[np.bool_]:
        """Return whether some item followed both, bool (E,)."""
        return _share_one(self._after, first, self._after, second)

    @cached_property
    def _after(self) -> sparse.csr_array:
        first, second = np.divmod(self.keys, self.n_items)
        ones = np.ones(len(self.keys), dtype=np.int32)
        return sparse.csr_array((ones, (first, second)), shape=(self.n_items, self.n_items))

    @cached_property
    def _before(self) -> sparse.csr_array:
        return self._after.T.tocsr()


def _share_one(left: Any, first: _Integers, right: Any, second: _Integers) -> NDArray[np.bool_]:
    """Return whether row `first` of one matrix and row `second` of another have a column in common, bool (E,)."""
    found = np.zeros(len(first), dtype=np.bool_)
    for some in bounded_slices(np.diff(left.indptr)[first] + np.diff(right.indptr)[second], _ENTRIES):
        common = left[first[some]].multiply(right[second[some]])
        found[some] = np.asarray(common.sum(axis=1)).ravel() > 0
    return found


def memorised(cases: Cases, transitions: Transitions) -> NDArray[np.bool_]:
    """Return whether the target followed the history's last item in training, bool (C,)."""
    sources, there = _sources(cases, 1)
    found = there.copy()
    found[there] = transitions.seen(sources[there], cases.targets[there])
    return found


def fewest_hops(cases: Cases, train: Sequences, n_items: int) -> NDArray[np.int8]:
    """Return the fewest hops in which a training pattern leads to each target, by pattern: int8 (C, P).

    0 stands for no pattern, and −1 in the whole row for a memorised case, which needs none.

    Within k hops, a transition leads from one of the k newest items of the history to the target, and was seen where
    training shows the two at most k places apart. From seen transitions, an unseen one can be inferred by

    - substitution: it was seen itself (k ≥ 2; with k = 1 the case is memorised),
    - symmetry: the reverse was seen,
    - transitivity: one from the source to some item, and one from that item to the target, were seen,
    - second-order symmetry: transitions from some item to both, from both to some item, or from the target over some
      item to the source were seen.

    Source: Ding et al., arXiv 2603.19809, section 2. As there, a case may have several patterns, and k goes up to
    `MOST_HOPS`. The paper leaves open whether k-hop transitions include shorter ones, and which of the last k items
    they begin at. Both were chosen here so that the shares of all patterns on Beauty and Sports are those of its
    table 1: the agreement with these two sets is a fit, no check.

    Args:
        cases: histories and targets.
        train: rows of item numbers, oldest first.
        n_items: size of the catalogue.
    """
    known = memorised(cases, Transitions.of(train, n_items))
    fewest = np.zeros((len(cases), len(PATTERNS)), dtype=np.int8)
    fewest[known] = -1
    for hops in range(1, MOST_HOPS + 1):
        transitions = Transitions.of(train, n_items, hops)
        for age in range(1, hops + 1):
            sources, there = _sources(cases, age)
            for number, pattern in enumerate(PATTERNS):
                open_ = np.flatnonzero(there & (fewest[:, number] == 0))
                leads = _leads(pattern, transitions, sources[open_], cases.targets[open_])
                fewest[open_[leads], number] = hops
    return fewest


def _leads(pattern: str, transitions: Transitions, sources: _Integers, targets: _Integers) -> NDArray[np.bool_]:
    """Return whether a pattern of training leads from each source to its target, bool (E,)."""
    if pattern == "substitution":
        return transitions.seen(sources, targets)
    if pattern == "symmetry":
        return transitions.seen(targets, sources)
    if pattern == "transitivity":
        return transitions.through_one(sources, targets)
    found = transitions.through_one(targets, sources)
    for meets in (transitions.common_cause, transitions.common_effect):
        found[~found] = meets(sources[~found], targets[~found])
    return found


def _sources(cases: Cases, hops: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the `hops`-th newest item of every history, and whether there is one, (C,)."""
    histories = cases.histories
    there = histories.lengths >= hops
    sources = np.zeros(len(cases), dtype=np.int64)
    sources[there] = histories.items[histories.offsets[1:][there] - hops]
    return sources, there
