"""The memory: text-smoothed item co-occurrence, a baseline without learned parameters.

With C the item-to-item counts of the training part, K the text similarities, and h a history's row of decayed weights,
all items are scored by

    h · R (C + a·K·C + b·C·K + c·m·K + d·C·P) S        m = mean row sum of C, P = C with rows that sum to 1

- K·C: successors of items *similar to* those of the history; C·K: items similar to successors; K: similar items.
- C·P: successors of successors, a walk of two steps; M0–M2 do without (d = 0).
- R and S divide by (row sum)^.5 and (column sum)^.2 of the smoothed matrix, so that frequent items do not dominate the
  rest of a history, nor popular items all scores. Smoothing before scaling helps rare items most (docs/log/).
- M0 has no text, M1 uses item vectors, M2 TF-IDF of the item texts; the name only says which of them `fit` got.

The matrix is never built, because K·C would be nearly dense: with r = hR, ((r + a·rK + d·rC·N)·C + (b·rC + c·m·r)·K)·S
has the same value, where N holds 1 / row sum of C, so that P = N·C. In catalogues of more than `LARGE` items these
products stay sparse (`touched_items`); in smaller ones dense rows are faster.

Source: our own measurement; counting transitions goes back to Shani, Heckerman and Brafman (JMLR 2005); walks on the
graph of users and items are Cooper et al. (WWW 2014), ours go from item to item.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.data.neighbors import Matrix, Neighbors, nearest, pair_counts, scaled, top_k
from lexirec.data.sequences import Sequences
from lexirec.data.sparse_neighbors import LARGE
from lexirec.models.baselines.base import (
    Baseline,
    BaselineInputs,
    BaselineSettings,
    answer_newcomers,
    dense,
    history_rows,
    load_fitted,
    pack_matrix,
    popularity,
    save_fitted,
    unpack_matrix,
)

# the name is also known by this module, where the function stood before
from lexirec.models.baselines.text_neighbors import text_neighbors
from lexirec.models.baselines.touched_items import best_neighbors, touched

Evidence = Literal["text", "vectors", "none"]
"""What a memory smooths its counts with: TF-IDF of the items' texts, the experiment's vectors, nothing."""
_BLOCK = 512
"""Number of items per batch in `neighbors`."""
_VECTORS = ("shares", "row_scale", "column_scale")


class MemorySettings(BaselineSettings):
    """Settings of `Memory`; the defaults are those of M0–M2."""

    kind: Literal["memory"] = "memory"
    window: int = Field(default=8, ge=1)
    """Largest distance in places at which two items of a row count as a pair."""
    gap_decay: float = Field(default=0.8, gt=0, le=1)
    """A pair at distance g counts gap_decay^(g − 1)."""
    backward: float = Field(default=0.5, ge=0)
    """Weight of a pair read backwards."""
    row_power: float = Field(default=0.5, ge=0, le=1)
    """Rows are divided by (row sum)^row_power."""
    column_power: float = Field(default=0.2, ge=0, le=1)
    """Columns are divided by (column sum)^column_power."""
    history_decay: float = Field(default=0.6, gt=0, le=1)
    """Weight of a history item relative to the next newer one."""
    neighbors: int = Field(default=20, ge=1)
    """Text neighbours of an item."""
    similarity_power: float = Field(default=3.0, gt=0)
    """Weights of text neighbours are cosine^similarity_power: 3 suits TF-IDF, 6 sentence vectors."""
    before: float = Field(default=0.3, ge=0)
    """a, the weight of K·C."""
    after: float = Field(default=0.15, ge=0)
    """b, the weight of C·K."""
    similar: float = Field(default=0.2, ge=0)
    """c, the weight of m·K."""
    two_steps: float = Field(default=0.0, ge=0)
    """d, the weight of C·P."""


class MemoryBaseline(MemorySettings):
    """The memory in an experiment file: how pairs are counted, and what the counts are smoothed with."""

    evidence: Evidence = "text"
    """TF-IDF of the items' texts (M2), all vectors of the experiment (M1), or nothing (M0)."""

    def needed(self) -> tuple[str, ...]:
        """Return `vectors` where they smooth the counts."""
        return ("vectors",) if self.evidence == "vectors" else ()

    def alone(self) -> MemorySettings:
        """Return the settings of the memory itself."""
        return MemorySettings(**self.model_dump(exclude={"evidence"}))


TRANSITIONS = MemorySettings(window=5, gap_decay=0.5, backward=0.0, row_power=0.0, column_power=0.0, history_decay=0.3)
"""A reference baseline: plain counts of what came up to five places later, near places and new items first."""


