"""The memory for items that it was not fitted on: they are reached through the texts they resemble.

With K the text similarities of `models.baselines.memory`, an added item j gets a column and a row of K:

- K[i, j] = cos(i, j)^p / Z_i for every item i whose least similar text neighbour is not more similar than j, where Z_i
  is the sum of cos^p over i's own neighbours when the memory was fitted. The row is not scaled anew, so what i gave to
  its neighbours it still gives: scores of fitted items stay as they are.
- K[j, ·] are the weights of j's own nearest fitted items, which sum to 1, and those of other added items by the same
  rule.

Counts of added items are zero; their row and column scales follow from K, among the fitted items alone, so that no
added item changes another's scores. An added item can be recommended for whatever resembles it, and a history that
holds it is read through what it resembles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lexirec.data.neighbors import Matrix, Neighbors, nearest, top_k
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.memory import Memory
from lexirec.models.extension.changes import CatalogChange

_BLOCK = 256
_POWERS = ("row_power", "column_power")
Features = Any
"""Rows of length 1 or 0 whose products are cosines: a dense array or a sparse matrix, (n, d)."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """How items resemble each other by frozen features.

    Attributes:
        fitted: Features of the items that the memory was fitted on, in their order then.
        now: Features of the items of the catalogue as it is now.
        places: int64 (trained,), the number among `fitted` of each leading item of `now` that is one of them.
    """

    fitted: Features
    now: Features
    places: NDArray[np.int64]


def extend_memory(memory: Memory, change: CatalogChange, likeness: Likeness | None) -> Memory:
    """Return a memory of the catalogue after a change; the given one stays as it is.

    Args:
        memory: Of the catalogue before.
        change: What changed.
        likeness: Of the items' texts or vectors; None for a memory without evidence, which reaches no added item.
    """
    n_items, trained = len(change.after), change.trained
    extended = Memory(memory.settings)
    extended.mean, extended.recall = memory.mean_sum(), memory.recall
    extended.counts = resized(memory.counts, change.kept, n_items)
    extended.shares = padded(memory.shares, change.kept, n_items)
    extended.similarities = None
    if memory.similarities is not None and likeness is not None:
        fresh = np.concatenate([change.reworded[change.reworded < trained], np.arange(trained, n_items)])
        kept = resized(memory.similarities, change.kept, n_items)
        extended.similarities = _joined(kept, likeness, fresh.astype(np.int64), trained, memory.settings)
    extended.steps = extended._steps()
    for name, sums, power in zip(("row_scale", "column_scale"), _sums(extended, trained), _POWERS, strict=True):
        scale = np.power(np.where(sums > 0, sums, 1.0), -getattr(memory.settings, power)).astype(np.float32)
        setattr(extended, name, np.concatenate([getattr(memory, name)[change.kept[:trained]], scale]))
    return extended


def _sums(memory: Memory, trained: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the sums of the smoothed matrix over the rows and columns of added items, among trained items alone."""
    n_items = memory.counts.shape[0]
    every: Any = sparse.csr_array((np.arange(n_items) < trained).astype(np.float32)[None])
    columns = memory._spread(every)[0, trained:]
    rows = np.zeros(n_items - trained, dtype=np.float32)
    for first in range(trained, n_items, _BLOCK):
        added = np.arange(first, min(first + _BLOCK, n_items))
        ones = np.ones(len(added), dtype=np.float32)
        one_each: Any = sparse.csr_array((ones, (np.arange(len(added)), added)), shape=(len(added), n_items))
        rows[added - trained] = memory._spread(one_each)[:, :trained].sum(axis=1)
    return rows, columns


