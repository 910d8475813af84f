"""Neighbours of large catalogues, from sparse rows: work in proportion to what the rows touch, never items × items.

A product of sparse rows touches only pairs that share a column, so it is exact and costs little, unless very many rows
share a column, as texts share frequent words. `nearest_sparse` then finds candidates through an inverted index whose
longest lists are cut to their heaviest entries, ranks them by their full cosine, and measures on a sample how many true
neighbours it finds (impact-ordered lists: Anh and Moffat, SIGIR 2006).

Shapes: `n` rows, `d` columns, `E` stored entries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_log = logging.getLogger(__name__)
Matrix: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"

LARGE = 30_000
"""Catalogues of more items take sparse paths; for smaller ones a dense block of rows is faster."""
EXACT_WORK = 10_000_000_000
"""Products up to which sparse rows are compared exactly, a few minutes on one core; beyond, an index is used."""
_WORK = 1 << 24
"""Products of a block: their results take 200 MiB at most."""
_POSTINGS = 1_000
"""Entries that the index keeps of a column: at the default a million texts of 20 words take minutes."""
_CANDIDATES = 3
"""Candidates that are ranked by full cosine, for each neighbour that is asked for."""
_SAMPLE = 500
"""Items by which the recall of the index is measured."""


class BestOfRows(NamedTuple):
    """The largest numbers of each row: columns int32 (n, k), −1 where a row has fewer, and values float32 (n, k)."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


