"""The graph heuristic: successors of the newest items in a transition graph, ranked by text similarity.

From the newest item of a history, other items lie in rings: the first ring holds its successors in training, the second
their successors, and all others are further away. Within a ring, items are ranked by the cosine of their features to
the newest item; in the first ring, w·log(1 + count) / log(1 + greatest count of the item) is added. The rings share the
list: of ten places, 7 go to the first ring, 2 to the second, 1 to what is further away, and so on every ten places. The
item before the newest one can have places of its own. Nothing is learned and no more of the history is read.

Source: Han et al., "An Embarrassingly Simple Graph Heuristic Reveals Shortcut-Solvable Benchmarks for Sequential
Recommendation" (arXiv 2605.07125). Its TGH-1 has the places of our defaults, its TGH-2 (5, 1, 0) for the newest and
(3, 1) for the item before. Rings, places and w are from its abstract and its authors' description of their code; the
paper's text was not read. What these leave open, and what we chose:

- Lists longer than ten: the places repeat. Where all rings end, popular items follow.
- Features: the paper has sentence vectors of a large T5; ours are TF-IDF of the texts, or the experiment's vectors.
- What is further away is endless: the `neighbors` nearest items by features stand for it.
- Hubs: of every item the `successors` most frequent successors are kept, which bounds the second ring.
- Direction: the graph is read forward; `both_ways` also reads it backwards.
- Seen items leave the list after the places are given; the next ones move up.

All lists depend on one item alone, so `fit` makes one per item: its work is the sum of the rings, and that of a
history is the length of its lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse

from lexirec.core.errors import DataError, SettingsError
from lexirec.core.progress import track
from lexirec.data.neighbors import Matrix, Neighbors, nearest, pair_counts, scaled, unit_rows
from lexirec.data.sequences import Sequences, bounded_slices
from lexirec.models.baselines.base import (
    Baseline,
    BaselineInputs,
    BaselineSettings,
    answer_newcomers,
    dense,
    popularity,
)
from lexirec.models.baselines.text_neighbors import text_rows

_LONGEST = 200
"""Most items of one ring that are kept."""
_PAIRS = 1 << 20
"""Most pairs of an item and an item of its rings in memory."""
_COSINES = 1 << 16
"""Pairs whose feature vectors are in memory at once."""
_LAST_RESORT = 1e-6
"""Weight of popularity: below the place of every item in a ring."""

_Integers = NDArray[np.integer[Any]]
_Features: TypeAlias = "NDArray[np.float32] | Matrix"


class GraphHeuristicSettings(BaselineSettings):
    """Settings of `GraphHeuristic`; the defaults are those of TGH-1."""

    kind: Literal["graph-heuristic"] = "graph-heuristic"
    evidence: Literal["text", "vectors"] = "text"
    """Features of the items: TF-IDF of their texts, or all vectors of the experiment."""
    first_hop: int = Field(default=7, ge=0)
    """Places of the newest item's successors, in every round of places."""
    second_hop: int = Field(default=2, ge=0)
    """Places of the successors of its successors."""
    further: int = Field(default=1, ge=0)
    """Places of items that are further away."""
    previous_first_hop: int = Field(default=0, ge=0)
    """Places of the successors of the item before the newest one."""
    previous_second_hop: int = Field(default=0, ge=0)
    """Places of their successors."""
    edge_weight: float = Field(default=0.5, ge=0)
    """w, the weight of a successor's count beside its cosine."""
    both_ways: bool = False
    """Whether predecessors count as successors, too."""
    successors: int = Field(default=200, ge=1)
    """Most frequent successors kept of every item."""
    neighbors: int = Field(default=50, ge=1)
    """Nearest items by features that stand for what is further away."""

    @model_validator(mode="after")
    def _fills_places(self) -> Self:
        if not sum(self.places):
            raise ValueError("no ring has a place; give first_hop, second_hop or further at least 1")
        return self

    @property
    def places(self) -> tuple[int, int, int, int, int]:
        """Places in a round: the newest item's three rings, then two of the item before."""
        return (self.first_hop, self.second_hop, self.further, self.previous_first_hop, self.previous_second_hop)

    def needed(self) -> tuple[str, ...]:
        """Return `vectors` where they are the features."""
        return ("vectors",) if self.evidence == "vectors" else ()