def neighbors_of(memory: Memory, items: NDArray[np.int64], trained: int, k: int) -> Neighbors:
    """Return the k best neighbours of some items among the `trained` first, by smoothed counts (`Memory.neighbors`)."""
    found = np.full((len(items), k), -1, dtype=np.int32)
    best = np.zeros((len(items), k), dtype=np.float32)
    for first in range(0, len(items), _BLOCK):
        rows = items[first : first + _BLOCK]
        scores = memory.scores(Sequences(rows.astype(np.int32), np.arange(len(rows) + 1, dtype=np.int64)))
        scores[np.arange(len(rows)), rows] = 0.0
        scores[:, trained:] = 0.0
        scores[scores <= 0] = -np.inf
        found[first : first + len(rows)], values = top_k(scores, k, of="the memory")
        best[first : first + len(rows)] = np.where(np.isneginf(values), 0.0, values)
    return Neighbors(found, best)


def padded(values: NDArray[np.float32], kept: NDArray[np.int64], n_items: int) -> NDArray[np.float32]:
    """Return the values of kept items, and 0 for all others: (n_items,)."""
    return np.concatenate([values[kept], np.zeros(n_items - len(kept), dtype=values.dtype)])


def resized(matrix: Matrix, kept: NDArray[np.int64], n_items: int) -> Matrix:
    """Return the rows and columns of kept items, with empty ones for all others: (n_items, n_items)."""
    part: Any = matrix[kept][:, kept] if len(kept) < matrix.shape[0] else matrix
    part = part.tocoo()
    return sparse.csr_array((part.data, (part.coords[0], part.coords[1])), shape=(n_items, n_items))


def _joined(kept: Matrix, likeness: Likeness, fresh: NDArray[np.int64], trained: int, settings: Any) -> Matrix:
    """Return similarities with new rows and columns of the items `fresh`."""
    k, power, n_items = settings.neighbors, settings.similarity_power, kept.shape[0]
    near = nearest(likeness.fitted, k).scores
    sums, least = _of_neighbors(near, power)
    # fitted items keep the sums and thresholds of fitting
    row_sums, row_least = np.zeros(n_items), np.full(n_items, np.inf)
    row_sums[:trained], row_least[:trained] = sums[likeness.places], least[likeness.places]
    old = np.setdiff1d(np.arange(trained), fresh)
    rows: list[NDArray[Any]] = []
    columns: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    for first in range(0, len(fresh), _BLOCK):
        block = fresh[first : first + _BLOCK]
        cosine = _products(likeness.now[block], likeness.now)
        cosine[np.arange(len(block)), block] = 0.0
        to_old = cosine[:, old]
        best, near_values = top_k(np.where(to_old > 0, to_old, -np.inf).astype(np.float32), k)
        strength = np.where(best >= 0, near_values, 0.0)
        row_sums[block], row_least[block] = _of_neighbors(strength, power)
        at, place = np.nonzero(strength > 0)
        rows.append(block[at])
        columns.append(old[best[at, place]])
        values.append(strength[at, place] ** power / row_sums[block][at])
    for first in range(0, len(fresh), _BLOCK):
        block = fresh[first : first + _BLOCK]
        cosine = _products(likeness.now, likeness.now[block])
        cosine[block, np.arange(len(block))] = 0.0
        wanted = (cosine > 0) & (cosine >= row_least[:, None]) & (row_sums[:, None] > 0)
        at, place = np.nonzero(wanted)
        rows.append(at)
        columns.append(block[place])
        values.append(cosine[at, place] ** power / row_sums[at])
    keep = np.ones(n_items, dtype=np.bool_)
    keep[fresh] = False
    cells = kept.tocoo()
    there = keep[cells.coords[0]] & keep[cells.coords[1]]
    rows.append(cells.coords[0][there])
    columns.append(cells.coords[1][there])
    values.append(cells.data[there])
    data = np.concatenate(values).astype(np.float32)
    return sparse.csr_array((data, (np.concatenate(rows), np.concatenate(columns))), shape=(n_items, n_items))


def _of_neighbors(cosines: NDArray[np.float32], power: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of cos^power over each row's neighbours, and the cosine that a further one must reach."""
    positive = np.maximum(cosines, 0.0).astype(np.float64)
    least = positive[:, -1]  # 0 where an item has fewer neighbours than it may have
    return (positive**power).sum(axis=1), least


def _products(left: Features, right: Features) -> NDArray[np.float32]:
    product = left @ right.T
    return np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float32)
