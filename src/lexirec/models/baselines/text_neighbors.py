"""Text neighbours: the items nearest by the TF-IDF of their texts, which the memory smooths its counts with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from lexirec.core.errors import DataError
from lexirec.data.neighbors import Matrix, Neighbors, nearest


def text_neighbors(texts: Sequence[str], k: int) -> Neighbors:
    """Find every item's k nearest by the TF-IDF of its text.

    Raises:
        DataError: the texts have no words in common.
    """
    return nearest(text_rows(texts), k)


def text_rows(texts: Sequence[str]) -> Matrix:
    """TF-IDF rows of the texts: sublinear tf, words of two texts or more, English stop words left out."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # a fitted memory is used without it

    try:
        rows = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english", dtype=np.float32).fit_transform(texts)
    except ValueError:
        raise DataError(
            f"memory: no word stands in two of the {len(texts):,} item texts; give richer texts, vectors, or neither"
        ) from None
    return sparse.csr_array(rows)
