"""Identifiers of new items among existing ones, which never move.

Two ways, by what the recommender's identifiers are made of:

- *Codes* (`<a_12><b_0><c_7>`): the frozen codebook codes the item's vector, by codes that trained items use (others
  have no token in the model). Where another item has these codes, the rule of the recommender's collisions holds: with
  an additional level its next counter follows, otherwise the nearest free code of the last level is taken. Each rule
  falls back on the other, as far as the model has the tokens.
- *A tree* (words, trees of codes, published identifiers): from the root, the item goes to the child whose trained items
  have the nearest mean vector, until that child is a single item. There it becomes a sibling of that item, under a
  token of its own: the best term of its text that no sibling has (words), the next code, or a counter.

Keywords and titles as identifiers are spelled from the item's own text; a token that would lead into another item's
identifier is skipped. An item for which no token is left is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexirec.decoding.trie_builder import number_nodes
from lexirec.models.extension.occupied import Occupied, Prefix
from lexirec.semantic_ids.quantizers.assignment import squared_distances
from lexirec.semantic_ids.quantizers.codebook import Codebook

Wishes = Callable[[int, int], Sequence[int]]
"""Tokens that an item would take at a depth (item, depth from 0), best first."""


@dataclass(frozen=True, eq=False)
class TreePlacing:
    """Places items in the tree of trained identifiers by vectors.

    Attributes:
        tokens: int32 (n_trained, longest), identifiers of the trained items, −1 padded.
        vectors: float32 (n_trained, d), their vectors.
        wishes: Tokens of its own that an item would take.
        levels: Least number of tokens of a new identifier; 0 ends it with its first own token.
    """

    tokens: NDArray[np.int32]
    vectors: NDArray[np.float32]
    wishes: Wishes
    levels: int = 0

    def place(self, vectors: NDArray[np.float32], occupied: Occupied) -> list[list[int] | None]:
        """Return the identifiers of items with these vectors, in order, and enter them; None for refused items."""
        placed = []
        for item, prefix in enumerate(self._prefixes(vectors)):
            identifier = self._own(item, prefix, occupied)
            placed.append(identifier)
            if identifier is not None:
                occupied.add(identifier)
        return placed

    def _own(self, item: int, prefix: Prefix, occupied: Occupied) -> list[int] | None:
        """Return a prefix with tokens of the item's own behind it; None where there are none."""
        taken, path = occupied.below(prefix), set(prefix)
        own = next((t for t in self.wishes(item, len(prefix)) if t not in taken and t not in path), None)
        if own is None:
            return None
        identifier = [*prefix, own]
        while len(identifier) < self.levels:
            more = next((t for t in self.wishes(item, len(identifier)) if t not in identifier), None)
            if more is None:
                break
            identifier.append(more)
        return identifier

    def _prefixes(self, vectors: NDArray[np.float32]) -> list[Prefix]:
        """Return for each vector the prefix of the trained items below which it belongs."""
        levels = number_nodes(self.tokens)
        sums = np.concatenate(
            [np.zeros((1, self.vectors.shape[1])), np.cumsum(self.vectors[levels.order], axis=0, dtype=np.float64)]
        )
        n_nodes = len(levels.token)
        first_child = np.searchsorted(levels.parent[1:], np.arange(n_nodes + 1)) + 1
        at = np.zeros(len(vectors), dtype=np.int64)
        open_ = np.arange(len(vectors))
        while len(open_):
            further = []
            for node in np.unique(at[open_]):
                rows = open_[at[open_] == node]
                children = np.arange(first_child[node], first_child[node + 1])
                sizes = (levels.last - levels.first)[children]
                means = (sums[levels.last[children]] - sums[levels.first[children]]) / sizes[:, None]
                distances = squared_distances(vectors[rows], means.astype(np.float32))
                nearest = distances.argmin(axis=1)
                inner = sizes[nearest] > 1
                at[rows[inner]] = children[nearest[inner]]
                further.append(rows[inner])
            open_ = np.concatenate(further)
        return [_path(node, levels.parent, levels.token) for node in at.tolist()]


