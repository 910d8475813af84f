"""Prefix trie of all item identifiers, as flat tensors on any device.

Shapes: `B` batch, `W` width, `C` children, `N` nodes, `I` items, `D` features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie_builder import Ints, TrieLevels, number_nodes


@dataclass(frozen=True, eq=False)
class Trie:
    """A prefix trie in breadth-first order: node 0 is the root, the children of a node are consecutive nodes.

    Edge `e` leads to node `e + 1`, so the children of node `v` are `child_offsets[v] + 1 … child_offsets[v + 1]`.
    All tensors are int64 on one device; all tuples hold plain Python numbers, so that loops over depths do not
    synchronise the device.

    Attributes:
        child_offsets: (N + 1,) first edge of each node.
        token: (N,) the token on the edge into a node; −1 at the root.
        parent: (N,) the node above; −1 at the root.
        depth: (N,) number of edges from the root.
        node_item: (N,) the item that ends at a leaf; −1 inside.
        item_node: (I,) the leaf of each item.
        order: (I,) items sorted by their identifiers, that is, by their leaves from left to right.
        first: (N,) and
        last: (N,) `order[first[v] : last[v]]` are the items below (or at) node `v`.
        max_children: greatest number of children of a node, per depth 0 … longest − 1.
        level_offsets: the nodes of depth `d` are `level_offsets[d] … level_offsets[d + 1] − 1`.
        internal: number of nodes with children, per depth 0 … longest − 1.
        trained: number of leading items that the model was trained with; None for all. Items added later change no
            probability and no mean of these (`nn.head_base.log_shares`, `pool`).
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
    trained: int | None = None

    @classmethod
    def build(cls, tokens: ArrayLike, end: int | None = None, *, trained: int | None = None) -> Trie:
        """Build the trie of a set of identifiers: one sort of the items, then one pass per depth.

        Args:
            tokens: (I, longest) token ids, row by item number, padded at the end with −1.
            end: a token that closes every identifier (T5: 1, `</s>`), as the last edge of each path; None for none.
            trained: number of leading items that the model was trained with; None for all.

        Raises:
            DataError: an identifier is empty, has padding inside, contains `end`, equals another one or is a proper
                prefix of another one; the message names the item numbers.
        """
        trie = cls._from_levels(number_nodes(tokens, end))
        return trie if trained is None or trained >= trie.n_items else replace(trie, trained=trained)

    @classmethod
    def _from_levels(cls, levels: TrieLevels) -> Trie:
        """Turn numbered nodes into tensors, with the numbers per depth that loops need."""
        # items are known in sorted order: scatter them to their leaves, and the leaves back to item numbers
        item_of_leaf = np.full(levels.token.size, -1, dtype=np.int64)
        item_of_leaf[levels.leaf] = levels.order
        item_node = np.empty_like(levels.order)
        item_node[levels.order] = levels.leaf
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
            order=torch.from_numpy(levels.order),
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
        """The device of the tensors."""
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
        # edge e leads to node e + 1, so a range of edges is a range of children
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
            # all items climb in lockstep: one that has reached the root rewrites column 0 with its own value
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
        """Return for each node the mean of the vectors of the items below it (N, D); differentiable.

        Nodes on a chain without branches hold the same items, so each distinct set of items is averaged once, as one
        bag, and nodes share the row of their set. Where trained items stand below a node, added ones are left out.
        """
        bags = self._bags
        means_MD = functional.embedding_bag(bags.items, item_vectors_ID, bags.offsets, mode="mean")
        return torch.cat([item_vectors_ID, means_MD]).index_select(0, bags.row)

    @cached_property
    def with_trained(self) -> Tensor:
        """Whether a trained item stands below (or at) each node: bool (N,)."""
        trained = self.n_items if self.trained is None else self.trained
        before = functional.pad((self.order < trained).cumsum(0), (1, 0))
        return before[self.last] > before[self.first]

    @cached_property
    def smallest_item(self) -> Tensor:
        """The smallest item number below (or at) each node: (N,)."""
        smallest_N = torch.where(self.node_item >= 0, self.node_item, self.n_items)
        for depth in range(self.longest, 0, -1):
            low, high = self.level_offsets[depth], self.level_offsets[depth + 1]
            smallest_N.scatter_reduce_(0, self.parent[low:high], smallest_N[low:high].clone(), "amin")
        return smallest_N

    @cached_property
    def _bags(self) -> _Bags:
        """The distinct sets of two or more items below nodes."""
        order, first, last = (each.cpu().numpy() for each in (self.order, self.first, self.last))
        if self.trained is not None:
            order, first, last = _of_trained(order, first, last, self.trained)
        several = last - first > 1
        # a set is a range of `order`: one integer per (first, last) finds the distinct ones
        spans, inverse = np.unique(first[several] * (len(order) + 1) + last[several], return_inverse=True)
        starts, stops = np.divmod(spans, len(order) + 1)
        sizes = stops - starts
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, sizes)
        row = order[first]
        row[several] = self.n_items + inverse
        return _Bags(*(torch.from_numpy(a).to(self.device) for a in (order[within], offsets[:-1], row)))


def _of_trained(order: Ints, first: Ints, last: Ints, trained: int) -> tuple[Ints, Ints, Ints]:
    """Return an order and ranges of it that hold a node's trained items alone, or all where it has none."""
    old = order < trained
    before = np.concatenate([[0], np.cumsum(old)])
    some = before[last] > before[first]
    # ranges of the trained items' own order; those of nodes without any are of the whole order, which stands behind it
    joined = np.concatenate([order[old], order])
    return joined, np.where(some, before[first], first + trained), np.where(some, before[last], last + trained)


class _Bags(NamedTuple):
    """Sets of items below nodes: `items[offsets[m] : offsets[m + 1]]` is set m.

    `row` (N,) is the row of a node in [item vectors; set means]: its only item, or I + its set.
    """

    items: Tensor
    offsets: Tensor
    row: Tensor