class GraphHeuristic(Baseline):
    """Scores items by 1 / (1 + place) in the lists of the newest two items; see the module's docstring."""

    settings_class: ClassVar[type[BaselineSettings]] = GraphHeuristicSettings
    matrices: ClassVar[tuple[str, ...]] = ("newest", "previous")
    settings: GraphHeuristicSettings
    shares: NDArray[np.float32]
    newest: Matrix
    previous: Matrix

    def fit(
        self,
        train: Sequences,
        n_items: int,
        *,
        texts: Sequence[str] | None = None,
        vectors: NDArray[np.floating[Any]] | None = None,
    ) -> Self:
        """Make every item's list from the transitions of `train`; without texts and vectors, cosines are 0.

        Args:
            train: rows of item numbers, oldest first.
            n_items: size of the catalogue.
            texts: one per item, in catalogue order.
            vectors: (n_items, d), in catalogue order.

        Raises:
            SettingsError: both texts and vectors are given.
            DataError: they are not one per item, or the texts have no words in common.
        """
        if texts is not None and vectors is not None:
            raise SettingsError("graph-heuristic: texts and vectors are both given; give one of them, or none")
        given = texts if texts is not None else vectors
        if given is not None and len(given) != n_items:
            raise DataError(f"graph-heuristic: {len(given):,} texts or vectors for {n_items:,} items; give one each")
        features = (
            None if given is None else unit_rows(text_rows(texts) if texts is not None else np.asarray(vectors))[0]
        )
        graph = self._graph(train, n_items)
        rings = [*_rings(graph, features, self.settings)]
        self.newest = _listed(rings, self.settings.places, (0, 1, 2), n_items)
        self.previous = _listed(rings, self.settings.places, (3, 4), n_items)
        self.shares = popularity(train, n_items)
        return self

    @classmethod
    def fitted(cls, settings: GraphHeuristicSettings, inputs: BaselineInputs) -> Self:
        """Return a heuristic fitted with the features that the settings name."""
        features: dict[str, Any] = (
            {"vectors": inputs.vectors} if settings.evidence == "vectors" else {"texts": inputs.texts}
        )
        return cls(settings).fit(inputs.train, inputs.n_items, **features)

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        histories.check(len(self.shares))
        found = _rows_of(self.newest, histories, 1)
        if self.previous.nnz:
            found = found.maximum(_rows_of(self.previous, histories, 2))
        scores = dense(found)
        scores += np.float32(_LAST_RESORT) * self.shares
        return answer_newcomers(scores, histories, self.shares)

    def _graph(self, train: Sequences, n_items: int) -> Matrix:
        """Return the counts of adjacent pairs, without pairs of an item and itself, strongest edges only."""
        counts = pair_counts(train, n_items, backward=1.0 if self.settings.both_ways else 0.0).tocoo()
        rows, columns = (each.astype(np.int64) for each in counts.coords)
        apart = rows != columns
        rows, columns, values = rows[apart], columns[apart], counts.data[apart]
        order = np.lexsort((columns, -values, rows))
        order = order[_ranks(rows[order]) < self.settings.successors]
        cells = (rows[order], columns[order])
        return sparse.csr_array((values[order], cells), shape=(n_items, n_items), dtype=np.float32)


def _rows_of(lists: Matrix, histories: Sequences, age: int) -> Any:
    """Return the list of each history's `age`-th newest item, an empty one where it is shorter."""
    there = histories.lengths >= age
    place = np.where(there, histories.offsets[1:] - age, 0)
    items = histories.items[place] if len(histories.items) else np.zeros(len(histories), dtype=np.int32)
    return scaled(lists[items], by_row=there.astype(np.float32))


# --------------------------------------------------------------------------------------------------------------- rings


def _rings(graph: Matrix, features: _Features | None, settings: GraphHeuristicSettings) -> Iterator[Any]:
    """Yield items, others of their rings, the ring (0, 1, 2) and the score in it, in blocks of items."""
    n_items = graph.shape[0]
    steps: Any = sparse.csr_array((np.ones(graph.nnz, dtype=np.float32), graph.indices, graph.indptr), graph.shape)
    similar = None if features is None or not settings.further else nearest(features, settings.neighbors)
    strongest = np.ones(n_items, dtype=np.float32)
    np.maximum.at(strongest, np.repeat(np.arange(n_items), np.diff(graph.indptr)), np.log1p(graph.data))
    deep = bool(settings.second_hop or settings.previous_second_hop)
    bounds = np.diff(graph.indptr) + (steps @ np.diff(graph.indptr)).astype(np.int64) * deep + settings.neighbors
    for block in track([*bounded_slices(bounds, _PAIRS)], "ranking the rings"):
        found = [(*_cells(graph[block], block.start), 0)]
        if deep:
            found.append((*_cells(steps[block] @ steps, block.start), 1))
        if similar is not None:
            found.append((*_of_neighbors(similar, block), 2))
        items, others, values, ring = _nearest_ring(found, n_items)
        scores = np.zeros(len(items), dtype=np.float32) if features is None else _cosines(features, items, others)
        counted = ring == 0
        scores[counted] += settings.edge_weight * np.log1p(values[counted]) / strongest[items[counted]]
        yield _best(items, others, ring, scores)


