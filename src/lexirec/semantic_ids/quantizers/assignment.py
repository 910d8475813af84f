"""Assignment of vectors to the codes of a level: nearest code, or balanced cells of n / k items, give or take one.

Balanced assignment uses entropic optimal transport: every code gets a price at which demand equals capacity. Items then
choose, in rounds, the cheapest code at these prices with free capacity; items that would lose most by their second
choice go first. Distances are computed in blocks of bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lexirec.core.errors import DataError

_BLOCK = 1 << 16  # items assigned at once; larger catalogues are divided at random
_TEMPERATURES = (0.3, 0.1, 0.03, 0.01)  # shares of the spread of distances, in turn; costs end 1 % above the least
_ITERATIONS = 20  # per temperature


def balanced_kmeans(
    vectors: NDArray[np.float32], start: NDArray[np.float32], *, rounds: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Cluster vectors (n, d) into cells of n / k items, give or take one.

    k-means with `balanced_labels` as assignment step; stops when no label changes.

    Args:
        vectors: float32 (n, d), n ≥ k.
        start: float32 (k, d), initial centres, such as those of plain k-means.
        rounds: Most rounds of assigning the items and moving the centres.
        seed: Of the division of catalogues with more than 65,536 items.

    Returns:
        The centres float32 (k, d), each the mean of its cell, and the labels int32 (n,).
    """
    centers, labels = start, np.full(len(vectors), -1, dtype=np.int32)
    for _ in range(rounds):
        assigned = balanced_labels(vectors, centers, seed=seed)
        if (assigned == labels).all():
            break
        centers, labels = cell_means(vectors, assigned, len(start)), assigned
    return centers, labels


def balanced_labels(vectors: NDArray[np.float32], centers: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.int32]:
    """Assign vectors (n, d) to centres (k, d) in cells of n / k vectors, rounded down or up: int32 (n,).

    Source: the entropic transport and greedy rounding of MiniOneRec's `--uniform`. There the temperature stays at 0.1
    times a spread of distances, items choose in random order among their 32 best codes, and sizes are only nearly
    equal.
    """
    order = np.random.default_rng(seed).permutation(len(vectors)) if len(vectors) > _BLOCK else np.arange(len(vectors))
    labels = np.empty(len(vectors), dtype=np.int32)
    placed = np.zeros(len(centers), dtype=np.int64)
    for start in range(0, len(order), _BLOCK):
        rows = order[start : start + _BLOCK]
        costs = squared_distances(vectors[rows], centers)
        prices, demand = _prices(costs)
        capacity = _capacity(start + len(rows), placed, demand)
        labels[rows] = _choose(costs - prices, capacity)
        placed += np.bincount(labels[rows], minlength=len(centers))
    return labels


