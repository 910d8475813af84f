"""Residual k-means (RQ-k-means): each level clusters the residuals that the previous levels leave."""

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

    At each level, k-means clusters the residuals, and the centre of an item's cell is subtracted from its residual.
    With `balanced`, every cell of a level gets n / `branching` items, give or take one, so all codes are used equally.

    Source: MiniOneRec's RQ-k-means (faiss) and its constrained variant (`k-means-constrained`, cells of n / k ± 1);
    ours balances by optimal transport (see `assignment`), which takes seconds.
    """

    kind: Literal["residual-kmeans"] = "residual-kmeans"
    levels: Annotated[int, Field(ge=1, le=24)] = 3
    """Levels, so codes of an item, before the collision rule."""
    branching: Annotated[int, Field(ge=2)] = 256
    """Codes of a level; a catalogue with fewer items has one code per item."""
    balanced: bool = False
    """Give all codes of a level equally many items."""
    balanced_rounds: Annotated[int, Field(ge=1)] = 10
    """Most rounds of balancing a level."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of all levels."""
    n_init: Annotated[int, Field(ge=1)] = 1
    """Initialisations of k-means per level; the best is kept."""
    max_iter: Annotated[int, Field(ge=1)] = 100
    """Most iterations per initialisation."""
    minibatch_above: Annotated[int, Field(ge=1)] = 50_000
    """Catalogues with more items are clustered by mini-batch k-means."""
    collisions: CollisionSettings = CollisionSettings()
    """Rule for items with equal codes."""

    def fit(self, vectors: NDArray[np.floating]) -> Codebook:
        """Quantise vectors (n_items, d); deterministic for given vectors and settings.

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
        """Return the centres of each level for points (n, d), float32 (codes, d): initial codes of other quantisers."""
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
        shared = {"n_clusters": clusters, "n_init": self.n_init, "max_iter": self.max_iter, "random_state": seed}
        if len(rows) > self.minibatch_above:
            model = MiniBatchKMeans(**shared, batch_size=_BATCH, reassignment_ratio=0.01, max_no_improvement=20)
        else:
            model = KMeans(**shared)
        # one thread: scikit-learn adds partial centres in the order in which threads finish, which changes the codes
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters is fine
            model.fit(rows)
        return np.asarray(model.cluster_centers_, dtype=np.float32)