def _cells(rows: Any, first: int) -> tuple[_Integers, _Integers, NDArray[np.float32]]:
    """Return the item, other and value of every cell of some rows, of which the first has the number `first`."""
    cells = rows.tocoo()
    return cells.coords[0].astype(np.int64) + first, cells.coords[1].astype(np.int64), cells.data


def _of_neighbors(similar: Neighbors, block: slice) -> tuple[_Integers, _Integers, NDArray[np.float32]]:
    row, place = np.nonzero(similar.items[block] >= 0)
    items = row.astype(np.int64) + block.start
    return items, similar.items[items, place].astype(np.int64), similar.scores[items, place]


def _nearest_ring(found: Sequence[Any], n_items: int) -> tuple[Any, Any, Any, Any]:
    """Keep every pair in the first ring that it is in, without items paired with themselves."""
    items, others, values = (np.concatenate([each[part] for each in found]) for part in range(3))
    ring = np.concatenate([np.full(len(each[0]), each[3], dtype=np.int64) for each in found])
    _, first = np.unique(items * n_items + others, return_index=True)  # the first of equals: rings are in order
    first = first[items[first] != others[first]]
    return items[first], others[first], values[first], ring[first]


def _best(items: Any, others: Any, ring: Any, scores: NDArray[np.float32]) -> tuple[Any, Any, Any, Any]:
    """Return the best pairs of every item and ring: items, others, rings and ranks from 0; ties by item number."""
    order = np.lexsort((others, -scores, ring, items))
    items, others, ring = items[order], others[order], ring[order]
    ranks = _ranks(items * 3 + ring)
    kept = ranks < _LONGEST
    return items[kept], others[kept], ring[kept], ranks[kept]


def _ranks(groups: _Integers) -> NDArray[np.int64]:
    """Return the rank of each entry in its group, from 0; groups ascend."""
    return np.arange(len(groups), dtype=np.int64) - np.searchsorted(groups, groups)


def _listed(rings: Sequence[Any], places: Sequence[int], columns: Sequence[int], n_items: int) -> Matrix:
    """Merge rings into lists: a matrix of 1 / (1 + place), rows = the item that the list belongs to.

    Args:
        rings: blocks of items, others, rings and ranks.
        places: places in a round of all five rings.
        columns: which of them these rings are.
        n_items: size of the catalogue.
    """
    offsets, total = np.cumsum([0, *places]), sum(places)
    cells: list[tuple[Any, Any, Any]] = []
    for items, others, ring, ranks in rings:
        for number, column in enumerate(columns):
            of_ring = (ring == number) if places[column] else np.zeros(len(ring), dtype=np.bool_)
            rounds, within = np.divmod(ranks[of_ring], max(places[column], 1))
            place = rounds * total + offsets[column] + within
            cells.append((items[of_ring], others[of_ring], 1.0 / (1.0 + place)))
    rows, others, scores = (np.concatenate([each[part] for each in cells] or [np.empty(0)]) for part in range(3))
    index = (rows.astype(np.int64), others.astype(np.int64))
    return sparse.csr_array((scores.astype(np.float32), index), shape=(n_items, n_items))


# ------------------------------------------------------------------------------------------------------------ features


def _cosines(unit: _Features, items: _Integers, others: _Integers) -> NDArray[np.float32]:
    """Return the cosine of each pair of items, in batches."""
    found = np.empty(len(items), dtype=np.float32)
    for first in range(0, len(items), _COSINES):
        some = slice(first, first + _COSINES)
        left: Any = unit[items[some]]
        right: Any = unit[others[some]]
        if isinstance(left, np.ndarray):
            found[some] = np.einsum("pd,pd->p", left, right)
        else:
            found[some] = np.asarray(left.multiply(right).sum(axis=1)).ravel()
    return found