def _prices(costs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the price subtracted from each code's costs at which demand is equal, and the demand at these prices."""
    n, k = costs.shape
    spread = np.median(np.quantile(costs, 0.9, axis=1) - costs.min(axis=1))
    prices = np.zeros(k, dtype=np.float32)
    # annealing: high temperatures bring the prices into range fast, low ones make the assignment nearly optimal
    for share in _TEMPERATURES:
        temperature = np.float32(max(share * float(spread), 1e-12))
        for _ in range(_ITERATIONS):
            demand = softmax((prices - costs) / temperature, axis=1).sum(axis=0, dtype=np.float64)
            prices += temperature * np.log(n / k / np.maximum(demand, 1e-30)).astype(np.float32)
    return prices, demand


def _capacity(total: int, placed: NDArray[np.int64], demand: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many of the next items each code accepts, so that after `total` items sizes differ by at most one.

    The additional item goes to codes that have it already, then to those in greatest demand.
    """
    target = np.full(len(placed), total // len(placed), dtype=np.int64)
    more = np.lexsort((-demand, placed <= target))[: total % len(placed)]
    target[more] += 1
    return target - placed


def _choose(costs: NDArray[np.float32], capacity: NDArray[np.int64]) -> NDArray[np.int32]:
    """Let rows choose, in rounds, their cheapest code with capacity; if contested, rows with most to lose win."""
    labels = np.full(len(costs), -1, dtype=np.int32)
    waiting, capacity = np.arange(len(costs)), capacity.copy()
    while len(waiting):
        open_codes = np.flatnonzero(capacity > 0)
        offers = costs[np.ix_(waiting, open_codes)]
        best = offers.argmin(axis=1)
        loss = _second(offers) - offers[np.arange(len(offers)), best]
        order = np.lexsort((-loss, best))
        counts = np.bincount(best, minlength=len(open_codes))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # within each code, by loss
        winners = order[rank < capacity[open_codes][best[order]]]
        labels[waiting[winners]] = open_codes[best[winners]]
        capacity -= np.bincount(labels[waiting[winners]], minlength=len(capacity))
        waiting = np.delete(waiting, winners)
    return labels


def _second(offers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the second lowest entry of each row, or the only one."""
    return np.partition(offers, min(1, offers.shape[1] - 1), axis=1)[:, min(1, offers.shape[1] - 1)]


def cell_means(vectors: NDArray[np.float32], labels: NDArray[np.integer], k: int) -> NDArray[np.float32]:
    """Return the mean of the vectors of each cell 0 … k − 1, none of which may be empty: float32 (k, d)."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=k)
    sums = np.add.reduceat(vectors[order], np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts[:, None], dtype=np.float32)


# -------------------------------------------------------------------------------------------------------------- nearest

_CELLS = 1 << 24  # distances of a block, 64 MiB in single precision
_GREATEST = np.float64(1e15)  # sums of squares of greater numbers may overflow in single precision


def finite_matrix(vectors: NDArray[np.floating], width: int | None = None) -> NDArray[np.float32]:
    """Check vectors (n, d) and return them as float32.

    Raises:
        DataError: as `checked_matrix`, or the vectors are not of the given width.
    """
    matrix = checked_matrix(vectors)
    if width is not None and matrix.shape[1] != width:
        raise DataError(f"vectors have {matrix.shape[1]} dimensions, the codebook {width}; use the same model")
    return matrix.astype(np.float32)


def checked_matrix(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Check vectors (n, d) and return them in their own precision.

    Raises:
        DataError: they are no matrix of floats, have no rows or columns, are not finite, or too large to be squared.
    """
    matrix = np.asarray(vectors)
    if matrix.ndim != 2 or 0 in matrix.shape or not np.issubdtype(matrix.dtype, np.floating):
        raise DataError(f"vectors are {matrix.dtype} of shape {matrix.shape}; give a matrix of floats (items, d)")
    bad = np.flatnonzero(~(np.abs(matrix) < _GREATEST).all(axis=1))  # NaN is less than nothing
    if len(bad):
        problem = "is not finite" if not np.isfinite(matrix[bad[0]]).all() else f"holds a number beyond {_GREATEST:g}"
        raise DataError(f"vectors: row {bad[0]} {problem} ({len(bad)} such rows); every number must be finite")
    return matrix


def squared_distances(rows: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared Euclidean distance of each row (n, d) to each code (k, d): float32 (n, k), none negative."""
    products = rows @ codes.T
    distances = (rows**2).sum(axis=1)[:, None] - 2 * products + (codes**2).sum(axis=1)
    return np.asarray(np.maximum(distances, 0), dtype=np.float32)


def nearest_codes(rows: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the nearest code of each row, the lower number for ties: int32 (n,)."""
    nearest = np.empty(len(rows), dtype=np.int32)
    for block in blocks(len(rows), len(codes)):
        nearest[block] = squared_distances(rows[block], codes).argmin(axis=1)
    return nearest


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of rows such that rows × columns numbers fit a block."""
    size = max(1, _CELLS // columns)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def whole_groups(groups: NDArray[np.int64], columns: int) -> Iterator[slice]:
    """Yield slices of rows sorted by group that fit a block and split no group; a larger group is a slice alone."""
    size = max(1, _CELLS // columns)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    ends = np.append(starts[1:], len(groups))
    first = 0
    while first < len(groups):
        last = max(np.searchsorted(ends, first + size, side="right") - 1, np.searchsorted(ends, first, side="right"))
        yield slice(first, int(ends[last]))
        first = int(ends[last])
