"""Rows of tokens as prefixes of each other: finding clashes, making rows unique, cutting them short.

Everywhere `tokens` is int32 (rows, longest), −1 beyond a row's last token; sorted rows stand in lexicographic order, a
row directly before those it is a prefix of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.core.progress import track
from lexirec.semantic_ids.codes import Codes, first_members
from lexirec.semantic_ids.lexicon.lexicon import Lexicon


@dataclass(frozen=True, eq=False)
class SortedRows:
    """Rows in lexicographic order, equal ones in the order they were given.

    Attributes:
        order: int64 (rows,), the given row that stands at each place.
        tokens: int32 (rows, longest), the sorted rows.
        lengths: int64 (rows,), their lengths.
        shared: int64 (rows,), tokens at the start that a row shares with the one before; 0 for the first.
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
        """Return a number for each row's first `depth` tokens, rising with the rows: int64 (rows,)."""
        return np.asarray(np.cumsum(self.shared < np.minimum(depth, self._reach)) - 1, dtype=np.int64)

    @property
    def _reach(self) -> NDArray[np.int64]:
        """Tokens that must be shared for a row to equal the one before it in every token; shorter rows differ."""
        before = np.concatenate([self.lengths[:1], self.lengths[:-1]])
        longest: NDArray[np.int64] = np.maximum(self.lengths, before)
        longest[:1] = 1
        return longest

    @property
    def starts(self) -> NDArray[np.int64]:
        """Places of the first row of each set of equal rows."""
        return np.flatnonzero(np.diff(self.prefixes(self.tokens.shape[1] + 1), prepend=-1))


def find_clash(tokens: NDArray[np.int32]) -> tuple[int, int] | None:
    """Return two rows of which the first equals the second or is a proper prefix of it; None where there are none."""
    rows = SortedRows.of(tokens)
    clashes = np.flatnonzero(rows.shared[1:] == rows.lengths[:-1])
    if not len(clashes):
        return None
    return int(rows.order[clashes[0]]), int(rows.order[clashes[0] + 1])


