"""Residual k-means: every level clusters what the levels before have left of the vectors."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lexirec.core.progress import Progress
from lexirec.semantic_ids.quantizers.assignment import balanced_kmeans, finite_matrix, nearest_codes
from lexirec.semantic_ids.quantizers.base import Quantized, QuantizerInputs, QuantizerSettings
from lexirec.semantic_ids.quantizers.codebook import Codebook, Space
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings

_BATCH = 4096


class ResidualKMeans(QuantizerSettings):
    """Settings of residual k-means (RQ-k-means), and the estimator itself: `ResidualKMeans(levels=3).fit(vectors)`.

    Level by level, k-means clusters the residuals, and the centre of an item's cell is subtracted from its residual.
    Balanced, every cell of a level gets n / `branching` items, give or take one: no code is worn out and none idle.

    Source: MiniOneRec's RQ-k-means (faiss) and its constrained variant (`k-means-constrained`, cells of n / k ± 1);
    ours balances by optimal transport (see `balancing`), which takes seconds.
    """

    kind: Literal["residual-kmeans"] = "residual-kmeans"
    levels: Annotated[int, Field(ge=1, le=24)] = 3
    """Codes of an item, before the collision rule."""
    branching: Annotated[int, Field(ge=2)] = 256
    """Codes of a level; a catalogue of fewer items has one code per item."""
    balanced: bool = False
    """Let all codes of a level have equally many items."""
    balanced_rounds: Annotated[int, Field(ge=1)] = 10
    """Most rounds of balancing a level."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of all levels."""
    n_init: Annotated[int, Field(ge=1)] = 1
    """Starts of k-means per level, of which the best is kept."""
    max_iter: Annotated[int, Field(ge=1)] = 100
    """Most iterations of a start."""
    minibatch_above: Annotated[int, Field(ge=1)] = 50_000
    """Catalogues of more items than this are clustered by mini-batch k-means."""
    collisions: CollisionSettings = CollisionSettings()
    """How items with equal codes get codes of their own."""

    def fit(self, vectors: NDArray[np.floating]) -> Codebook:
        """Quantise vectors (n_items, d); the same vectors and settings give the same codes.

        Raises:
            DataError: the vectors are not a finite matrix.
        """
        vectors = finite_matrix(vectors)
        centroids, values = self._cluster(vectors)
        codebook = Codebook(Space.plain(vectors.shape[1]), centroids)
        return codebook.apply(vectors, self.collisions, values=values if self.balanced else None)

    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Quantise the items' vectors; see `fit`."""
        return self.fit(inputs.vectors).quantized_items()

    def centers(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the codes of each level for points (n, d): float32 (codes, d), where other quantisers start."""
        return self._cluster(points)[0]

    def _cluster(self, points: NDArray[np.float32]) -> tuple[tuple[NDArray[np.float32], ...], NDArray[np.int32]]:
        rest, centroids, values = points.copy(), [], []
        with Progress("residual k-means", self.levels) as progress:
            for level in range(self.levels):
                centers, labels = self._cluster_level(rest, level)
                rest -= centers[labels]
                centroids.append(centers)
                values.append(labels)
                progress.advance()
        return tuple(centroids), np.stack(values, axis=1)

    def _cluster_level(self, rest: NDArray[np.float32], level: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        seed = int(np.random.SeedSequence([self.seed, level]).generate_state(1)[0])
        centers = self._kmeans(rest, seed)
        if self.balanced:
            return balanced_kmeans(rest, centers, rounds=self.balanced_rounds, seed=seed)
        return centers, nearest_codes(rest, centers)

    def _kmeans(self, rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        from sklearn.cluster import KMeans, MiniBatchKMeans  # a second that whoever only reads codes does not need
        from sklearn.exceptions import ConvergenceWarning

        clusters = min(self.branching, len(rows))
        given = {"n_clusters": clusters, "n_init": self.n_init, "max_iter": self.max_iter, "random_state": seed}
        if len(rows) > self.minibatch_above:
            model = MiniBatchKMeans(**given, batch_size=_BATCH, reassignment_ratio=0.01, max_no_improvement=20)
        else:
            model = KMeans(**given)
        # One thread: scikit-learn adds up partial centres in the order threads finish, which would change the codes.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters is no fault
            model.fit(rows)
        return np.asarray(model.cluster_centers_, dtype=np.float32)