class Found(NamedTuple):
    """Neighbours, and the share of the true ones among them on a sample of items, None where all are exact."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    recall: float | None = None


def recall_in_words(recall: float) -> str:
    """Say how neighbours of a large catalogue were found."""
    return f"approximate, through an index; recall {recall:.3f} on a sample of items"


def row_blocks(work: NDArray[np.integer], most: int = _WORK) -> Iterator[NDArray[np.int64]]:
    """Yield consecutive row numbers whose work sums to at most `most`; a row with more is a block of its own."""
    done = np.cumsum(work, dtype=np.int64)
    first = 0
    while first < len(done):
        before = done[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(done, before + most, side="right")))
        yield np.arange(first, last)
        first = last


def products_work(rows: Matrix, matrix: Matrix) -> NDArray[np.int64]:
    """Return how many products each row of `rows @ matrix` takes: int64 (n,)."""
    lengths = np.diff(matrix.indptr).astype(np.int64)[rows.indices]
    sums = np.concatenate([[0], np.cumsum(lengths)])
    return np.asarray(sums[rows.indptr[1:]] - sums[rows.indptr[:-1]])


def best_of_rows(rows: Matrix, k: int, *, without: NDArray[np.int64] | None = None) -> BestOfRows:
    """Return the k largest positive entries of every row; among equal ones the smaller column comes first.

    Args:
        rows: (n, d), without duplicates.
        k: columns to return.
        without: int64 (n,), a column of each row that is left out, such as the row's own item.
    """
    n_rows = rows.shape[0]
    items, scores = np.full((n_rows, k), -1, dtype=np.int32), np.zeros((n_rows, k), dtype=np.float32)
    bounds = _bounds(rows.data, rows.indptr, k + (without is not None))
    kept = np.flatnonzero(rows.data > np.repeat(bounds, np.diff(rows.indptr)))
    row = np.searchsorted(rows.indptr, kept, side="right") - 1
    columns, values = rows.indices[kept], rows.data[kept]
    if without is not None:
        others = columns != without[row]
        row, columns, values = row[others], columns[others], values[others]
    order = np.lexsort((columns, -values, row))
    row, columns, values = row[order], columns[order], values[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    first = rank < k
    items[row[first], rank[first]], scores[row[first], rank[first]] = columns[first], values[first]
    return BestOfRows(items, scores)


def _bounds(values: NDArray[np.floating[Any]], offsets: NDArray[np.integer], k: int) -> NDArray[np.float32]:
    """Return a number below the k-th largest of each row, at least 0: (n,).

    Rows are cut into pieces; at least k entries reach the k-th largest of the pieces' maxima.
    """
    pieces, counts = 2 * k, np.diff(offsets).astype(np.int64)
    length = np.maximum(-(-counts // pieces), 1)
    starts = np.asarray(offsets[:-1, None] + length[:, None] * np.arange(pieces), dtype=np.int64)
    inside = starts < offsets[1:, None]
    maxima = np.full(starts.shape, -np.inf, dtype=np.float32)
    if inside.any():  # pieces of all rows lie one behind another, so each ends where the next begins
        maxima[inside] = np.maximum.reduceat(values, starts[inside])
    reached = np.partition(maxima, pieces - k, axis=1)[:, pieces - k]
    return np.maximum(np.nextafter(reached, np.float32(-np.inf)), np.float32(0))


def best_of_products(
    n_items: int, work: NDArray[np.integer], rows_of: Callable[[NDArray[np.int64]], Matrix], k: int
) -> BestOfRows:
    """Return the k best other items of every item, from sparse rows of scores that are made block by block.

    Args:
        n_items: number of items.
        work: (n_items,), products that each row takes.
        rows_of: makes the rows of some items: (items, n_items).
        k: neighbours per item.
    """
    items, scores = np.full((n_items, k), -1, dtype=np.int32), np.zeros((n_items, k), dtype=np.float32)
    for block in row_blocks(work):
        items[block], scores[block] = best_of_rows(rows_of(block), k, without=block)
    return BestOfRows(items, scores)


def nearest_sparse(unit: Matrix, k: int) -> Found:
    """Return every row's k nearest other rows by their product; only positive products count.

    Args:
        unit: (n, d), rows of length 1 or 0.
        k: neighbours per row.
    """
    across = sparse.csr_array(unit.T)
    work = products_work(unit, across)
    if int(work.sum()) > EXACT_WORK:
        return nearest_by_index(unit, k)
    return Found(*best_of_products(unit.shape[0], work, lambda block: unit[block] @ across, k))


def nearest_by_index(unit: Matrix, k: int, *, postings: int = _POSTINGS, seed: int = 0) -> Found:
    """Return every row's k nearest other rows by their product, found through an index of bounded lists.

    Time is at most rows × their entries × `postings`, so it grows as the rows do.

    Args:
        unit: (n, d), rows of length 1 or 0.
        k: neighbours per row.
        postings: entries that the index keeps of a column, the heaviest.
        seed: of the sample by which recall is measured.
    """
    index = _heaviest(sparse.csr_array(unit.T), postings)
    wanted = k * _CANDIDATES

    def full(block: NDArray[np.int64]) -> Matrix:
        near = best_of_rows(unit[block] @ index, wanted, without=block).items
        row, place = np.nonzero(near >= 0)
        found = near[row, place]
        cosines = np.asarray(unit[block[row]].multiply(unit[found]).sum(axis=1), dtype=np.float32).ravel()
        return sparse.csr_array((cosines, (row, found)), shape=(len(block), unit.shape[0]))

    work = products_work(unit, index) + wanted * np.maximum(np.diff(unit.indptr), 1) * 4
    best = best_of_products(unit.shape[0], work, full, k)
    recall = _recall(unit, best, seed)
    _log.info("neighbours of %s items by an index: recall@%d %.3f on a sample", f"{unit.shape[0]:,}", k, recall)
    return Found(*best, recall)


def _heaviest(columns: Matrix, most: int) -> Matrix:
    """Keep the `most` largest entries of each row."""
    counts = np.diff(columns.indptr)
    row = np.repeat(np.arange(columns.shape[0]), counts)
    order = np.lexsort((columns.indices, -columns.data, row))
    rank = np.arange(len(row)) - np.repeat(columns.indptr[:-1], counts)
    kept = order[rank < most]
    return sparse.csr_array((columns.data[kept], (row[kept], columns.indices[kept])), shape=columns.shape)


def _recall(unit: Matrix, best: BestOfRows, seed: int) -> float:
    """Return the share of the true neighbours' cosines that was found, for a sample of rows; 1 where there are none.

    Cosines are compared instead of items, so that a neighbour as near as the true one counts.
    """
    n_rows, k = best.items.shape
    sample = np.sort(np.random.default_rng(seed).permutation(n_rows)[:_SAMPLE]).astype(np.int64)
    across = sparse.csr_array(unit.T)
    hits = total = 0
    for part in row_blocks(products_work(unit[sample], across)):
        true = best_of_rows(unit[sample[part]] @ across, k, without=sample[part]).scores
        found = best.scores[sample[part]]
        least = np.where(true > 0, true, np.inf).min(axis=1, keepdims=True)
        hits += int(((found >= least - 1e-5) & (found > 0)).sum())
        total += int((true > 0).sum())
    return min(1.0, hits / total) if total else 1.0