class Memory(Baseline):
    """Scores items by decayed, text-smoothed co-occurrence with the history; see the module's docstring."""

    settings_class: ClassVar[type[BaselineSettings]] = MemorySettings
    options: ClassVar[type[BaselineSettings] | None] = MemoryBaseline
    settings: MemorySettings
    recall: float | None = None  # of the text neighbours, where an index found them (`data.sparse_neighbors`)
    mean: float | None = None  # m when it was fitted, where items were added since (`models.extension`)

    def fit(
        self,
        train: Sequences,
        n_items: int,
        *,
        texts: Sequence[str] | None = None,
        vectors: NDArray[np.floating[Any]] | None = None,
        neighbors: Neighbors | None = None,
    ) -> Self:
        """Count the pairs of `train`, and find text neighbours if texts (M2) or vectors (M1) are given.

        Args:
            train: rows of item numbers, oldest first.
            n_items: size of the catalogue.
            texts: one per item, in catalogue order.
            vectors: (n_items, d), in catalogue order.
            neighbors: text neighbours from `text_neighbors`, of which the first `settings.neighbors` are used.

        Raises:
            SettingsError: more than one of texts, vectors and neighbours is given.
            DataError: they are not one per item, or the texts have no words in common.
        """
        named = [each for each in (texts, vectors, neighbors) if each is not None]
        if len(named) > 1:
            raise SettingsError(
                "memory: more than one of texts, vectors and neighbours is given; give texts (M2), vectors (M1), "
                "neighbours that were found before, or none"
            )
        if named and len(named[0]) != n_items:
            raise DataError(
                f"memory: {len(named[0]):,} texts, vectors or neighbours for {n_items:,} items; give one per item"
            )
        window, decay, backward = self.settings.window, self.settings.gap_decay, self.settings.backward
        self.counts = pair_counts(train, n_items, window=window, gap_decay=decay, backward=backward)
        if vectors is not None:
            neighbors = nearest(vectors, self.settings.neighbors)
        elif texts is not None:
            neighbors = text_neighbors(texts, self.settings.neighbors)
        self.similarities = None if neighbors is None else self._similarities(neighbors)
        self.recall = None if neighbors is None else neighbors.recall
        self.steps = self._steps()
        self.row_scale = _shrink(self._sums(1), self.settings.row_power)
        self.column_scale = _shrink(self._sums(0), self.settings.column_power)
        self.shares = popularity(train, n_items)
        return self

    @classmethod
    def fitted(cls, settings: MemoryBaseline, inputs: BaselineInputs) -> Self:
        """Return a memory fitted with the evidence that the settings name."""
        evidence: dict[str, Any] = {}
        if settings.evidence == "text":
            evidence["texts"] = inputs.texts
        elif settings.evidence == "vectors":
            evidence["vectors"] = inputs.vectors
        return cls(settings.alone()).fit(inputs.train, inputs.n_items, **evidence)

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        if len(self.shares) > LARGE:
            return answer_newcomers(dense(touched(self, histories)), histories, self.shares)
        rows = history_rows(histories, len(self.shares), self.settings.history_decay)
        spread = self._spread(scaled(rows, by_column=self.row_scale))
        spread *= self.column_scale
        return answer_newcomers(spread, histories, self.shares)

    def neighbors(self, k: int) -> Neighbors:
        """Return every item's k best neighbours by the smoothed counts, without itself.

        Items without events have neighbours if their texts have some. Works in blocks of items.
        """
        n_items = len(self.shares)
        if n_items > LARGE:
            return Neighbors(*best_neighbors(self, k), self.recall)
        items, scores = np.full((n_items, k), -1, dtype=np.int32), np.zeros((n_items, k), dtype=np.float32)
        for first in range(0, n_items, _BLOCK):
            rows = np.arange(first, min(first + _BLOCK, n_items))
            one_each = Sequences(rows.astype(np.int32), np.arange(len(rows) + 1, dtype=np.int64))
            scores_of_rows = self.scores(one_each)
            scores_of_rows[np.arange(len(rows)), rows] = 0.0
            scores_of_rows[scores_of_rows <= 0] = -np.inf
            items[rows], best = top_k(scores_of_rows, k, of="the memory")
            scores[rows] = np.where(np.isneginf(best), 0.0, best)
        return Neighbors(items, scores, self.recall)

    def _spread(self, rows: Any) -> NDArray[np.float32]:
        """Multiply sparse rows with the smoothed matrix."""
        # r·C is nearly dense from here on, so it is kept as a dense array and reused for walks and for C·K
        direct = dense(rows @ self.counts)
        spread = direct.copy()
        like = None if self.similarities is None else rows @ self.similarities * np.float32(self.settings.before)
        if self.steps is not None:  # C·P = C·(1 / row sums)·C, so walks and K·C share one product with C
            through = direct * self.steps
            spread += (through if like is None else through + dense(like)) @ self.counts
        elif like is not None:
            spread += dense(like @ self.counts)  # narrow enough to stay sparse, as direct is not
        if self.similarities is not None:
            direct *= self.settings.after
            direct += dense(rows * np.float32(self.settings.similar * self.mean_sum()))
            spread += direct @ self.similarities
        return spread

    def _sums(self, axis: Literal[0, 1]) -> NDArray[np.float64]:
        """Return the sums of the smoothed matrix over an axis, without building it: (n_items,)."""
        counts: Any = self.counts
        similarities: Any = self.similarities
        of_counts: NDArray[np.float64] = np.asarray(counts.sum(axis=axis, dtype=np.float64)).ravel()
        sums = of_counts.copy()
        if self.steps is not None:
            steps = self.steps.astype(np.float64)
            sums += counts @ (steps * of_counts) if axis == 1 else (of_counts * steps) @ counts
        if similarities is None:
            return sums
        inner, outer = self.settings.before, self.settings.after
        # column sums are the row sums of the transposed matrix, in which K·C becomes Cᵀ·Kᵀ: a and b change places
        if axis == 0:
            counts, similarities, inner, outer = counts.T, similarities.T, outer, inner
        of_similarities = similarities @ np.ones(counts.shape[0])
        sums += inner * (similarities @ of_counts) + outer * (counts @ of_similarities)
        sums += self.settings.similar * self.mean_sum() * of_similarities
        return sums

    def _steps(self) -> NDArray[np.float32] | None:
        """Return d / row sum of C for every item, where walks count: (n_items,)."""
        if not self.settings.two_steps:
            return None
        sums: NDArray[np.float64] = np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()
        return np.float32(self.settings.two_steps) * _shrink(sums, 1.0)

    def mean_sum(self) -> float:
        """Return m, the mean row sum of the counts."""
        return float(self.counts.sum()) / max(self.counts.shape[0], 1) if self.mean is None else self.mean

    def _similarities(self, neighbors: Neighbors) -> Matrix:
        return _weights(neighbors.first(self.settings.neighbors), self.settings.similarity_power)

    def save(self, folder: str | Path) -> None:
        """Write the counts, the similarities and the settings into the folder."""
        arrays = {name: getattr(self, name) for name in _VECTORS} | pack_matrix("counts", self.counts)
        if self.similarities is not None:
            arrays |= pack_matrix("similarities", self.similarities)
        named = {"mean": self.mean, "recall": self.recall}
        arrays |= {name: np.array(value) for name, value in named.items() if value is not None}
        save_fitted(folder, self.settings, **arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        settings, arrays = load_fitted(folder, MemorySettings)
        memory = cls(settings)
        try:
            memory.shares, memory.row_scale, memory.column_scale = (arrays[name] for name in _VECTORS)
            memory.counts = unpack_matrix("counts", arrays)
            memory.similarities = unpack_matrix("similarities", arrays) if "similarities.data" in arrays else None
            memory.mean, memory.recall = (
                float(arrays[name].item()) if name in arrays else None for name in ("mean", "recall")
            )
            memory.steps = memory._steps()
        except KeyError as error:
            raise ArtifactError(f"{folder}: the memory's array {error} is missing; fit and save it again") from None
        return memory


def _shrink(sums: NDArray[np.float64], power: float) -> NDArray[np.float32]:
    """Return sums^−power, and 1 where a sum is 0 (there is nothing to scale)."""
    return np.power(np.where(sums > 0, sums, 1.0), -power).astype(np.float32)


def _weights(neighbors: Neighbors, power: float) -> Matrix:
    """Turn neighbours into rows of weights that sum to 1; negative cosines count as 0."""
    strength = np.where(neighbors.items >= 0, np.maximum(neighbors.scores, 0.0), 0.0) ** power
    sums = strength.sum(axis=1, keepdims=True)
    strength = np.divide(strength, sums, out=np.zeros_like(strength), where=sums > 0)
    rows, places = np.nonzero(strength)
    cells = (rows, neighbors.items[rows, places])
    return sparse.csr_array((strength[rows, places].astype(np.float32), cells), shape=(len(neighbors), len(neighbors)))