def _path(node: int, parent: NDArray[np.int64], token: NDArray[np.int64]) -> Prefix:
    tokens: list[int] = []
    while node > 0:
        tokens.append(int(token[node]))
        node = int(parent[node])
    return tuple(tokens[::-1])


@dataclass(frozen=True, eq=False)
class CodePlacing:
    """Codes items by a frozen codebook.

    Attributes:
        codebook: The quantiser.
        tokens: Per level of the codebook: the token of each code, −1 for codes without one.
        counters: Tokens of the level behind the codes that tells colliding items apart, in order.
        numbered: Whether every identifier has that level.
        counted_first: Whether colliding items are counted before another code is tried.
    """

    codebook: Codebook
    tokens: Sequence[NDArray[np.int64]]
    counters: Sequence[int]
    numbered: bool
    counted_first: bool

    def place(self, vectors: NDArray[np.float32], occupied: Occupied) -> list[list[int] | None]:
        """Return the identifiers of items with these vectors, in order, and enter them; None for refused items."""
        placed: list[list[int] | None] = []
        for rest in self.codebook.space.encode(vectors.astype(np.float32)):
            identifier = self._deeper((), rest[None], occupied)
            placed.append(None if identifier is None else list(identifier))
            if identifier is not None:
                occupied.add(identifier)
        return placed

    def _deeper(self, prefix: Prefix, rest: NDArray[np.float32], occupied: Occupied) -> Prefix | None:
        """Return a free identifier below a prefix; `rest` (1, d) is what the levels before have left."""
        level = len(prefix)
        centroids, tokens = self.codebook.centroids[level], self.tokens[level]
        usable = np.flatnonzero(tokens >= 0)
        order = usable[np.argsort(squared_distances(rest, centroids[usable])[0], kind="stable")]
        last = [(*prefix, int(tokens[code])) for code in order]
        if level + 1 < self.codebook.levels:
            # a shortened identifier that ends at a code has no room behind it
            inner = next((at for at, longer in enumerate(last) if not occupied.is_whole(longer)), None)
            return None if inner is None else self._deeper(last[inner], rest - centroids[order[inner]], occupied)
        for longer in [] if self.numbered and self.counted_first else last:
            if occupied.is_free(longer):
                return (*longer, self.counters[0]) if self.numbered else longer
        return next((found for longer in last if (found := self._counted(longer, occupied)) is not None), None)

    def _counted(self, prefix: Prefix, occupied: Occupied) -> Prefix | None:
        """Return the prefix with the first free counter; None where it is a whole identifier or none is free."""
        if occupied.is_whole(prefix):
            return None
        taken = occupied.below(prefix)
        return next(((*prefix, token) for token in self.counters if token not in taken), None)


@dataclass(frozen=True, eq=False)
class TextPlacing:
    """Spells identifiers from the items' own texts.

    Attributes:
        wishes: Tokens of the item's text at any depth, in order.
        counters: Tokens that tell items with equal words apart, in order.
        length: Most tokens, before a counter.
        cut: Whether an identifier ends with its first token that no other has.
    """

    wishes: Sequence[Sequence[int]]
    counters: Sequence[int]
    length: int
    cut: bool

    def place(self, vectors: NDArray[np.float32], occupied: Occupied) -> list[list[int] | None]:
        """Return the identifiers of the items, in order, and enter them; None for refused items."""
        placed = []
        for wishes in self.wishes:
            identifier = self._spelled(wishes, occupied)
            placed.append(identifier)
            if identifier is not None:
                occupied.add(identifier)
        return placed

    def _spelled(self, wishes: Sequence[int], occupied: Occupied) -> list[int] | None:
        prefix: Prefix = ()
        for token in wishes:
            if occupied.is_whole((*prefix, token)):
                continue
            prefix = (*prefix, token)
            if len(prefix) == self.length or (self.cut and occupied.is_free(prefix)):
                break
        if prefix and occupied.is_free(prefix):
            return list(prefix)
        taken = occupied.below(prefix)
        own = next((token for token in self.counters if token not in taken), None)
        return None if own is None else [*prefix, own]
