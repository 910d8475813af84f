"""The tree of identifiers of a snapshot, to be walked by names: what lies below a node, how pure it is, what collides.

Legend: `N` nodes, `I` items.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.decoding.trie import Trie
from lexirec.models.base import GenerativeRecommender
from lexirec.models.ensemble.recommender import EnsembleRecommender
from lexirec.semantic_ids.lexicon.tfidf import readable
from lexirec.serving.answering.snapshot import Snapshot, SnapshotKey
from lexirec.serving.problems import ProblemError

Ints = NDArray[np.int64]
MOST_VALUES = 1_000
"""Fields with more different values say nothing about how much alike items are."""


class Grouping(NamedTuple):
    """A field by whose values items are grouped: the number of each item's value (I,), −1 without one, and the values.

    Of a field with lists, the first value counts.
    """

    numbers: Ints
    values: list[str]


class IdentifierTree:
    """The identifiers of a snapshot as arrays.

    Attributes:
        catalog: The items.
        catalog_version: Its version.
        words: Readable word on the edge into each node; "" at the root.
        parent, first, last, order, child_first: As in `decoding.trie.Trie`.
        leaf_of: (I,) leaf of each item.
        item_of: (N,) item that ends at a node; −1 inside.
        collided: bool (I,), items that share all words with another one.
    """

    def __init__(self, snapshot: Snapshot, lead: GenerativeRecommender[Any]) -> None:
        """Take the tree of a model, the lead of an ensemble or the only one."""
        trie: Trie = lead.model.trie  # type: ignore[assignment]
        pieces: Sequence[str] = lead.identifiers.pieces  # type: ignore[attr-defined]
        self.catalog, self.catalog_version = snapshot.catalog, snapshot.catalog_version
        arrays = (trie.parent, trie.first, trie.last, trie.order, trie.child_offsets, trie.item_node, trie.node_item)
        self.parent, self.first, self.last, self.order, self.child_first, self.leaf_of, self.item_of = (
            each.cpu().numpy() for each in arrays
        )
        self.depth, self.longest = trie.depth.cpu().numpy(), trie.longest
        known = {token: readable(pieces[token]) for token in np.unique(trie.token.cpu().numpy()).tolist() if token >= 0}
        self.words = [known.get(token, "") for token in trie.token.tolist()]
        groups: NDArray[np.int32] | None = getattr(lead, "semantic_ids", None)
        self.collided = self._counted() if groups is None else _shared(groups)

    def _counted(self) -> NDArray[np.bool_]:
        """Return the items whose last word is a number, as is that of every sibling: made to tell equal ones apart."""
        numbered = np.array([word.isdigit() for word in self.words]) & (self.item_of >= 0)
        counts = np.diff(self.child_first)
        digits = np.bincount(self.parent[1:], weights=numbered[1:], minlength=len(counts))
        told_apart = (digits > 1) & (digits == counts)
        leaves = self.leaf_of
        return np.asarray(numbered[leaves] & told_apart[self.parent[leaves]], dtype=np.bool_)

    def check(self, node: int) -> int:
        """Return a node.

        Raises:
            ProblemError: there is none with this number.
        """
        if not 0 <= node < len(self.parent):
            raise ProblemError(
                "not-found", f"there is no node {node}; the tree has the nodes 0 (its root) to {len(self.parent) - 1:,}"
            )
        return node

    def children(self, node: int) -> range:
        """Return the children of a node."""
        return range(int(self.child_first[node]) + 1, int(self.child_first[node + 1]) + 1)

    def path(self, node: int) -> list[int]:
        """Return the nodes from below the root to a node."""
        found = list[int]()
        while node > 0:
            found.append(node)
            node = int(self.parent[node])
        return found[::-1]

    def items(self, node: int) -> Ints:
        """Return the items below (or at) a node."""
        return self.order[self.first[node] : self.last[node]]

    def count(self, node: int) -> int:
        """Return the number of items below (or at) a node."""
        return int(self.last[node] - self.first[node])

    @cached_property
    def titles(self) -> list[str]:
        """The items' titles, or their first text field."""
        return titles_of(self.catalog)

    @cached_property
    def groupings(self) -> dict[str, Grouping]:
        """The fields by whose values items can be grouped."""
        return dict(_groupings(self.catalog.table))

    @cached_property
    def texts(self) -> dict[str, list[str]]:
        """The text fields of all items, in lower case."""
        return {name: [text.lower() for text in self.catalog.field(name)] for name in self.catalog.text_fields}


def titles_of(catalog: Catalog) -> list[str]:
    """Return the items' titles, or their first text field."""
    names = catalog.table.column_names
    name = "title" if "title" in names else next(iter(catalog.text_fields), None)
    return catalog.field(name) if name is not None else [""] * len(catalog)


def _groupings(table: pa.Table) -> Iterator[tuple[str, Grouping]]:
    for name in table.column_names:
        column, kind = table.column(name), table.schema.field(name).type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            column = pa.chunked_array([_firsts(each) for each in column.chunks], kind.value_type)
            kind = kind.value_type
        if name == "item_id" or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            continue
        values = pc.unique(column).drop_null()
        if not 2 <= len(values) <= min(MOST_VALUES, len(table) / 2):
            continue
        numbers = pc.index_in(column, values).fill_null(-1).to_numpy().astype(np.int64)
        yield name, Grouping(numbers, values.to_pylist())


def _firsts(lists: Any) -> pa.Array:
    return pa.array([each[0] if each else None for each in lists.to_pylist()], lists.type.value_type)


def _shared(groups: NDArray[np.int32]) -> NDArray[np.bool_]:
    _, inverse, counts = np.unique(groups, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse.ravel()] > 1, dtype=np.bool_)


def lead_of(recommender: Recommender) -> GenerativeRecommender[Any] | None:
    """Return the model whose tree a recommender searches: itself, or the lead of an ensemble; None without one."""
    if isinstance(recommender, EnsembleRecommender):
        return lead_of(recommender.parts[0].recommender)
    return recommender if isinstance(recommender, GenerativeRecommender) else None


class IdentifierTrees:
    """The tree of the snapshot that was asked for last."""

    def __init__(self) -> None:
        """Know none yet."""
        self._lock = threading.Lock()
        self._key: SnapshotKey | None = None
        self._tree: IdentifierTree | None = None

    def of(self, snapshot: Snapshot) -> IdentifierTree:
        """Return the tree of a snapshot; it takes some time for a new one, so call it on a thread.

        Raises:
            ProblemError: its model has no identifiers.
        """
        lead = lead_of(snapshot.recommender)
        if lead is None:
            raise ProblemError(
                "conflict",
                f"'{snapshot.model.name}' scores all items at once and has no identifiers; load a generative model",
            )
        with self._lock:
            if self._tree is None or self._key != snapshot.key:
                self._tree, self._key = IdentifierTree(snapshot, lead), snapshot.key
            return self._tree
