"""TF-IDF of item texts: terms (tokenizer pieces or words), their counts per item, and GRAM's weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from lexirec.core.errors import DataError
from lexirec.core.progress import Progress, track

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_CHUNK = 4096
_SPACES = ("▁", "Ġ", "##", "</w>")


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of every text, in order.

    Attributes:
        numbers: int32 (n_terms,), the terms of all texts in sequence, as indices of `vocabulary`.
        offsets: int64 (n_texts + 1,); text i has the terms offsets[i] to offsets[i+1].
        vocabulary: The terms' strings: a tokenizer's whole vocabulary by id, or the sorted words of the texts.
        special: Indices of the tokenizer's special tokens.
    """

    numbers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    vocabulary: tuple[str, ...]
    special: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.offsets) - 1

    def counts(self, longest: int | None = None) -> sparse.csr_array:
        """Count each term in the first `longest` terms of each text: float64 (n_texts, vocabulary)."""
        texts = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        numbers = self.numbers
        if longest is not None:
            early = np.arange(len(numbers)) - self.offsets[texts] < longest
            texts, numbers = texts[early], numbers[early]
        shape = (len(self), len(self.vocabulary))
        return sparse.coo_array((np.ones(len(texts)), (texts, numbers)), shape=shape).tocsr()

    def usable(self) -> NDArray[np.bool_]:
        """Return which terms can be names: no special token, no bare space, at least two characters."""
        short = np.fromiter((len(term.strip()) < 2 or term == "▁▁" for term in self.vocabulary), dtype=np.bool_)
        short[list(self.special)] = True
        return ~short


def split_terms(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase | None = None, *, lowercase: bool = False
) -> Terms:
    """Split texts into a tokenizer's pieces or, without a tokenizer, into lower-case words (letters and digits).

    Args:
        texts: One text per item.
        tokenizer: Any Hugging Face tokenizer; no special tokens are added and texts are not truncated.
        lowercase: Convert to lower case before the tokenizer, as GRAM does with Amazon texts.
    """
    if tokenizer is None:
        return _words(texts)
    texts = [text.lower() for text in texts] if lowercase else list(texts)
    rows: list[list[int]] = []
    with Progress("tokenising", len(texts)) as progress:
        for start in range(0, len(texts), _CHUNK):
            part = texts[start : start + _CHUNK]
            rows += tokenizer(part, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
            progress.advance(len(part))
    return Terms(*_flat(rows, np.int32), vocabulary_of(tokenizer), frozenset(tokenizer.all_special_ids))


def tf_idf(terms: Terms, *, tf_pieces: int | None = 128, tf_share: bool = False) -> sparse.csr_array:
    """Return tf · idf of each term in each text, float64 (n_texts, vocabulary), with GRAM's statistics.

    tf counts the first `tf_pieces` terms (None: all), df the texts whose full text has the term, and
    idf = ln(1 + (M − df + .5) / (df + .5)) for M texts. There is no length normalisation or saturation, unless
    `tf_share` divides the counts by the number of counted terms, so that long texts do not outweigh short ones.
    """
    counts = terms.counts(tf_pieces)
    df = np.bincount(terms.counts().indices, minlength=len(terms.vocabulary))
    idf = np.log1p((len(terms) - df + 0.5) / (df + 0.5))
    if tf_share:
        counts = sparse.diags_array(1 / np.maximum(counts.sum(axis=1), 1)) @ counts
    return sparse.csr_array(counts @ sparse.diags_array(idf))


def best_terms(scores: sparse.csr_array, most: int, usable: NDArray[np.bool_]) -> sparse.csr_array:
    """Keep the `most` best terms of each row, without unusable ones, by descending score, ties by term number.

    Unusable terms are dropped last, as in GRAM, so they count among the `most`.
    """
    rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    order = np.lexsort((scores.indices, -scores.data, rows))
    rank = np.arange(len(order)) - scores.indptr[rows]  # `order` leaves every row in its own range
    kept = order[(rank < most) & usable[scores.indices[order]]]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=scores.shape[0]))])
    return sparse.csr_array((scores.data[kept], scores.indices[kept], indptr), shape=scores.shape)


def vocabulary_of(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the strings of a tokenizer's ids 0, 1, …; an empty string for unused ids."""
    ids = tokenizer.get_vocab()
    pieces = [""] * (max(ids.values()) + 1)
    for piece, number in ids.items():
        pieces[number] = piece
    return tuple(pieces)


def readable(term: str) -> str:
    """Return a term without the tokenizer's marks of spaces and joins."""
    for mark in _SPACES:
        term = term.replace(mark, "")
    return term


def _words(texts: Sequence[str]) -> Terms:
    rows = [_WORD.findall(text.lower()) for text in track(texts, "splitting into words")]
    offsets = _offsets(rows)
    if not offsets[-1]:
        raise DataError(f"the {len(texts)} texts hold no word; name at least one text column that is not empty")
    words = pa.array(chain.from_iterable(rows), type=pa.large_string()).dictionary_encode()
    order = pc.sort_indices(words.dictionary)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    vocabulary = words.dictionary.take(order).to_pylist()
    return Terms(rank[words.indices.to_numpy()], offsets, tuple(vocabulary))


def _flat(rows: Sequence[Sequence[int]], kind: type[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    offsets = _offsets(rows)
    return np.fromiter(chain.from_iterable(rows), dtype=kind, count=int(offsets[-1])), offsets


def _offsets(rows: Iterable[Sequence[object]]) -> NDArray[np.int64]:
    lengths = np.fromiter(map(len, rows), dtype=np.int64)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
