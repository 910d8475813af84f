"""Item-to-item nearest neighbours: by cosine of item vectors, by co-occurrence in histories, or read from a file.

GRAM writes them into an item's text as "similar items" (ACL 2025, section 3.2: cosine of SASRec's input item table).
Ours ranks items only: the table has no pad row that could surface as a neighbour, and an item is never its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from lexirec.core.errors import ArtifactError, DataError, TrainingError
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.data.sparse_neighbors import LARGE, best_of_rows, nearest_sparse
from lexirec.data.sparse_neighbors import Matrix as Matrix

_CELLS = 1 << 24
"""Largest dense block of scores, in numbers: 64 MiB in float32."""


@dataclass(frozen=True)
class Neighbors:
    """The neighbours of every item, best first.

    Attributes:
        items: item numbers, int32 (n_items, k), −1 where an item has fewer than k.
        scores: similarities, float32 (n_items, k), 0 where the item is −1.
        recall: share of the true neighbours that an index found (large catalogues, on a sample); None where exact.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    recall: float | None = None

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.scores.shape:
            raise ValueError(f"items {self.items.shape} and scores {self.scores.shape} should both be (n_items, k)")

    def __len__(self) -> int:
        return len(self.items)

    def first(self, k: int) -> Neighbors:
        """Keep the k best of every item."""
        return Neighbors(self.items[:, :k], self.scores[:, :k], self.recall)

    def save(self, folder: str | Path) -> None:
        """Write `neighbors.npz` into the folder."""
        measured: dict[str, Any] = {} if self.recall is None else {"recall": np.array(self.recall)}
        np.savez_compressed(Path(folder) / "neighbors.npz", items=self.items, scores=self.scores, **measured)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is absent or damaged.
        """
        path = Path(folder) / "neighbors.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                recall = float(arrays["recall"]) if "recall" in arrays else None
                return cls(arrays["items"], arrays["scores"], recall)
        except (OSError, KeyError, ValueError) as error:
            raise ArtifactError(f"{path}: no readable neighbours ({error}); compute them again") from None


def top_k(
    scores: NDArray[np.floating[Any]], k: int, *, of: str = "the recommender"
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the k largest scores of every row; among equal scores the smaller column number comes first.

    Args:
        scores: shape (rows, columns), finite; −inf excludes a column.
        k: columns to return, at least 1.
        of: what gave the scores, for messages.

    Returns:
        Columns int32 (rows, k) and their scores float32 (rows, k), best first; −1 and −inf where a row has fewer.

    Raises:
        TrainingError: a score is NaN or +inf, by which nothing can be ranked.
    """
    rows, columns = scores.shape
    width = min(k, columns)
    best = np.full((rows, k), -1, dtype=np.int32)
    values = np.full((rows, k), -np.inf, dtype=np.float32)
    if rows and width:
        keep = _candidates(scores, width, of)
        # candidates of each row are packed to the left, then only this narrow rectangle is sorted
        row, column = np.nonzero(keep)
        counts = keep.sum(axis=1)
        rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = np.zeros((rows, int(counts.max())), dtype=np.int32)
        kept_scores = np.full(kept.shape, -np.inf, dtype=scores.dtype)
        kept[row, rank], kept_scores[row, rank] = column, scores[row, column]
        order = np.argsort(-kept_scores, axis=1, kind="stable")[:, :width]  # stable: columns ascend, so ties stay so
        values[:, :width] = np.take_along_axis(kept_scores, order, axis=1)
        best[:, :width] = np.where(np.isneginf(values[:, :width]), -1, np.take_along_axis(kept, order, axis=1))
    return best, values


