"""The memory's scores of the items that a history reaches, for large catalogues: products that stay sparse.

A history reaches what its items lead to by counts and text neighbours; all other items have the score 0. Work grows
with what is reached, while the dense rows of small catalogues grow with the catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lexirec.data.neighbors import Matrix, scaled
from lexirec.data.sequences import Sequences
from lexirec.data.sparse_neighbors import BestOfRows, best_of_products, products_work
from lexirec.models.baselines.base import history_rows

if TYPE_CHECKING:
    from lexirec.models.baselines.memory import Memory


def touched(memory: Memory, histories: Sequences) -> Matrix:
    """Score the items that histories reach: float32 (rows, n_items), sparse; equal to `Memory.scores` but for rounding.

    Rows of empty histories are empty.
    """
    how = memory.settings
    rows: Any = history_rows(histories, len(memory.shares), how.history_decay)
    rows = scaled(rows, by_column=memory.row_scale)
    direct: Any = rows @ memory.counts
    through: Any = None if memory.steps is None else scaled(direct, by_column=memory.steps)
    spread = direct
    if memory.similarities is not None:
        like = rows @ memory.similarities * np.float32(how.before)
        through = like if through is None else through + like
        near = direct * np.float32(how.after) + rows * np.float32(how.similar * memory.mean_sum())
        spread = spread + near @ memory.similarities
    spread = spread if through is None else spread + through @ memory.counts
    return scaled(sparse.csr_array(spread), by_column=memory.column_scale)


def best_neighbors(memory: Memory, k: int) -> BestOfRows:
    """Return every item's k best neighbours by the smoothed counts, without itself, block by block."""

    def rows_of(items: NDArray[np.int64]) -> Matrix:
        return touched(memory, Sequences(items.astype(np.int32), np.arange(len(items) + 1, dtype=np.int64)))

    return best_of_products(len(memory.shares), _work(memory), rows_of, k)


def _work(memory: Memory) -> NDArray[np.int64]:
    """Return about how many products the scores of each item, as a history of its own, take: int64 (n_items,)."""
    counts, similarities = memory.counts, memory.similarities
    work = np.diff(counts.indptr).astype(np.int64)
    if memory.steps is not None:
        work += products_work(counts, counts)
    if similarities is not None:
        work += products_work(similarities, counts) + products_work(counts, similarities)
    return work
