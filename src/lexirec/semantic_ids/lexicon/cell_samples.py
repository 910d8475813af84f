"""Representative items of cells: the nearest to the cell's centre, or a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences

Rows = NDArray[np.float32] | NDArray[np.float64] | sparse.csr_array


def choose_items(cells: NDArray[np.int64], rank: NDArray[np.float64], most: int) -> Sequences:
    """Return up to `most` items of each cell 0..cells−1 in ascending order of `rank`, ties by item number.

    Args:
        cells: int64 (n_items,), the cell of each item.
        rank: float64 (n_items,), such as `distances_to_centre` or random numbers.
        most: Items kept per cell.
    """
    order = np.lexsort((rank, cells))
    counts = np.bincount(cells)
    place = np.arange(len(cells)) - (np.cumsum(counts) - counts)[cells[order]]
    kept = np.minimum(counts, most)
    return Sequences(order[place < most].astype(np.int32), np.concatenate([[0], np.cumsum(kept)]))


def distances_to_centre(rows: Rows, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cosine distance of each item to the mean of its cell: float64 (n_items,).

    Args:
        rows: Vectors of the items, dense or sparse (n_items, d), L2-normalised.
        cells: int64 (n_items,), the cell of each item.
    """
    if sparse.issparse(rows):
        centres = indicator(cells) @ rows
        lengths = np.sqrt(np.asarray(centres.multiply(centres).sum(axis=1)).ravel())
        items = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        products = rows.data * entries_at(centres, cells[items], rows.indices)
        dots = np.bincount(items, weights=products, minlength=rows.shape[0])
    else:
        dense = np.asarray(indicator(cells) @ rows)
        lengths = np.linalg.norm(dense, axis=1)
        dots = np.einsum("nd,nd->n", rows, dense[cells], dtype=np.float64)
    return np.asarray(1.0 - dots / np.maximum(lengths, 1e-12)[cells])


def indicator(groups: NDArray[np.int64]) -> sparse.csr_array:
    """Return the group membership matrix, float64 (groups, n_items); its product with rows sums them by group."""
    entries = (groups, np.arange(len(groups)))
    return sparse.coo_array((np.ones(len(groups)), entries), shape=(int(groups.max()) + 1, len(groups))).tocsr()


def entries_at(
    matrix: sparse.csr_array, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the entries of a sparse matrix at given rows and columns, 0 where it stores none: float64."""
    matrix.sort_indices()
    width = np.int64(matrix.shape[1])
    held = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr)) * width + matrix.indices
    wanted = rows.astype(np.int64) * width + columns
    index = np.minimum(np.searchsorted(held, wanted), max(len(held) - 1, 0))
    stored = held[index] == wanted if len(held) else np.zeros(len(wanted), dtype=np.bool_)
    return np.where(stored, matrix.data[index] if len(held) else 0.0, 0.0)


def title_field(catalog: Catalog) -> str:
    """Return the field with the items' titles: `title`, or else the first text field."""
    return "title" if "title" in catalog.table.column_names else catalog.text_fields[0]