def _candidates(scores: NDArray[np.floating[Any]], k: int, of: str) -> NDArray[np.bool_]:
    """Mark a few columns of every row that include its k best: bool (rows, columns).

    Columns are divided into groups; at least k columns reach the k-th largest of the groups' maxima, and hardly more
    do. Selecting among these few is 30 times faster than numpy's partition, which is slowest on scores full of zeros.
    """
    columns = scores.shape[1]
    groups = min(columns, 4 * k)
    grouped = columns - columns % groups
    maxima = scores[:, :grouped].reshape(len(scores), -1, groups).max(axis=1)
    rest = columns - grouped
    maxima[:, :rest] = np.maximum(maxima[:, :rest], scores[:, grouped:])
    if broken := int((np.isnan(maxima) | np.isposinf(maxima)).any(axis=1).sum()):  # a maximum with NaN is NaN
        raise TrainingError(
            f"scores of {of} are NaN or +infinity for {broken:,} of {len(scores):,} histories, so they rank nothing; a "
            "score is a finite number, or -infinity for an item that must not appear: fit the recommender again"
        )
    bound = np.partition(maxima, groups - k, axis=1)[:, groups - k, None]
    keep = scores >= bound
    tied_rows = np.flatnonzero(np.count_nonzero(keep, axis=1) > 2 * k)
    if tied_rows.size:  # many columns equal the bound: the first k of them are enough
        at_bound = scores[tied_rows] == bound[tied_rows]
        keep[tied_rows] &= ~at_bound | (np.cumsum(at_bound, axis=1, dtype=np.int32) <= k)
    return keep


