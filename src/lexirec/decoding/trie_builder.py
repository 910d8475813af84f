"""Trie construction: check an array of identifiers, sort it, and number the trie's nodes depth by depth.

Identifiers are int64 (items, longest), −1 beyond an identifier's last token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexirec.core.errors import DataError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class TrieLevels(NamedTuple):
    """The nodes of a trie in breadth-first order, the root first.

    Attributes:
        token: (N,) the token on the edge into a node; −1 at the root.
        parent: (N,) the node above; −1 at the root.
        first: (N,) and
        last: (N,) `order[first[v] : last[v]]` are the items below (or at) node `v`.
        leaf: (I,) the leaf of each sorted identifier.
        order: (I,) items sorted by their identifiers.
        offsets: the nodes of depth `d` are `offsets[d] … offsets[d + 1] − 1`.
    """

    token: Ints
    parent: Ints
    first: Ints
    last: Ints
    leaf: Ints
    order: Ints
    offsets: list[int]


def number_nodes(tokens: ArrayLike, end: int | None = None) -> TrieLevels:
    """Number the nodes of the trie of these identifiers; arguments and errors are those of `Trie.build`."""
    matrix, lengths = _checked(np.asarray(tokens), end)
    order = np.lexsort(matrix.T[::-1])  # the last key is the first to sort by; padding (−1) comes first
    rows = matrix[order]
    # differs[r, d]: the first d + 1 tokens of sorted row r are not those of the row before
    differs = np.ones(rows.shape, dtype=np.bool_)
    np.logical_or.accumulate(rows[1:] != rows[:-1], axis=1, out=differs[1:])
    _refuse_clashes(rows, lengths[order], differs, order)
    if end is not None:
        rows, differs = _with_end(rows, lengths[order], differs, end)
    return _levels(rows, lengths[order] + (end is not None), differs, order.astype(np.int64))


def _levels(rows: Ints, lengths: Ints, differs: Bools, order: Ints) -> TrieLevels:
    """Number the nodes: at each depth a node begins where the prefix changes and the identifier has not ended."""
    n_items = len(rows)
    token, parent, first, last = [np.array([-1])], [np.array([-1])], [np.array([0])], [np.array([n_items])]
    node = np.zeros(n_items, dtype=np.int64)  # the node of each sorted row at the current depth
    leaf = np.empty(n_items, dtype=np.int64)
    offsets = [0, 1]
    for depth in range(1, rows.shape[1] + 1):
        alive = lengths >= depth
        # equal prefixes are neighbours after sorting, so each run of equal prefixes is one node
        begins = np.flatnonzero(differs[:, depth - 1])
        ends = np.append(begins[1:], n_items)
        ongoing = alive[begins]
        begins, ends = begins[ongoing], ends[ongoing]
        token.append(rows[begins, depth - 1])
        parent.append(node[begins])
        first.append(begins)
        last.append(ends)
        # a row whose identifier has ended gets its neighbour's number, which is never read
        node = offsets[-1] - 1 + np.cumsum(differs[:, depth - 1] & alive)
        leaf[lengths == depth] = node[lengths == depth]
        offsets.append(offsets[-1] + begins.size)
    return TrieLevels(
        token=np.concatenate(token),
        parent=np.concatenate(parent),
        first=np.concatenate(first),
        last=np.concatenate(last),
        leaf=leaf,
        order=order,
        offsets=offsets,
    )


def _checked(tokens: NDArray[Any], end: int | None) -> tuple[Ints, Ints]:
    """Check identifiers; return them as int64 without columns that only pad, and their lengths."""
    if tokens.ndim != 2 or tokens.shape[0] == 0 or not np.issubdtype(tokens.dtype, np.integer):
        raise DataError(
            f"identifiers: got an array of shape {tokens.shape} and type {tokens.dtype}; "
            "expected integers (items, longest) with at least one item"
        )
    real = tokens >= 0
    lengths = real.sum(axis=1)
    if not lengths.all():
        raise DataError(f"identifiers: item {int(lengths.argmin())} has no token; every item needs at least one")
    gaps = (real[:, 1:] & ~real[:, :-1]).any(axis=1)
    if gaps.any():
        raise DataError(f"identifiers: item {int(gaps.argmax())} has padding before its last token; pad at the end")
    if end is not None and (holds := (tokens == end).any(axis=1)).any():
        raise DataError(f"identifiers: item {int(holds.argmax())} contains the end token {end}; leave it out")
    matrix = tokens[:, : int(lengths.max())].astype(np.int64)
    return np.where(matrix < 0, -1, matrix), lengths.astype(np.int64)


def _refuse_clashes(rows: Ints, lengths: Ints, differs: Bools, order: Ints) -> None:
    """Refuse equal identifiers and proper prefixes of others.

    Sorting puts either directly before a row that it clashes with. A clash is a pair of neighbours whose first
    difference, if any, lies beyond the end of the first of the two.
    """
    common = (~differs[1:]).sum(axis=1)  # `differs` is cumulative, so this is the length of the common prefix
    same = common == rows.shape[1]
    clash = same | (common >= lengths[:-1])
    if not clash.any():
        return
    at = int(clash.argmax())
    spelled = rows[at][: lengths[at]].tolist()
    relation = "equals that of" if same[at] else "is a proper prefix of that of"
    more = f" ({int(clash.sum()) - 1} more such pairs)" if clash.sum() > 1 else ""
    raise DataError(
        f"identifiers: that of item {int(order[at])}, {spelled}, {relation} item {int(order[at + 1])}{more}; "
        "identifiers must be unique and none a prefix of another: add a distinguishing token"
    )


def _with_end(rows: Ints, lengths: Ints, differs: Bools, end: int) -> tuple[Ints, Bools]:
    """Append the end token to each sorted identifier; none is a prefix of another, so the order stays sorted."""
    items = np.arange(len(rows))
    closed = np.concatenate([rows, np.full((len(rows), 1), -1)], axis=1)
    closed[items, lengths] = end
    # identifiers already differ by their last token, so all rows differ at the end token, too
    return closed, np.concatenate([differs, np.ones((len(rows), 1), dtype=np.bool_)], axis=1)
