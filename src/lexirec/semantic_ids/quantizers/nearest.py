"""Distances from vectors to the codes of a level, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError

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
