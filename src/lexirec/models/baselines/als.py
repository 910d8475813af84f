"""Implicit alternating least squares, by the package `implicit` (MIT; `pip install 'lexirec[als]'`).

Hu, Koren and Volinsky, ICDM 2008: every user and item gets a vector, so that their product is 1 where the user took
the item, with confidence `confidence`, and 0 elsewhere, with confidence 1. Users are not stored: a history is folded
in by solving for its vector with the items' vectors fixed, so scores depend on the history alone. Ours weights newer
items of a history more by default; a decay of 1 is the published, order-blind method.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lexirec.core.environment import beyond_memory
from lexirec.core.errors import SettingsError, TrainingError
from lexirec.data.neighbors import Matrix
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import (
    Baseline,
    BaselineSettings,
    answer_newcomers,
    binary_rows,
    history_rows,
    popularity,
)


class AlsSettings(BaselineSettings):
    """Settings of `Als`; the defaults were best of a few on the validation part of Amazon Office Products."""

    kind: Literal["als"] = "als"
    dimensions: int = Field(default=128, ge=1)
    """Dimensions of the vectors."""
    regularization: float = Field(default=50.0, ge=0)
    """λ, added to the diagonal of every user's and item's system."""
    confidence: float = Field(default=20.0, gt=0)
    """Confidence of an observed item; that of all others is 1."""
    iterations: int = Field(default=15, ge=1)
    """Rounds of solving for users, then for items."""
    history_decay: float = Field(default=0.3, gt=0, le=1)
    """Confidence of a history item relative to the next newer one, when scoring."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the first vectors."""

    def too_large(self, n_items: int, n_users: int) -> str | None:
        """Return that the vectors of items and users are beyond the machine's memory."""
        needed = 2 * 4 * self.dimensions * (n_items + n_users)
        what = f"als: vectors of {n_items:,} items and {n_users:,} users"
        return beyond_memory(what, needed, "leave this baseline out, or lower 'dimensions'")


class Als(Baseline):
    """Scores items by the product of their vectors and the history's; see the module's docstring."""

    settings_class: ClassVar[type[BaselineSettings]] = AlsSettings
    arrays: ClassVar[tuple[str, ...]] = ("shares", "vectors")
    settings: AlsSettings
    shares: NDArray[np.float32]
    vectors: NDArray[np.float32]

    def fit(self, train: Sequences, n_items: int) -> Self:
        """Factorise the binary user × item matrix.

        Raises:
            SettingsError: the package `implicit` is not installed.
            TrainingError: a system of equations has no finite solution.
        """
        solver = _solver(self.settings)
        try:
            with threadpool_limits(1, "blas"):  # the package runs its own threads
                solver.fit(_plain(binary_rows(train, n_items)), show_progress=False)
        except Exception as error:  # a class of the package's own for NaN, ValueError for a singular system
            raise self._unsolved(str(error)) from error
        self.vectors = np.asarray(solver.item_factors, dtype=np.float32)
        if not np.isfinite(self.vectors).all():
            raise self._unsolved("vectors are not finite")
        self.shares = popularity(train, n_items)
        return self

    def _unsolved(self, problem: str) -> TrainingError:
        how = self.settings
        return TrainingError(
            f"als: the equations have no finite solution ({problem}); raise 'regularization' ({how.regularization:g}) "
            f"or lower 'confidence' ({how.confidence:g})"
        )

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        products = np.asarray(self.fold_in(histories) @ self.vectors.T, dtype=np.float32)
        return answer_newcomers(products, histories, self.shares)

    def fold_in(self, histories: Sequences) -> NDArray[np.float32]:
        """Return the vector of every history, with the items' held fixed: float32 (rows, dimensions)."""
        solver = _solver(self.settings)
        solver.item_factors = self.vectors
        rows = history_rows(histories, len(self.shares), self.settings.history_decay)
        rows.sum_duplicates()
        with threadpool_limits(1, "blas"):
            return np.asarray(solver.recalculate_user(np.arange(len(histories)), _plain(rows)), dtype=np.float32)

    def item_vectors(self) -> NDArray[np.float32]:
        """Return the items' vectors: float32 (n_items, dimensions)."""
        return self.vectors


def _solver(settings: AlsSettings) -> Any:
    """Return the package's model, which is light to make; only item vectors are ever kept of it."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        raise SettingsError(
            "baselines of kind 'als' need the package 'implicit': pip install 'lexirec[als]', or leave them out"
        ) from None
    return AlternatingLeastSquares(
        factors=settings.dimensions,
        regularization=settings.regularization,
        alpha=settings.confidence,
        iterations=settings.iterations,
        random_state=settings.seed,
    )


def _plain(rows: Matrix) -> sparse.csr_matrix:
    """Return a sparse array as the older kind of matrix that the package takes."""
    return sparse.csr_matrix((rows.data, rows.indices, rows.indptr), shape=rows.shape)
