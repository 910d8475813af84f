"""Fitted word weights, applied without the library that fitted them: TF-IDF rows of texts, and their LSA vectors.

A catalogue that grows gives its new items vectors in the space of the old ones: words, weights and axes are stored
beside the vectors, and applying them needs numpy and scipy alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from lexirec.core.errors import ArtifactError
from lexirec.data.neighbors import Matrix

WORDS, AXES = "words.parquet", "axes.safetensors"
_WORD = re.compile(r"(?u)\b\w\w+\b")


@dataclass(frozen=True, eq=False)
class WordSpace:
    """Words with inverse document frequencies, and the axes on which their rows are projected.

    Attributes:
        words: In the order of their columns.
        idf: float64 (words,), the weight of each.
        axes: float64 (d, words); None where every word is an axis.
    """

    words: tuple[str, ...]
    idf: NDArray[np.float64]
    axes: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, vectoriser: Any, axes: NDArray[np.float64] | None = None) -> WordSpace:
        """Take words and weights from scikit-learn's fitted `TfidfVectorizer` with sublinear term frequencies."""
        words = sorted(vectoriser.vocabulary_, key=vectoriser.vocabulary_.__getitem__)
        return cls(tuple(words), np.asarray(vectoriser.idf_, dtype=np.float64), axes)

    def rows(self, texts: Sequence[str]) -> Matrix:
        """Return TF-IDF rows of length 1, float64 (n_texts, words); words that are not known are ignored.

        A word that stands n times in a text weighs (1 + ln n) · idf.
        """
        found = [
            [self._columns[word] for word in _WORD.findall(text.lower()) if word in self._columns] for text in texts
        ]
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        columns = np.array([column for row in found for column in row], dtype=np.int64)
        cells = (np.repeat(np.arange(len(found)), lengths), columns)
        counts: Any = sparse.coo_array((np.ones(len(columns)), cells), shape=(len(found), len(self.words))).tocsr()
        counts.sum_duplicates()
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        sizes = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        counts.data /= np.repeat(np.where(sizes > 0, sizes, 1.0), np.diff(counts.indptr))
        return sparse.csr_array(counts)

    def embed(self, texts: Sequence[str]) -> NDArray[np.floating[Any]]:
        """Project texts into the space, not normalised: (n_texts, d); a text without a known word gets zeros."""
        rows = self.rows(texts)
        return np.asarray(rows.toarray() if self.axes is None else rows @ self.axes.T)

    def save(self, folder: str | Path) -> None:
        """Write `words.parquet` and, where there are axes, `axes.safetensors` into an existing folder."""
        pq.write_table(pa.table({"word": self.words, "idf": self.idf}), Path(folder) / WORDS, compression="zstd")
        if self.axes is not None:
            save_file({"axes": np.ascontiguousarray(self.axes)}, Path(folder) / AXES)

    @classmethod
    def load(cls, folder: str | Path) -> WordSpace | None:
        """Read what `save` wrote; None where the folder, of an earlier version, has no words.

        Raises:
            ArtifactError: a file is damaged.
        """
        path = Path(folder) / WORDS
        if not path.is_file():
            return None
        try:
            table = pq.read_table(path)
            axes = load_file(path.with_name(AXES))["axes"] if path.with_name(AXES).is_file() else None
            return cls(tuple(table["word"].to_pylist()), table["idf"].to_numpy().astype(np.float64), axes)
        except (OSError, KeyError, pa.ArrowException, SafetensorError) as error:
            raise ArtifactError(f"{path} is damaged ({str(error).splitlines()[0]}); make the vectors again") from None

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {word: column for column, word in enumerate(self.words)}
