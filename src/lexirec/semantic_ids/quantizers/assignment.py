"""Clusters of equal size: every code gets n / k items, give or take one.

Entropic optimal transport gives each code a price at which demand meets supply; the items then take, in rounds, the
code that is best at these prices and still has room, those first that would lose most by another.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lexirec.core.errors import DataError

_BLOCK = 1 << 16  # items that are placed at once; larger catalogues are dealt out to several at random
_TEMPERATURES = (0.3, 0.1, 0.03, 0.01)  # of the spread of distances, one after the other: 1 % above the least costs
_ITERATIONS = 20  # at each temperature


def balanced_kmeans(
    vectors: NDArray[np.float32], start: NDArray[np.float32], *, rounds: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Cluster vectors (n, d) into cells of n / k items, give or take one.

    As k-means, but each item goes to a cell by `balanced_labels`. Stops when no label changes.

    Args:
        vectors: float32 (n, d), n ≥ k.
        start: float32 (k, d), the first centres, such as those of plain k-means.
        rounds: Most times of assigning the items and moving the centres.
        seed: Deals out catalogues of more than 65,536 items.

    Returns:
        The centres float32 (k, d), each the mean of its cell, and the labels int32 (n,).
    """
    centers, labels = start, np.full(len(vectors), -1, dtype=np.int32)
    for _ in range(rounds):
        found = balanced_labels(vectors, centers, seed=seed)
        if (found == labels).all():
            break
        centers, labels = cell_means(vectors, found, len(start)), found
    return centers, labels


def balanced_labels(vectors: NDArray[np.float32], centers: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.int32]:
    """Assign vectors (n, d) to centres (k, d), each getting n / k of them rounded down or up: int32 (n,).

    Source: the entropic transport and greedy rounding of MiniOneRec's `--uniform`; there the temperature stays at 0.1 ×
    a spread of distances, items are rounded in random order over their 32 best codes, and sizes are near equal only.
    """
    order = np.random.default_rng(seed).permutation(len(vectors)) if len(vectors) > _BLOCK else np.arange(len(vectors))
    labels = np.empty(len(vectors), dtype=np.int32)
    placed = np.zeros(len(centers), dtype=np.int64)
    for start in range(0, len(order), _BLOCK):
        rows = order[start : start + _BLOCK]
        costs = squared_distances(vectors[rows], centers)
        prices, demand = _prices(costs)
        room = _room(start + len(rows), placed, demand)
        labels[rows] = _take(costs - prices, room)
        placed += np.bincount(labels[rows], minlength=len(centers))
    return labels


def _prices(costs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return what each code takes off its costs so that all are in equal demand, and the demand at these prices."""
    n, k = costs.shape
    spread = np.median(np.quantile(costs, 0.9, axis=1) - costs.min(axis=1))
    prices = np.zeros(k, dtype=np.float32)
    for share in _TEMPERATURES:
        temperature = np.float32(max(share * float(spread), 1e-12))
        for _ in range(_ITERATIONS):
            demand = softmax((prices - costs) / temperature, axis=1).sum(axis=0, dtype=np.float64)
            prices += temperature * np.log(n / k / np.maximum(demand, 1e-30)).astype(np.float32)
    return prices, demand


def _room(total: int, placed: NDArray[np.int64], demand: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many of the next items each code takes, so that after `total` items no two differ by more than one.

    One more than others take those that have it already, then the most wanted.
    """
    target = np.full(len(placed), total // len(placed), dtype=np.int64)
    more = np.lexsort((-demand, placed <= target))[: total % len(placed)]
    target[more] += 1
    return target - placed


def _take(costs: NDArray[np.float32], room: NDArray[np.int64]) -> NDArray[np.int32]:
    """Let rows take, in rounds, their cheapest code with room; where more want one, those with most to lose get it."""
    labels = np.full(len(costs), -1, dtype=np.int32)
    waiting, room = np.arange(len(costs)), room.copy()
    while len(waiting):
        open_codes = np.flatnonzero(room > 0)
        offers = costs[np.ix_(waiting, open_codes)]
        best = offers.argmin(axis=1)
        loss = _second(offers) - offers[np.arange(len(offers)), best]
        order = np.lexsort((-loss, best))
        counts = np.bincount(best, minlength=len(open_codes))
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        taken = order[place < room[open_codes][best[order]]]
        labels[waiting[taken]] = open_codes[best[taken]]
        room -= np.bincount(labels[waiting[taken]], minlength=len(room))
        waiting = np.delete(waiting, taken)
    return labels


def _second(offers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the second lowest of each row, the only one where there are no two."""
    return np.partition(offers, min(1, offers.shape[1] - 1), axis=1)[:, min(1, offers.shape[1] - 1)]


def cell_means(vectors: NDArray[np.float32], labels: NDArray[np.integer], k: int) -> NDArray[np.float32]:
    """Return the mean of the vectors of each cell 0 … k − 1, none of which may be empty: float32 (k, d)."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=k)
    sums = np.add.reduceat(vectors[order], np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts[:, None], dtype=np.float32)


# -------------------------------------------------------------------------------------------------------------- nearest
# Distances from vectors to the codes of a level, in blocks of bounded memory.


_CELLS = 1 << 24  # numbers of a block of distances, 64 MiB in single precision


def finite_matrix(vectors: NDArray[np.floating], width: int | None = None) -> NDArray[np.float32]:
    """Return vectors (n, d) as float32.

    Raises:
        DataError: they are no matrix of floats, have no rows or columns, are not finite or not of the given width.
    """
    given = np.asarray(vectors)
    if given.ndim != 2 or 0 in given.shape or not np.issubdtype(given.dtype, np.floating):
        raise DataError(f"vectors are {given.dtype} of shape {given.shape}; give a matrix of floats (items, d)")
    if width is not None and given.shape[1] != width:
        raise DataError(f"vectors have {given.shape[1]} dimensions, the codebook {width}; use the same model")
    bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if len(bad):
        raise DataError(f"vectors: row {bad[0]} is not finite ({len(bad)} such rows); every number must be finite")
    return given.astype(np.float32)


def squared_distances(rows: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared Euclidean distance of each row (n, d) to each code (k, d): float32 (n, k), none negative."""
    products = rows @ codes.T
    found = (rows**2).sum(axis=1)[:, None] - 2 * products + (codes**2).sum(axis=1)
    return np.asarray(np.maximum(found, 0), dtype=np.float32)


def nearest_codes(rows: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the nearest code of each row, the lower number where two are equally near: int32 (n,)."""
    found = np.empty(len(rows), dtype=np.int32)
    for block in blocks(len(rows), len(codes)):
        found[block] = squared_distances(rows[block], codes).argmin(axis=1)
    return found


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of rows whose rows × columns numbers fit a block."""
    size = max(1, _CELLS // columns)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def whole_groups(groups: NDArray[np.int64], columns: int) -> Iterator[slice]:
    """Yield slices of rows sorted by group that fit a block and split no group; a group too large is alone."""
    size = max(1, _CELLS // columns)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    ends = np.append(starts[1:], len(groups))
    first = 0
    while first < len(groups):
        place = max(np.searchsorted(ends, first + size, side="right") - 1, np.searchsorted(ends, first, side="right"))
        yield slice(first, int(ends[place]))
        first = int(ends[place])
