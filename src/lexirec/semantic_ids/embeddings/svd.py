"""Vectors of who goes with whom: the training part's co-occurrence, factorised. No text enters.

Counts C of items within `window` places of each other, both ways and nearer ones counting more, are scaled by both
items' sums, D^-1/2 C D^-1/2, and the greatest eigenvalues' vectors, times the roots of the eigenvalues, become the
items': their cosines are the scaled counts' as far as so few dimensions hold them. Clustering these vectors level by
level is spectral clustering of the co-occurrence graph.

Source: the collaborative indexing (CID) of Hua et al. (SIGIR-AP 2023), which P5 and OpenP5 use; it counts whole
histories and clusters the graph of every cluster anew, ours factorises once and lets `hierarchical-kmeans` go down.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh

from lexirec.core.config import Settings
from lexirec.core.errors import DataError
from lexirec.data.neighbors import Matrix, pair_counts, scaled
from lexirec.data.sequences import Sequences

_DENSE = 500
"""Items up to which the matrix is factorised as a dense one, where the iterative solver may find nothing to iterate."""


class CollaborativeVectors(Settings):
    """Vectors of who goes with whom in the training part; held-out events are never looked at."""

    kind: Literal["collaborative"] = "collaborative"
    dimensions: Annotated[int, Field(ge=1)] = 64
    """Width of the vectors; small catalogues have less."""
    window: Annotated[int, Field(ge=1)] = 8
    """Largest distance in places at which two items of a row count as a pair."""
    gap_decay: Annotated[float, Field(gt=0, le=1)] = 0.8
    """A pair at distance g counts gap_decay^(g − 1)."""

    def fit(self, train: Sequences, n_items: int) -> NDArray[np.float32]:
        """Return the items' vectors: float32 (n_items, d); zeros where an item goes with nobody.

        Args:
            train: training rows of item numbers, oldest first.
            n_items: size of the catalogue.

        Raises:
            DataError: no two items stand in one row.
        """
        counts = pair_counts(train, n_items, window=self.window, gap_decay=self.gap_decay, backward=1.0)
        counts = sparse.csr_array(counts)
        counts.setdiag(0)
        counts.eliminate_zeros()
        if not counts.nnz:
            raise DataError(
                f"vectors of kind 'collaborative': in none of the {len(train):,} training rows two items stand together"
            )
        return _factorised(_balanced(counts), min(self.dimensions, n_items - 1))


def _balanced(counts: Matrix) -> Matrix:
    """Divide every count by the roots of both items' sums."""
    sums = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    roots = np.divide(1.0, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0).astype(np.float32)
    return scaled(counts, by_row=roots, by_column=roots)


def _factorised(matrix: Matrix, dimensions: int) -> NDArray[np.float32]:
    """Return the greatest eigenvalues' vectors times the roots of the eigenvalues; negative ones count nothing."""
    n_items = matrix.shape[0]
    if n_items <= max(_DENSE, 2 * dimensions):
        values, vectors = eigh(matrix.toarray().astype(np.float64), subset_by_index=(n_items - dimensions, n_items - 1))
    else:
        start = np.random.default_rng(0).normal(size=n_items)  # fixed, so that the same counts give the same
        values, vectors = eigsh(matrix.astype(np.float64), k=dimensions, which="LA", v0=start)
    vectors = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0))
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(dimensions)])
    found = vectors * np.where(signs == 0, 1.0, signs)
    found[np.asarray(matrix.sum(axis=1)).ravel() == 0] = 0.0
    return np.asarray(found, dtype=np.float32)
