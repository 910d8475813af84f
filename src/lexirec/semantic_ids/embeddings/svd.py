"""Embeddings by matrix factorisation: of item co-occurrence (collaborative) and of word counts (LSA).

Collaborative vectors use no text. Counts C of item pairs within `window` positions of each other, in both directions
and weighted by distance, are normalised by both items' sums, D^-1/2 C D^-1/2; an item's vector is its row of the
leading eigenvectors times the square roots of the eigenvalues, so inner products approximate the normalised counts.
Clustering these vectors level by level is spectral clustering of the co-occurrence graph.

Source: the collaborative indexing (CID) of Hua et al. (SIGIR-AP 2023), which P5 and OpenP5 use. It counts whole
histories and clusters the graph of every cluster anew; ours factorises once, and `hierarchical-kmeans` splits further.

Latent semantic analysis reduces TF-IDF vectors of texts; other texts can be projected into the fitted space.
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
from lexirec.semantic_ids.embeddings.word_space import WordSpace

_DENSE = 500
"""Items up to which the matrix is factorised densely: the iterative solver can fail on small matrices."""


class CollaborativeVectors(Settings):
    """Settings of collaborative vectors: factorised co-occurrence of the training part, without held-out events."""

    kind: Literal["collaborative"] = "collaborative"
    dimensions: Annotated[int, Field(ge=1)] = 64
    """Width of the vectors; smaller for small catalogues."""
    window: Annotated[int, Field(ge=1)] = 8
    """Greatest distance in positions at which two items of a sequence count as a pair."""
    gap_decay: Annotated[float, Field(gt=0, le=1)] = 0.8
    """A pair at distance g counts gap_decay^(g − 1)."""

    def fit(self, train: Sequences, n_items: int) -> NDArray[np.float32]:
        """Return the items' vectors: float32 (n_items, d), zeros for items without co-occurrence.

        Args:
            train: training sequences of item numbers, oldest first.
            n_items: size of the catalogue.

        Raises:
            DataError: no training sequence has two items.
        """
        counts = pair_counts(train, n_items, window=self.window, gap_decay=self.gap_decay, backward=1.0)
        counts = sparse.csr_array(counts)
        counts.setdiag(0)
        counts.eliminate_zeros()
        if not counts.nnz:
            raise DataError(
                f"vectors of kind 'collaborative': none of the {len(train):,} training sequences has two different "
                "items within the window; use more data or another kind"
            )
        return _factorised(_balanced(counts), min(self.dimensions, n_items - 1))


def _balanced(counts: Matrix) -> Matrix:
    """Divide every count by the square roots of both items' sums."""
    sums = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    roots = np.divide(1.0, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0).astype(np.float32)
    return scaled(counts, by_row=roots, by_column=roots)


def _factorised(matrix: Matrix, dimensions: int) -> NDArray[np.float32]:
    """Return the leading eigenvectors times the square roots of their eigenvalues, negative ones taken as 0."""
    n_items = matrix.shape[0]
    if n_items <= max(_DENSE, 2 * dimensions):
        values, vectors = eigh(matrix.toarray().astype(np.float64), subset_by_index=(n_items - dimensions, n_items - 1))
    else:
        start = np.random.default_rng(0).normal(size=n_items)  # fixed, so that equal counts give equal vectors
        values, vectors = eigsh(matrix.astype(np.float64), k=dimensions, which="LA", v0=start)
    vectors = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0))
    # eigenvectors are unique up to sign: make the largest entry of each positive
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(dimensions)])
    oriented = vectors * np.where(signs == 0, 1.0, signs)
    oriented[np.asarray(matrix.sum(axis=1)).ravel() == 0] = 0.0
    return np.asarray(oriented, dtype=np.float32)


# ------------------------------------------------------------------------------------------------------------------ lsa

_FEW = 50


@dataclass(frozen=True, eq=False)
class LsaSpace:
    """Fitted latent semantic analysis: TF-IDF weights and the axes of their decomposition.

    Word weights (sublinear tf, idf, without English stop words and words of a single text) are reduced by a seeded,
    randomised singular value decomposition.

    Source: Deerwester et al. 1990; scikit-learn's `TruncatedSVD`.

    Attributes:
        words: scikit-learn vectoriser of texts.
        axes: float64 (d, words), the axes kept; None where every word is an axis.
    """

    words: Any
    axes: NDArray[np.float64] | None

    @classmethod
    def fit(cls, texts: Sequence[str], dimensions: int = 256, seed: int = 0) -> LsaSpace:
        """Fit the space; it has fewer dimensions for fewer texts or fewer distinct words.

        Raises:
            DataError: no text has a word.
        """
        with Progress("latent semantic analysis", 2) as progress:
            words, counts = _weighted_words(texts)
            progress.advance()
            return cls(words, _axes(counts, min(dimensions, *counts.shape), seed))

    def stored(self) -> WordSpace:
        """Return the space as it is stored, which embeds texts without scikit-learn."""
        return WordSpace.of(self.words, self.axes)

    def embed(self, texts: Sequence[str]) -> NDArray[np.floating]:
        """Project texts into the space, not normalised: (n_texts, d); a text without a known word gets zeros."""
        counts = self.words.transform(texts)
        return np.asarray(counts.toarray() if self.axes is None else counts @ self.axes.T)


def _weighted_words(texts: Sequence[str]) -> tuple[Any, Any]:
    """Return vectoriser and TF-IDF matrix; rare words and stop words are kept where a catalogue has no others."""
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
        with threadpool_limits(1):  # with more, the order of sums, and so the last digits, depends on the threads
            return np.asarray(TruncatedSVD(rank, random_state=seed).fit(counts).components_)
    if counts.shape[1] <= counts.shape[0]:  # no reduction: the words themselves are the axes
        return None
    return np.asarray(np.linalg.svd(counts.toarray(), full_matrices=False)[2])
