"""Item-to-item transitions of the training part, to tell memorised test cases from those that need generalisation.

Legend: `E` queried pairs, `T` distinct transitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lexirec.data.sequences import Sequences

_Integers = NDArray[np.integer[Any]]
_ENTRIES = 4_000_000
"""Largest number of neighbours per batch."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """The distinct ordered pairs of adjacent items in the training sequences.

    Attributes:
        keys: `first * n_items + second`, ascending, int64 (T,).
        n_items: size of the catalogue.
    """

    keys: NDArray[np.int64]
    n_items: int

    @classmethod
    def of(cls, train: Sequences, n_items: int) -> Transitions:
        """Collect the transitions of training sequences; an item that follows itself counts."""
        items = train.items.astype(np.int64)
        inside = np.ones(max(len(items) - 1, 0), dtype=np.bool_)
        ends = train.offsets[1:-1]
        inside[ends[(ends > 0) & (ends < len(items))] - 1] = (
            False  # not from the last item of a row to the first of the next
        )
        return cls(np.unique((items[:-1] * n_items + items[1:])[inside]), n_items)

    def seen(self, first: _Integers, second: _Integers) -> NDArray[np.bool_]:
        """Return whether each pair was adjacent in training in this order, bool (E,)."""
        queried = first.astype(np.int64) * self.n_items + second
        position = np.searchsorted(self.keys, queried)
        found: NDArray[np.bool_] = np.append(self.keys, -1)[position] == queried
        return found

    def through_one(self, first: _Integers, second: _Integers) -> NDArray[np.bool_]:
        """Return whether an item that followed `first` was followed by `second`, bool (E,)."""
        after, before = self._after, self._before
        found = np.zeros(len(first), dtype=np.bool_)
        for rows in _batches(np.diff(after.indptr)[first] + np.diff(before.indptr)[second]):
            common = after[first[rows]].multiply(before[second[rows]])
            found[rows] = np.asarray(common.sum(axis=1)).ravel() > 0
        return found

    @cached_property
    def _after(self) -> sparse.csr_array:
        first, second = np.divmod(self.keys, self.n_items)
        ones = np.ones(len(self.keys), dtype=np.int32)
        return sparse.csr_array((ones, (first, second)), shape=(self.n_items, self.n_items))

    @cached_property
    def _before(self) -> sparse.csr_array:
        return self._after.T.tocsr()


def _batches(sizes: _Integers) -> Iterator[slice]:
    """Yield slices of pairs whose neighbours number at most `_ENTRIES` together."""
    ends, first = np.cumsum(sizes, dtype=np.int64), 0
    while first < len(sizes):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _ENTRIES, side="right")))
        yield slice(first, last)
        first = last
