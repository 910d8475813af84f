"""The prefix trie of all identifiers, as flat tensors on any device.

Shapes: `B` batch, `W` width, `C` children, `N` nodes, `I` items, `D` features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from lexirec.core.errors import DataError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trie:
    """A prefix trie in breadth-first order: node 0 is the root, the children of a node are consecutive nodes.

    Edge `e` leads to node `e + 1`, so the children of node `v` are `child_offsets[v] + 1 … child_offsets[v + 1]`.
    All tensors are int64 on one device; all tuples are plain Python numbers, so that no loop over depths has to wait
    for a device.

    Attributes:
        child_offsets: (N + 1,) where the edges of each node begin.
        token: (N,) the token on the edge into a node; −1 at the root.
        parent: (N,) the node above; −1 at the root.
        depth: (N,) number of edges from the root.
        node_item: (N,) the item that ends at a leaf; −1 inside.
        item_node: (I,) the leaf of each item.
        order: (I,) items sorted by their leaves, from left to right.
        first: (N,) and
        last: (N,) `order[first[v] : last[v]]` are the items below (or at) node `v`.
        max_children: greatest number of children of a node, per depth 0 … longest − 1.
        level_offsets: the nodes of depth `d` are `level_offsets[d] … level_offsets[d + 1] − 1`.
        internal: number of nodes with children, per depth 0 … longest − 1.
    """

    child_offsets: Tensor
    token: Tensor
    parent: Tensor
    depth: Tensor
    node_item: Tensor
    item_node: Tensor
    order: Tensor
    first: Tensor
    last: Tensor
    max_children: tuple[int, ...]
    level_offsets: tuple[int, ...]
    internal: tuple[int, ...]

    @classmethod
    def build(cls, tokens: ArrayLike, end: int | None = None) -> Trie:
        """Build the trie of these identifiers: one sort of the items, then one pass per depth.

        Args:
            tokens: (I, longest) token ids, row by item number, padded at the end with −1.
            end: a token that closes every identifier (T5: 1, `</s>`), as the last edge of each path; None for none.

        Raises:
            DataError: an identifier is empty, has padding inside, contains `end`, equals another one or is a proper
                prefix of another one; the message names the item numbers.
        """
        matrix, lengths = _checked(np.asarray(tokens), end)
        order = np.lexsort(matrix.T[::-1])  # the last key is the first to sort by; padding (−1) comes first
        rows = matrix[order]
        # differs[r, d]: the first d + 1 tokens of sorted row r are not those of the row before
        differs = np.ones(rows.shape, dtype=np.bool_)
        np.logical_or.accumulate(rows[1:] != rows[:-1], axis=1, out=differs[1:])
        _refuse_clashes(rows, lengths[order], differs, order)
        if end is not None:
            rows, differs = _with_end(rows, lengths[order], differs, end)
        return cls._from_sorted(rows, lengths[order] + (end is not None), differs, order.astype(np.int64))

    @classmethod
    def _from_sorted(cls, rows: Ints, lengths: Ints, differs: Bools, order: Ints) -> Trie:
        """Number the nodes depth by depth from sorted identifiers and the places where their prefixes change."""
        levels = _levels(rows, lengths, differs)
        item_of_leaf = np.full(levels.token.size, -1, dtype=np.int64)
        item_of_leaf[levels.leaf] = order
        item_node = np.empty_like(order)
        item_node[order] = levels.leaf
        counts = np.bincount(levels.parent[1:], minlength=levels.token.size)
        bounds = levels.offsets
        per_level = [counts[low:high] for low, high in pairwise(bounds[:-1])]
        return cls(
            child_offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
            token=torch.from_numpy(levels.token),
            parent=torch.from_numpy(levels.parent),
            depth=torch.from_numpy(np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))),
            node_item=torch.from_numpy(item_of_leaf),
            item_node=torch.from_numpy(item_node),
            order=torch.from_numpy(order),
            first=torch.from_numpy(levels.first),
            last=torch.from_numpy(levels.last),
            max_children=tuple(int(level.max()) for level in per_level),
            level_offsets=tuple(bounds),
            internal=tuple(int(np.count_nonzero(level)) for level in per_level),
        )

    @property
    def n_items(self) -> int:
        """Number of items, which is the number of leaves."""
        return self.item_node.numel()

    @property
    def n_nodes(self) -> int:
        """Number of nodes, the root included."""
        return self.token.numel()

    @property
    def longest(self) -> int:
        """Number of edges on the longest path, an `end` edge included."""
        return len(self.max_children)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.token.device

    def to(self, device: torch.device | str) -> Trie:
        """Return the trie with its tensors on `device` (itself when they are there already)."""
        if self.device == torch.device(device):
            return self
        moved: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        moved.update({name: value.to(device) for name, value in moved.items() if isinstance(value, Tensor)})
        return Trie(**moved)

    def leaves(self, depth: int) -> int:
        """Return the number of items whose path has this many edges (1 … longest)."""
        inside = self.internal[depth] if depth < self.longest else 0
        return self.level_offsets[depth + 1] - self.level_offsets[depth] - inside

    def children(self, nodes_BW: Tensor, width: int) -> Tensor:
        """Return the child nodes (B, W, width) of nodes of any shape (B, W), −1 beyond a node's number of children.

        `width` is usually `max_children[depth]`; a smaller one cuts the children off.
        """
        edge_BW1 = self.child_offsets[nodes_BW].unsqueeze(-1)
        stop_BW1 = self.child_offsets[nodes_BW + 1].unsqueeze(-1)
        edge_BWC = edge_BW1 + torch.arange(width, device=self.device)
        return torch.where(edge_BWC < stop_BW1, edge_BWC + 1, -1)

    def path(self, node: int) -> list[int]:
        """Return the tokens from the root to a node, an `end` edge included."""
        tokens: list[int] = []
        while node > 0:
            tokens.append(int(self.token[node]))
            node = int(self.parent[node])
        return tokens[::-1]

    def ancestors(self) -> Tensor:
        """Return (I, longest) the nodes on each item's path: column `d` has depth `d + 1`, −1 beyond the leaf."""
        path_IL = torch.full((self.n_items, self.longest), -1, dtype=torch.int64, device=self.device)
        items_I = torch.arange(self.n_items, device=self.device)
        node_I = self.item_node
        for _ in range(self.longest):
            # an item whose walk has reached the root writes column 0 again, with what it holds
            inside_I = node_I > 0
            column_I = self.depth[node_I].clamp(min=1) - 1
            path_IL[items_I, column_I] = torch.where(inside_I, node_I, path_IL[items_I, column_I])
            node_I = self.parent[node_I].clamp(min=0)
        return path_IL

    def sequences(self) -> Tensor:
        """Return (I, longest) the tokens of every item as the trie spells them, −1 padded, `end` included."""
        path_IL = self.ancestors()
        return torch.where(path_IL >= 0, self.token[path_IL.clamp(min=0)], -1)

    def pool(self, item_vectors_ID: Tensor) -> Tensor:
        """Return (N, D) for each node the mean of the vectors of the items below it; differentiable.

        Nodes on one chain without branches hold the same items. Each distinct set of items is averaged once, as one
        bag of its items, and each node reads the row of its set.
        """
        bags = self._bags
        means_MD = functional.embedding_bag(bags.items, item_vectors_ID, bags.offsets, mode="mean")
        return torch.cat([item_vectors_ID, means_MD]).index_select(0, bags.row)

    @cached_property
    def _bags(self) -> _Bags:
        """Return the distinct sets of two or more items that lie under nodes."""
        first, last = self.first.cpu().numpy(), self.last.cpu().numpy()
        several = last - first > 1
        spans, inverse = np.unique(first[several] * (self.n_items + 1) + last[several], return_inverse=True)
        starts, stops = np.divmod(spans, self.n_items + 1)
        sizes = stops - starts
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        order = self.order.cpu().numpy()
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, sizes)
        row = order[first]
        row[several] = self.n_items + inverse
        return _Bags(*(torch.from_numpy(a).to(self.device) for a in (order[within], offsets[:-1], row)))


