"""Latent semantic analysis: vectors of texts from the texts alone, in a space that other texts can be put into, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lexirec.core.errors import DataError
from lexirec.core.progress import Progress

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