def cut_shortest(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cut unique, prefix-free rows at their shortest prefix that no other row has; the result is prefix-free."""
    kept = shortest_unique(tokens)
    longest = int(kept.max(initial=0))
    return np.where(np.arange(longest) < kept[:, None], tokens[:, :longest], np.int32(-1))


def shortest_unique(tokens: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the length of each row's shortest prefix that no other row has: int64 (rows,)."""
    rows = SortedRows.of(tokens)
    shared = np.maximum(rows.shared, np.append(rows.shared[1:], 0))
    kept = np.empty(len(tokens), dtype=np.int64)
    kept[rows.order] = np.minimum(shared + 1, rows.lengths)
    return kept


def made_unique(tokens: NDArray[np.int32], counters: NDArray[np.int32]) -> NDArray[np.int32]:
    """Append counters so that no row is empty, equals another or is a prefix of another.

    All rows of a set of equal ones are counted in the order they were given; a lone row is left alone unless it is a
    prefix of another. A counter is one token, the n-th of `counters`. Where that token already follows the row's
    tokens in another row it is passed over, so a counted row can clash with nothing; where the counters do not
    suffice, several are combined to numbers of equal length.

    Source: GRAM's preprocessing code (its paper, section 3.1), which neither passes over nor combines.

    Raises:
        DataError: there are too few counters.
    """
    rows = SortedRows.of(tokens)
    starts = rows.starts
    ends = np.append(starts[1:], len(tokens))
    lengths = rows.lengths[starts]
    extended = np.append(rows.shared, -1)[ends] == lengths
    troubled = np.flatnonzero((ends - starts > 1) | extended | (lengths == 0))
    last = _ends_of_prefix(rows, starts[troubled], lengths[troubled])
    suffixes = [
        _suffix(int(ends[group] - starts[group]), counters, rows.tokens[ends[group] : stop, lengths[group] :][:, :1])
        for group, stop in zip(troubled, last, strict=True)
    ]
    width = max((int(lengths[group]) + s.shape[1] for group, s in zip(troubled, suffixes, strict=True)), default=0)
    result = np.pad(tokens, ((0, 0), (0, max(width - tokens.shape[1], 0))), constant_values=-1)
    for group, suffix in zip(troubled, suffixes, strict=True):
        members, length = rows.order[starts[group] : ends[group]], lengths[group]
        result[members, length : length + suffix.shape[1]] = suffix
    return result


def _ends_of_prefix(rows: SortedRows, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the rows end that begin with the row at each start."""
    ends = np.empty(len(starts), dtype=np.int64)
    for length in np.unique(lengths):
        here, numbers = lengths == length, rows.prefixes(int(length))
        ends[here] = np.searchsorted(numbers, numbers[starts[here]], side="right")
    return ends


def _suffix(size: int, counters: NDArray[np.int32], taken: NDArray[np.int32]) -> NDArray[np.int32]:
    digits = counters[~np.isin(counters, taken)]
    base, width = len(digits), 1
    if base < 2 and size > base:
        raise DataError(f"{size} items share one identifier and only {base} counter tokens are left to tell them apart")
    while base**width < size:
        width += 1
    powers = base ** np.arange(width - 1, -1, -1)
    return np.asarray(digits[np.arange(size)[:, None] // powers % base], dtype=np.int32)


# ------------------------------------------------------------------------------------------------------------- siblings
# Choosing one term per cell along each item's path, with or without different terms for siblings.


def choose_terms(lexicon: Lexicon, codes: Codes, *, distinct_siblings: bool = False) -> NDArray[np.int32]:
    """Return the term of each item at each level: int32 (n_items, levels), −1 where a cell has no term left.

    From the first level on, an item takes the best term of its cell that it does not have from an earlier level;
    items of one prefix thus get the same terms (GRAM's preprocessing code; its paper, section 3.1).

    Args:
        lexicon: Terms of the cells.
        codes: The codes whose cells they are.
        distinct_siblings: Let no two cells below the same terms share a term: a term goes to the cell with the
            highest score for it (then to the larger, then to the first), the others take their next best, so that no
            cell could better itself with a term that scores less in the cell that has it (a stable matching).
    """
    chosen = np.full((len(codes), codes.levels), -1, dtype=np.int32)
    for level in track(range(codes.levels), "choosing terms"):
        groups = codes.prefixes(level)
        members = first_members(groups)
        terms, scores = lexicon.levels[level].padded()
        cells = codes.cells(level)[members]
        terms, used = terms[cells], chosen[members, :level]
        free = terms >= 0
        for earlier in used.T:
            free &= terms != earlier[:, None]
        if distinct_siblings:
            parents = np.unique(used, axis=0, return_inverse=True)[1] if level else np.zeros(len(used), dtype=np.int64)
            picked = _match(terms, scores[cells], free, parents, np.bincount(groups))
        else:
            picked = _take(terms, free)
        chosen[:, level] = picked[groups]
    return chosen


def _take(terms: NDArray[np.int32], free: NDArray[np.bool_]) -> NDArray[np.int32]:
    if not terms.shape[1]:
        return np.full(len(terms), -1, dtype=np.int32)
    return np.where(free.any(axis=1), terms[np.arange(len(terms)), free.argmax(axis=1)], np.int32(-1))


def _match(
    terms: NDArray[np.int32],
    scores: NDArray[np.float64],
    free: NDArray[np.bool_],
    parents: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Match cells (rows, best terms first) and terms within each parent, by deferred acceptance (Gale and Shapley).

    Every row claims its best term left; of the rows of one parent that claim a term the best keeps the claim, the
    others go on to their next; a parent whose rows all keep their claims is settled.
    """
    order = np.argsort(~free, axis=1, kind="stable")  # free terms to the front, still best first
    last = np.full((len(terms), 1), -1, dtype=np.int32)
    terms = np.hstack([np.take_along_axis(np.where(free, terms, np.int32(-1)), order, axis=1), last])
    scores = np.hstack([np.take_along_axis(scores, order, axis=1), np.zeros((len(scores), 1))])
    place = np.zeros(len(terms), dtype=np.int64)
    active = np.arange(len(terms))
    while len(active):
        claims, worth = terms[active, place[active]], scores[active, place[active]]
        ranked = np.lexsort((active, -sizes[active], -worth, claims, parents[active]))
        rows = active[ranked]
        beaten = np.zeros(len(rows), dtype=np.bool_)
        beaten[1:] = (np.diff(claims[ranked]) == 0) & (np.diff(parents[rows]) == 0) & (claims[ranked][1:] >= 0)
        place[rows[beaten]] += 1
        active = np.sort(active[np.isin(parents[active], parents[rows[beaten]])])
    return terms[np.arange(len(terms)), place]
