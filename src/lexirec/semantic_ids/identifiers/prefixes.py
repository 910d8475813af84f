"""Prefixes of token rows: find clashes, make rows unique, cut them to their shortest unique prefixes.

`tokens` is always int32 (rows, longest), −1 beyond a row's last token. Sorted rows are in lexicographic order, so a row
directly precedes the rows that it is a prefix of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError


@dataclass(frozen=True, eq=False)
class SortedRows:
    """Rows in lexicographic order, equal rows in their original order.

    Attributes:
        order: int64 (rows,), the original row of each sorted one.
        tokens: int32 (rows, longest), the sorted rows.
        lengths: int64 (rows,), their lengths.
        shared: int64 (rows,), length of the common prefix with the previous row; 0 for the first.
    """

    order: NDArray[np.int64]
    tokens: NDArray[np.int32]
    lengths: NDArray[np.int64]
    shared: NDArray[np.int64]

    @classmethod
    def of(cls, tokens: NDArray[np.int32]) -> SortedRows:
        """Sort rows."""
        order = np.lexsort(tokens.T[::-1]) if tokens.shape[1] else np.arange(len(tokens))
        rows = tokens[order]
        same = (rows[1:] == rows[:-1]) & (rows[1:] >= 0)
        shared = np.zeros(len(rows), dtype=np.int64)
        shared[1:] = np.logical_and.accumulate(same, axis=1).sum(axis=1)
        return cls(order, rows, (rows >= 0).sum(axis=1), shared)

    def prefixes(self, depth: int) -> NDArray[np.int64]:
        """Number the distinct prefixes of `depth` tokens, ascending with the rows: int64 (rows,)."""
        return np.asarray(np.cumsum(self.shared < np.minimum(depth, self._reach)) - 1, dtype=np.int64)

    @property
    def _reach(self) -> NDArray[np.int64]:
        """Length of common prefix at which a row equals the previous one: the longer of the two lengths."""
        before = np.concatenate([self.lengths[:1], self.lengths[:-1]])
        longest: NDArray[np.int64] = np.maximum(self.lengths, before)
        longest[:1] = 1
        return longest

    @property
    def starts(self) -> NDArray[np.int64]:
        """Positions of the first row of each set of equal rows."""
        return np.flatnonzero(np.diff(self.prefixes(self.tokens.shape[1] + 1), prepend=-1))


def find_clash(tokens: NDArray[np.int32]) -> tuple[int, int] | None:
    """Return two rows of which the first equals the second or is a proper prefix of it; None if there are none."""
    rows = SortedRows.of(tokens)
    clashes = np.flatnonzero(rows.shared[1:] == rows.lengths[:-1])
    if not len(clashes):
        return None
    return int(rows.order[clashes[0]]), int(rows.order[clashes[0] + 1])


def cut_shortest(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cut unique, prefix-free rows to their shortest unique prefix; the result is prefix-free."""
    kept = shortest_unique(tokens)
    longest = int(kept.max(initial=0))
    return np.where(np.arange(longest) < kept[:, None], tokens[:, :longest], np.int32(-1))


def shortest_unique(tokens: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the length of each row's shortest prefix that no other row has: int64 (rows,)."""
    rows = SortedRows.of(tokens)
    # after sorting, the longest common prefix with any other row is with one of the two neighbours
    shared = np.maximum(rows.shared, np.append(rows.shared[1:], 0))
    kept = np.empty(len(tokens), dtype=np.int64)
    kept[rows.order] = np.minimum(shared + 1, rows.lengths)
    return kept


def made_unique(tokens: NDArray[np.int32], counters: NDArray[np.int32]) -> NDArray[np.int32]:
    """Append counters so that no row is empty, equals another or is a prefix of another.

    All rows of a set of equal ones are counted in their original order; a unique row changes only if it is a prefix of
    another. A counter is one token, the n-th of `counters`. A token that already follows the row's tokens in another
    row is skipped, so a counted row clashes with none; if the counters do not suffice, several are combined to numbers
    of equal length.

    Source: GRAM's preprocessing code (its paper, section 3.1), which neither skips nor combines.

    Raises:
        DataError: there are too few counters.
    """
    rows = SortedRows.of(tokens)
    starts = rows.starts
    ends = np.append(starts[1:], len(tokens))
    lengths = rows.lengths[starts]
    extended = np.append(rows.shared, -1)[ends] == lengths  # the next row continues this one
    clashing = np.flatnonzero((ends - starts > 1) | extended | (lengths == 0))
    last = _ends_of_prefix(rows, starts[clashing], lengths[clashing])
    suffixes = [
        _suffix(int(ends[group] - starts[group]), counters, rows.tokens[ends[group] : stop, lengths[group] :][:, :1])
        for group, stop in zip(clashing, last, strict=True)
    ]
    width = max((int(lengths[group]) + s.shape[1] for group, s in zip(clashing, suffixes, strict=True)), default=0)
    result = np.pad(tokens, ((0, 0), (0, max(width - tokens.shape[1], 0))), constant_values=-1)
    for group, suffix in zip(clashing, suffixes, strict=True):
        members, length = rows.order[starts[group] : ends[group]], lengths[group]
        result[members, length : length + suffix.shape[1]] = suffix
    return result


def _ends_of_prefix(rows: SortedRows, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the end of the range of rows that begin with the row at each start."""
    ends = np.empty(len(starts), dtype=np.int64)
    for length in np.unique(lengths):
        chosen, numbers = lengths == length, rows.prefixes(int(length))
        ends[chosen] = np.searchsorted(numbers, numbers[starts[chosen]], side="right")
    return ends


def _suffix(size: int, counters: NDArray[np.int32], taken: NDArray[np.int32]) -> NDArray[np.int32]:
    digits = counters[~np.isin(counters, taken)]
    base, width = len(digits), 1
    if base < 2 and size > base:
        raise DataError(
            f"{size} items share one identifier and only {base} counter tokens are left to distinguish them; use a "
            "tokenizer with more numbers, or longer identifiers"
        )
    while base**width < size:
        width += 1
    powers = base ** np.arange(width - 1, -1, -1)
    return np.asarray(digits[np.arange(size)[:, None] // powers % base], dtype=np.int32)
