"""Item-to-item baselines: item-kNN (cosine between items) and EASE (a linear model in closed form)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.linalg import get_lapack_funcs

from lexirec.core.errors import DataError
from lexirec.data.neighbors import Matrix, nearest
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import (
    Baseline,
    BaselineSettings,
    answer_newcomers,
    binary_rows,
    dense,
    history_rows,
    popularity,
)


class ItemKnnSettings(BaselineSettings):
    """Settings of `ItemKnn`."""

    kind: Literal["item-knn"] = "item-knn"
    neighbors: int = Field(default=100, ge=1)
    """Most similar items kept of every item."""
    history_decay: float = Field(default=0.7, gt=0, le=1)
    """Weight of a history item relative to the next newer one; 1 is the classic, order-blind item-kNN."""


class ItemKnn(Baseline):
    """Scores items by the summed cosine to the history's items (Sarwar et al., WWW 2001).

    Cosine is between columns of the binary user × item matrix. Ours weights newer history items more by default.
    """

    settings_class: ClassVar[type[BaselineSettings]] = ItemKnnSettings
    matrices: ClassVar[tuple[str, ...]] = ("similarities",)
    settings: ItemKnnSettings
    shares: NDArray[np.float32]
    similarities: Matrix

    def fit(self, train: Sequences, n_items: int) -> Self:
        """Find every item's neighbours among the items of the same users."""
        neighbors = nearest(sparse.csr_array(binary_rows(train, n_items).T), self.settings.neighbors)
        rows, places = np.nonzero((neighbors.items >= 0) & (neighbors.scores > 0))
        cells = (rows, neighbors.items[rows, places])
        self.similarities = sparse.csr_array((neighbors.scores[rows, places], cells), shape=(n_items, n_items))
        self.shares = popularity(train, n_items)
        return self

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        rows = history_rows(histories, len(self.shares), self.settings.history_decay)
        return answer_newcomers(dense(rows @ self.similarities), histories, self.shares)


class EaseSettings(BaselineSettings):
    """Settings of `Ease`."""

    kind: Literal["ease"] = "ease"
    regularization: float = Field(default=100.0, gt=0)
    """λ, added to the diagonal of the Gram matrix."""
    history_decay: float = Field(default=0.7, gt=0, le=1)
    """Weight of a history item relative to the next newer one; 1 is the published, order-blind EASE."""
    precision: Literal["float32", "float64"] = "float32"
    """Of the inverse; float64 takes twice the memory and time."""
    max_items: int = Field(default=30_000, ge=1)
    """Larger catalogues are refused, because the dense items × items matrix would not fit memory."""

    def too_large(self, n_items: int, n_users: int) -> str | None:
        """Return that the dense inverse is too large; see `max_items`."""
        if n_items <= self.max_items:
            return None
        gigabytes = 3 * n_items**2 * np.dtype(self.precision).itemsize / 2**30
        return (
            f"ease: {n_items:,} items need about {gigabytes:,.0f} GiB for the dense inverse; allowed are max_items = "
            f"{self.max_items:,}; leave this baseline out, or raise max_items where the memory is there"
        )


class Ease(Baseline):
    """Scores items by a linear model of items on items with zero diagonal, in closed form (Steck, WWW 2019).

    B = I − P · diag(P)^−1 with P = (XᵀX + λI)^−1. Ours weights newer history items more by default.
    """

    settings_class: ClassVar[type[BaselineSettings]] = EaseSettings
    arrays: ClassVar[tuple[str, ...]] = ("shares", "weights")  # the weights take 4 n_items² bytes
    settings: EaseSettings
    shares: NDArray[np.float32]
    weights: NDArray[np.float32]

    def fit(self, train: Sequences, n_items: int) -> Self:
        """Invert the Gram matrix of the binary user × item matrix.

        Raises:
            DataError: the catalogue is larger than `max_items`, or the matrix cannot be inverted.
        """
        if refused := self.settings.too_large(n_items, len(train)):
            raise DataError(refused)
        seen = binary_rows(train, n_items)
        gram = np.asarray((seen.T @ seen).toarray(), dtype=self.settings.precision)
        gram[np.diag_indices(n_items)] += self.settings.regularization
        inverse = _inverted(gram)
        weights = inverse / -np.diag(inverse)
        weights[np.diag_indices(n_items)] = 0.0
        self.weights = weights.astype(np.float32, copy=False)
        self.shares = popularity(train, n_items)
        return self

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        rows = history_rows(histories, len(self.shares), self.settings.history_decay)
        return answer_newcomers(np.asarray(rows @ self.weights, dtype=np.float32), histories, self.shares)


def _inverted(gram: NDArray[Any]) -> NDArray[Any]:
    """Invert a symmetric positive definite matrix in place by Cholesky: half the work and memory of a plain inverse."""
    routines: Any = get_lapack_funcs(("potrf", "potri"), (gram,))
    factor, invert = routines
    lower, failed = factor(gram.T, lower=True, overwrite_a=True)  # .T of a C array is Fortran-ordered: no copy
    if not failed:
        inverse, failed = invert(lower, lower=True, overwrite_c=True)
    if failed or not np.isfinite(np.diag(inverse)).all():
        raise DataError("ease: the Gram matrix cannot be inverted; raise 'regularization' or use precision = 'float64'")
    strict = np.tril(inverse, -1)
    return np.asarray(np.tril(inverse) + strict.T)
