"""Hierarchical k-means: tree codes in which items with similar vectors share a prefix (GRAM, section 3.1)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lexirec.core.errors import DataError
from lexirec.core.progress import Progress
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.quantizers.assignment import checked_matrix
from lexirec.semantic_ids.quantizers.base import Quantized, QuantizerInputs, QuantizerSettings

_SPLIT_BATCH = 1000


class HierarchicalKMeans(QuantizerSettings):
    """Settings of hierarchical k-means, and the estimator itself: `HierarchicalKMeans(branching=32).fit(vectors)`.

    A cluster with more than `branching` items is split by k-means on its members' raw vectors; empty clusters are
    skipped. In a smaller cluster every item becomes its own child, numbered in catalogue order, with zeros below.
    Clusters are not balanced. Two items share a whole path only if their last cluster is still too large.

    Source: GRAM (ACL 2025) and its preprocessing code. Its settings are `n_init=100, max_iter=300, tolerance=1e-7,
    seed=42`; ours start k-means once, which takes a hundredth of the time and clusters as well for this purpose.
    """

    usual_identifiers: ClassVar[str] = "lexical"
    kind: Literal["hierarchical-kmeans"] = "hierarchical-kmeans"
    branching: Annotated[int, Field(ge=2)] = 128
    """Clusters that a cluster is split into (GRAM: 128 on Beauty, 32 on Toys, Sports and Yelp)."""
    levels: Annotated[int, Field(ge=1, le=64)] = 7
    """Length of every path (GRAM: 5 on Toys, 7 on Beauty and Sports, 9 on Yelp)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of every split."""
    n_init: Annotated[int, Field(ge=1)] = 1
    """Initialisations of k-means per split; the best is kept."""
    max_iter: Annotated[int, Field(ge=1)] = 100
    """Most iterations per initialisation."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-4
    """Relative change of the centres below which k-means has converged."""
    minibatch_above: Annotated[int, Field(ge=1)] = 1000
    """Clusters of at least this many items are split by mini-batch k-means."""
    stop: Literal["at-most", "below"] = "at-most"
    """Which clusters are not split: those of at most `branching` items (GRAM's code) or of fewer (GRAM's text)."""

    def fit(self, vectors: NDArray[np.floating]) -> ClusterTree:
        """Cluster vectors (n_items, d); deterministic for given vectors and settings.

        Raises:
            DataError: the vectors are not a finite matrix.
        """
        vectors = checked_matrix(vectors)
        values = np.zeros((len(vectors), self.levels), dtype=np.int32)
        waiting = [(np.arange(len(vectors)), 0)]
        # one thread: scikit-learn adds partial centres in the order in which threads finish, which changes the codes
        with Progress("k-means", len(vectors)) as progress, threadpool_limits(1):
            while waiting:
                rows, level = waiting.pop()
                settled = self._settled(len(rows))
                labels = np.arange(len(rows)) if settled else self._split(vectors[rows])
                values[rows, level] = labels
                if settled or level + 1 == self.levels:
                    progress.advance(len(rows))
                else:
                    waiting.extend((part, level + 1) for part in _parts(rows, labels))
        return ClusterTree(Codes(values, "tree"), vectors)

    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Return the codes of the items' vectors; see `fit`."""
        return Quantized(self.fit(inputs.vectors).codes)

    def _settled(self, size: int) -> bool:
        return size == 1 or size < self.branching + (self.stop == "at-most")

    def _split(self, vectors: NDArray[np.floating]) -> NDArray[np.int64]:
        from sklearn.cluster import KMeans, MiniBatchKMeans  # a second that whoever only reads codes does not need
        from sklearn.exceptions import ConvergenceWarning

        shared = {"n_clusters": self.branching, "n_init": self.n_init, "max_iter": self.max_iter}
        if len(vectors) >= self.minibatch_above:
            model = MiniBatchKMeans(
                **shared,
                tol=self.tolerance,
                random_state=self.seed,
                batch_size=_SPLIT_BATCH,
                reassignment_ratio=0.01,
                max_no_improvement=20,
            )
        else:
            model = KMeans(**shared, tol=self.tolerance, random_state=self.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters is fine
            labels = model.fit_predict(vectors)
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, eq=False)
class ClusterTree:
    """Fitted hierarchical clusters.

    Attributes:
        codes: Codes of the items that it was fitted on.
        vectors: (n_items, d), vectors of these items.
    """

    codes: Codes
    vectors: NDArray[np.floating]

    def assign(self, vectors: NDArray[np.floating]) -> NDArray[np.int32]:
        """Return the codes of new items in the fixed tree: int32 (n_new, levels).

        From the root down, each vector goes to the child with the nearest mean, so a new item ends on the path of an
        existing item.

        Raises:
            DataError: the vectors are not a finite matrix of the tree's width.
        """
        vectors = checked_matrix(vectors)
        if vectors.shape[1] != self.vectors.shape[1]:
            raise DataError(
                f"new vectors have {vectors.shape[1]} dimensions, the tree {self.vectors.shape[1]}; use the same model"
            )
        above = np.zeros(len(vectors), dtype=np.int64)
        for level in range(self.codes.levels):
            above = self._descend(vectors, above, level)
        members = self.codes.first_members(self.codes.levels - 1)
        return self.codes.values[members[above]]

    def _descend(self, vectors: NDArray[np.floating], above: NDArray[np.int64], level: int) -> NDArray[np.int64]:
        members = self.codes.first_members(level)
        parents = self.codes.cells(level - 1)[members] if level else np.zeros(len(members), dtype=np.int64)
        first = np.searchsorted(parents, np.arange(parents[-1] + 2))  # children of a cell have consecutive numbers
        below = first[above]
        if len(members) == parents[-1] + 1:  # nothing is split at this level
            return below
        means = _means(self.vectors, self.codes.cells(level))
        for cell in np.unique(above[first[above + 1] - first[above] > 1]):
            rows, children = np.flatnonzero(above == cell), means[first[cell] : first[cell + 1]]
            distance = (children**2).sum(axis=1) - 2 * vectors[rows] @ children.T
            below[rows] += distance.argmin(axis=1)
        return below


def _parts(rows: NDArray[np.int64], labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(labels, kind="stable")
    return np.split(rows[order], np.cumsum(np.bincount(labels))[:-1])


def _means(vectors: NDArray[np.floating], cells: NDArray[np.int64]) -> NDArray[np.floating]:
    order = np.argsort(cells, kind="stable")
    counts = np.bincount(cells)
    sums = np.add.reduceat(vectors[order], np.cumsum(counts) - counts, axis=0)
    return sums / counts[:, None]