def nearest(vectors: NDArray[np.floating[Any]] | Matrix, k: int) -> Neighbors:
    """Return every item's k nearest other items by cosine; ties go to the smaller number.

    Works in blocks of items: memory is the vectors plus some 64 MiB for any catalogue, time is n² d. Sparse vectors of
    more than `LARGE` items are compared where they share a column, through an index where that is too much
    (`sparse_neighbors`); items with a cosine of 0 or less are no neighbours then (−1).

    Args:
        vectors: (n_items, d), dense or sparse. An all-zero row has no neighbours and is no item's neighbour.
        k: neighbours per item.

    Raises:
        DataError: a vector holds NaN or infinity.
    """
    unit, has_direction = unit_rows(vectors)
    n_items = len(has_direction)
    if n_items > LARGE and not isinstance(unit, np.ndarray):
        return Neighbors(*nearest_sparse(unit, k))
    items, scores = np.full((n_items, k), -1, dtype=np.int32), np.zeros((n_items, k), dtype=np.float32)
    block = max(1, _CELLS // max(n_items, 1))
    for first in range(0, n_items, block):
        rows = np.arange(first, min(first + block, n_items))
        product = unit[rows] @ unit.T
        cosine: NDArray[np.float32] = product if isinstance(product, np.ndarray) else product.toarray()
        cosine[:, ~has_direction] = -np.inf
        cosine[~has_direction[rows]] = -np.inf
        cosine[np.arange(len(rows)), rows] = -np.inf
        best, values = top_k(cosine, k)
        items[rows], scores[rows] = best, np.where(best >= 0, values, 0.0)
    return Neighbors(items, scores)


def unit_rows(vectors: NDArray[np.floating[Any]] | Matrix) -> tuple[Any, NDArray[np.bool_]]:
    """Scale rows to length 1 in float32; also return which rows have a length at all: bool (n_items,)."""
    values = vectors if isinstance(vectors, np.ndarray) else vectors.data
    if not (np.abs(values) < 1e15).all():  # the squares of greater numbers may overflow
        raise DataError("vectors hold NaN or infinity, or numbers beyond 1e15, so they have no cosine; check them")
    rows = vectors.astype(np.float32)
    if isinstance(rows, np.ndarray):
        lengths = np.linalg.norm(rows, axis=1)
        return rows * _inverse(lengths)[:, None], lengths > 0
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return scaled(rows, by_row=_inverse(lengths)), lengths > 0


def scaled(
    matrix: Matrix, *, by_row: NDArray[np.float32] | None = None, by_column: NDArray[np.float32] | None = None
) -> Matrix:
    """Multiply the rows and columns of a sparse matrix by one factor each: (rows,) and (columns,)."""
    data = matrix.data.copy()
    if by_row is not None:
        data *= np.repeat(by_row, np.diff(matrix.indptr))
    if by_column is not None:
        data *= by_column[matrix.indices]
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _inverse(lengths: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def pair_counts(
    train: Sequences, n_items: int, *, window: int = 1, gap_decay: float = 1.0, backward: float = 0.0
) -> Matrix:
    """Count how often item b follows item a in a sequence, at most `window` positions later.

    Args:
        train: rows of item numbers, oldest first.
        n_items: size of the catalogue.
        window: largest gap that counts; 1 means adjacent positions only.
        gap_decay: a pair with gap g counts gap_decay^(g − 1).
        backward: the transposed counts are added with this weight; 1 makes the matrix symmetric.

    Returns:
        float32 (n_items, n_items), rows = the earlier item.
    """
    row_of = np.repeat(np.arange(len(train)), train.lengths)
    counts: Any = sparse.csr_array((n_items, n_items), dtype=np.float32)
    longest = int(train.lengths.max(initial=0))
    for gap in range(1, min(window, longest - 1) + 1):
        together = row_of[:-gap] == row_of[gap:]
        earlier, later = train.items[:-gap][together], train.items[gap:][together]
        weights = np.full(len(earlier), gap_decay ** (gap - 1), dtype=np.float32)
        counts = counts + sparse.csr_array((weights, (earlier, later)), shape=(n_items, n_items))
    return sparse.csr_array(counts + np.float32(backward) * counts.T) if backward else counts


def co_occurrence(train: Sequences, n_items: int, k: int, *, window: int = 10) -> Neighbors:
    """Return the k items that co-occur most with each item: neighbours without a trained SASRec.

    score(a, b) = count(a, b) / sqrt(count(a) · count(b)), pairs at most `window` positions apart in either order.
    An item that co-occurs with no other has no neighbours (−1).
    """
    together = pair_counts(train, n_items, window=window, backward=1.0)
    weight = _inverse(np.sqrt(train.counts(n_items)).astype(np.float32))
    return best_of(scaled(together, by_row=weight, by_column=weight), k)


def best_of(matrix: Matrix, k: int) -> Neighbors:
    """Return the k largest positive off-diagonal numbers of every row of a square matrix, ties by column number."""
    return Neighbors(*best_of_rows(matrix, k, without=np.arange(matrix.shape[0])))


def read_published(path: str | Path, catalog: Catalog) -> Neighbors:
    """Read published neighbour lists: GRAM's `similar_item_sasrec.txt`, or Parquet.

    Text: one line per item, its id and then its neighbours' ids, best first, separated by blanks; a first line that
    starts with `anchor` is a header. Parquet: `item_id` and one column of lists. The lists have no scores, so a
    neighbour at rank p gets 1 / p. Items without a line have no neighbours (−1).

    Raises:
        DataError: the file is of neither kind, an id is not in the catalogue, or an item occurs twice.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a Parquet or text file of neighbours")
    anchors, lists = _read_parquet(path) if path.suffix == ".parquet" else _read_text(path)
    anchor_numbers = _numbers(anchors, catalog, path)
    if len(np.unique(anchor_numbers)) != len(anchor_numbers):
        twice = catalog.item_ids[int(np.argmax(np.bincount(anchor_numbers)))]
        raise DataError(f"{path.name}: item '{twice}' has more than one row; keep one row of neighbours per item")
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    rank = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    shape = (len(catalog), int(lengths.max(initial=0)))
    items, scores = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.float32)
    rows = np.repeat(anchor_numbers, lengths)
    items[rows, rank] = _numbers(lists.flatten(), catalog, path)
    scores[rows, rank] = 1.0 / (1.0 + rank)
    return Neighbors(items, scores)


def _read_parquet(path: Path) -> tuple[pa.Array, pa.Array]:
    table = pq.read_table(path)
    lists = [field.name for field in table.schema if pa.types.is_list(field.type) or pa.types.is_large_list(field.type)]
    if "item_id" not in table.column_names or len(lists) != 1:
        names = ", ".join(table.column_names)
        raise DataError(f"{path.name}: the columns are {names}; needed are 'item_id' and exactly one column of lists")
    neighbors = table[lists[0]].cast(pa.list_(pa.string())).combine_chunks()
    return table["item_id"].cast(pa.string()).combine_chunks(), neighbors


def _read_text(path: Path) -> tuple[pa.Array, pa.Array]:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    if lines and lines[0][0].startswith("anchor"):
        lines = lines[1:]
    return pa.array([line[0] for line in lines], pa.string()), pa.array(
        [line[1:] for line in lines], pa.list_(pa.string())
    )


def _numbers(ids: pa.Array, catalog: Catalog, path: Path) -> NDArray[np.int32]:
    numbers = catalog.find(ids)
    unknown = np.flatnonzero(numbers < 0)
    if unknown.size:
        name = str(ids[int(unknown[0])])
        raise DataError(
            f"{path.name}: item '{name}' is not in the catalog of {len(catalog):,} items ({unknown.size:,} unknown ids)"
            f"; give the neighbours of this catalog.{catalog.suggest(name)}"
        )
    return numbers