class _Bags(NamedTuple):
    """`items[offsets[m] : offsets[m + 1]]` is the m-th set; `row` (N,): an item's own row or I + its set."""

    items: Tensor
    offsets: Tensor
    row: Tensor


class _Levels(NamedTuple):
    token: Ints
    parent: Ints
    first: Ints
    last: Ints
    leaf: Ints  # the leaf of each sorted row
    offsets: list[int]


def _levels(rows: Ints, lengths: Ints, differs: Bools) -> _Levels:
    """Number the nodes: at each depth a new node begins where the prefix changes and the identifier still goes on."""
    n_items = len(rows)
    token, parent, first, last = [np.array([-1])], [np.array([-1])], [np.array([0])], [np.array([n_items])]
    node = np.zeros(n_items, dtype=np.int64)  # the node of each sorted row at the current depth
    leaf = np.empty(n_items, dtype=np.int64)
    offsets = [0, 1]
    for depth in range(1, rows.shape[1] + 1):
        alive = lengths >= depth
        begins = np.flatnonzero(differs[:, depth - 1])
        ends = np.append(begins[1:], n_items)
        lives = alive[begins]
        begins, ends = begins[lives], ends[lives]
        token.append(rows[begins, depth - 1])
        parent.append(node[begins])
        first.append(begins)
        last.append(ends)
        # rows whose identifier has ended keep counting along, but are never read again
        node = offsets[-1] - 1 + np.cumsum(differs[:, depth - 1] & alive)
        leaf[lengths == depth] = node[lengths == depth]
        offsets.append(offsets[-1] + begins.size)
    return _Levels(
        token=np.concatenate(token),
        parent=np.concatenate(parent),
        first=np.concatenate(first),
        last=np.concatenate(last),
        leaf=leaf,
        offsets=offsets,
    )


def _checked(tokens: NDArray[Any], end: int | None) -> tuple[Ints, Ints]:
    """Return the identifiers as int64 without needless columns, and their lengths."""
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
    """Refuse equal identifiers and proper prefixes; sorted, either stands directly before a row that it clashes with.

    A clash is a neighbour pair whose first difference, if any, lies beyond the end of the first of the two.
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
        "each item needs its own, none the beginning of another: add a distinguishing token"
    )


def _with_end(rows: Ints, lengths: Ints, differs: Bools, end: int) -> tuple[Ints, Bools]:
    """Close each sorted identifier with the end token; identifiers are no prefixes, so the order stays sorted."""
    items = np.arange(len(rows))
    closed = np.concatenate([rows, np.full((len(rows), 1), -1)], axis=1)
    closed[items, lengths] = end
    # every identifier is its own by its last token already
    return closed, np.concatenate([differs, np.ones((len(rows), 1), dtype=np.bool_)], axis=1)
