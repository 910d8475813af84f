"""Vectors of who goes with whom: the training part's co-occurrence, factorised. No text enters.

Counts C of items within `window` places of each other, both ways and nearer ones counting more, are scaled by both
items' sums, D^-1/2 C D^-1/2, and the greatest eigenvalues' vectors, times the roots of the eigenvalues, become the
items': their cosines are the scaled counts' as far as so few dimensions hold them. Clustering these vectors level by
level is spectral clustering of the co-occurrence graph.

Source: the collaborative indexing (CID) of Hua et al. (SIGIR-AP 2023), which P5 and OpenP5 use; it counts whole
histories and clusters the graph of every cluster anew, ours factorises once and lets `hierarchical-kmeans` go down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lexirec.core.config import Settings
from lexirec.core.errors import DataError
from lexirec.core.progress import Progress
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


# ------------------------------------------------------------------------------------------------------------------ lsa
# Latent semantic analysis: vectors of texts from the texts alone, in a space that other texts can be put into, too.


_FEW = 50


@dataclass(frozen=True, eq=False)
class LsaSpace:
    """The space that latent semantic analysis found in some texts.

    Words (sublinear tf, idf, English stop words left out, words of one text only left out) are reduced by a seeded,
    randomised singular value decomposition.

    Source: Deerwester et al. 1990; scikit-learn's `TruncatedSVD`.

    Attributes:
        words: counts and weights the words of texts.
        axes: float64 (d, words), the directions kept; None where every word is one.
    """

    words: Any
    axes: NDArray[np.float64] | None

    @classmethod
    def fit(cls, texts: Sequence[str], dimensions: int = 256, seed: int = 0) -> LsaSpace:
        """Find the space; it has fewer dimensions where there are fewer texts or the texts have fewer words.

        Raises:
            DataError: no text has a word.
        """
        with Progress("latent semantic analysis", 2) as progress:
            words, counts = _weighted_words(texts)
            progress.advance()
            return cls(words, _axes(counts, min(dimensions, *counts.shape), seed))

    def embed(self, texts: Sequence[str]) -> NDArray[np.floating]:
        """Return any texts' places in the space, not normalised: (n_texts, d); without a known word they are zeros."""
        counts = self.words.transform(texts)
        return np.asarray(counts.toarray() if self.axes is None else counts @ self.axes.T)


def _weighted_words(texts: Sequence[str]) -> tuple[Any, Any]:
    """Return TF-IDF of words, falling back to rare words and stop words for catalogues that have no others."""
    frequent = 2 if len(texts) >= _FEW else 1
    for least, stop_words in ((frequent, "english"), (1, "english"), (1, None)):
        words = TfidfVectorizer(sublinear_tf=True, min_df=least, stop_words=stop_words)
        try:
            return words, words.fit_transform(texts)
        except ValueError:  # an empty vocabulary, or nothing left of it
            continue
    raise DataError(f"the {len(texts)} texts hold no word; name at least one text field that is not empty")


def _axes(counts: Any, rank: int, seed: int) -> NDArray[np.float64] | None:
    if rank < min(counts.shape):
        with threadpool_limits(1):  # the order of sums, and so the last digits, would depend on the threads
            return np.asarray(TruncatedSVD(rank, random_state=seed).fit(counts).components_)
    if counts.shape[1] <= counts.shape[0]:  # nothing is left out; as wide as there are texts or words, which are few
        return None
    return np.asarray(np.linalg.svd(counts.toarray(), full_matrices=False)[2])
