"""Phrase extraction: words and fixed word pairs of item texts, the terms of the contrastive lexicon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from lexirec.semantic_ids.lexicon.tfidf import Terms, split_terms

_PACKAGING = frozenset(["count", "inch", "lbs", "pack", "pcs", "piece", "qty", "set", "size"])
_SILENT = ENGLISH_STOP_WORDS | _PACKAGING
_LETTERS = re.compile(r"[^\W\d_]{3}|[^\W\d_\x00-\x7f]{2}")
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # as `split_terms` finds them
_BREAK = re.compile(r"[,;:|()\[\]!?\n]|\s[-–—&/]\s|\.(?=\s|$)")
_PAUSE = "0"
"""Marker of punctuation between phrases; since a number is no term, no pair spans it."""
_LONGEST = 128
_OF_DETAILS = 1 / 3
_LEAST_TEXTS = 3
_SMALL = 100
_BOUND = 0.4
_ABSORBED = 0.8


@dataclass(frozen=True, eq=False)
class Phrases:
    """Occurrence of phrases in texts.

    Attributes:
        presence: float64 csr (n_texts, phrases), 1 where a text has the phrase, less where only its details have it.
        vocabulary: The phrases: words and pairs of words, lower case.
    """

    presence: sparse.csr_array
    vocabulary: tuple[str, ...]


def find_phrases(
    texts: Sequence[str], details: Sequence[str] | None = None, *, brands: Sequence[str] | None = None
) -> Phrases:
    """Extract the informative words and fixed word pairs of texts.

    English stop words, numbers, short units and packaging are left out; plurals count as their singular. Two adjacent
    words form a phrase if they often occur together (cosine of their texts at least .4, in three texts or more), and a
    word that is nearly always part of one pair is replaced by it. In a hundred or more texts, words of one or two texts
    are left out, as names or part numbers. Words found mostly in texts of items whose brand has them are brands.

    Args:
        texts: One short text per item, such as title and categories.
        details: One long text per item; each of its first 128 words counts a third of a word in `texts`.
        brands: One brand per item, empty where unknown.
    """
    heads = [_BREAK.sub(f" {_PAUSE} ", text) for text in texts]
    bodies = [_BREAK.sub(f" {_PAUSE} ", text) for text in details] if details is not None else [""] * len(heads)
    terms = split_terms([f"{head} {_PAUSE} {body}" for head, body in zip(heads, bodies)])
    ends = np.array([len(_WORD.findall(head)) for head in heads]) + 1
    words = _Words.of(terms, ends)
    allowed = _usable(terms.vocabulary)
    if brands is not None:
        allowed &= ~_brand_words(words.presence, brands, terms.vocabulary)
    pairs, first, second = _pairs(words, allowed, terms.vocabulary)
    absorbed = _absorbed(words.presence, pairs, first, second)
    kept = np.flatnonzero(allowed & ~absorbed & (_texts_with(words.presence) >= _least(len(terms))))
    names = [terms.vocabulary[word] for word in kept]
    names += [f"{terms.vocabulary[one]} {terms.vocabulary[other]}" for one, other in zip(first, second)]
    return Phrases(sparse.csr_array(sparse.hstack([words.presence[:, kept], pairs], format="csr")), tuple(names))


@dataclass(frozen=True, eq=False)
class _Words:
    """The words of all texts in order: vocabulary index, text, and weight of each occurrence."""

    numbers: NDArray[np.int32]
    texts: NDArray[np.int64]
    weights: NDArray[np.float64]
    presence: sparse.csr_array

    @classmethod
    def of(cls, terms: Terms, ends: NDArray[np.int64]) -> _Words:
        numbers = _singular(terms)[terms.numbers]
        texts = np.repeat(np.arange(len(terms)), np.diff(terms.offsets))
        position = np.arange(len(numbers)) - terms.offsets[texts] - ends[texts]  # negative before the details
        early = position < _LONGEST
        numbers, texts = numbers[early], texts[early]
        weights = np.where(position[early] < 0, 1.0, _OF_DETAILS)
        presence = _presence(texts, numbers, weights, (len(terms), len(terms.vocabulary)))
        return cls(numbers, texts, weights, presence)


def _presence(
    texts: NDArray[np.int64], numbers: NDArray[np.integer], weights: NDArray[np.float64], shape: tuple[int, int]
) -> sparse.csr_array:
    """Return the greatest weight of each number in each text: float64 csr (n_texts, numbers)."""
    codes = texts.astype(np.int64) * shape[1] + numbers
    order = np.lexsort((-weights, codes))
    best = order[np.diff(codes[order], prepend=-1) != 0]
    return sparse.coo_array((weights[best], (texts[best], numbers[best])), shape=shape).tocsr()


def _singular(terms: Terms) -> NDArray[np.int32]:
    """Return the vocabulary index of each word's singular, if the texts have it, else its own: int32 (vocabulary,)."""
    index = {word: number for number, word in enumerate(terms.vocabulary)}
    counts = np.bincount(terms.numbers, minlength=len(index))
    singular = np.arange(len(index), dtype=np.int32)
    for word, number in index.items():
        endings = ("es", "s") if word.endswith(("ses", "xes", "hes", "zes")) else ("s",)
        for ending in endings:
            base = index.get(word.removesuffix(ending)) if word.endswith(ending) and not word.endswith("ss") else None
            if base is not None and len(word) - len(ending) >= 3 and counts[base] * 5 >= counts[number]:
                singular[number] = base
                break
    return singular[singular]


def _usable(vocabulary: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([bool(_LETTERS.search(word)) and word not in _SILENT for word in vocabulary])


def _brand_words(words: sparse.csr_array, brands: Sequence[str], vocabulary: Sequence[str]) -> NDArray[np.bool_]:
    """Return which words occur mostly in texts of items whose brand has them: bool (vocabulary,)."""
    index = {word: number for number, word in enumerate(vocabulary)}
    of_brand = [[index[word] for word in set(_WORD.findall(brand.lower())) if word in index] for brand in brands]
    items = np.repeat(np.arange(len(brands)), [len(row) for row in of_brand])
    numbers = np.array([number for row in of_brand for number in row], dtype=np.int64)
    branded = _totals(_presence(items, numbers, np.ones(len(items)), words.shape).multiply(words))
    return np.asarray(branded > 0.5 * _totals(words))


def _pairs(
    words: _Words, allowed: NDArray[np.bool_], vocabulary: Sequence[str]
) -> tuple[sparse.csr_array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the fixed pairs of adjacent words: presence (n_texts, pairs), first and second word (pairs,)."""
    width = np.int64(len(vocabulary))
    plain = np.array([not _DIGITS.fullmatch(word) and word not in _SILENT for word in vocabulary])
    left, right, texts = words.numbers[:-1], words.numbers[1:], words.texts[:-1]
    # a pair may have one word that is too short alone ("3d printer"), but no brand
    candidate = (allowed[left] & plain[right]) | (plain[left] & allowed[right])
    candidate &= (texts == words.texts[1:]) & (left != right)
    codes, pair = np.unique(left[candidate] * width + right[candidate], return_inverse=True)
    weights = np.minimum(words.weights[:-1], words.weights[1:])[candidate]
    presence = _presence(texts[candidate], pair, weights, (words.presence.shape[0], len(codes)))
    first, second = codes // width, codes % width
    together, counts = _texts_with(presence), _texts_with(words.presence)
    bound = together**2 >= _BOUND**2 * counts[first] * counts[second]
    kept = np.flatnonzero(bound & (together >= _LEAST_TEXTS))
    return presence[:, kept], first[kept], second[kept]


def _absorbed(
    words: sparse.csr_array, pairs: sparse.csr_array, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.bool_]:
    best = np.zeros(words.shape[1])
    np.maximum.at(best, first, _texts_with(pairs))
    np.maximum.at(best, second, _texts_with(pairs))
    return np.asarray(best > _ABSORBED * np.maximum(_texts_with(words), 1))


def _least(texts: int) -> int:
    return _LEAST_TEXTS if texts >= _SMALL else 1


def _texts_with(presence: sparse.csr_array) -> NDArray[np.float64]:
    return np.bincount(presence.indices, minlength=presence.shape[1]).astype(np.float64)


def _totals(presence: sparse.csr_array) -> NDArray[np.float64]:
    return np.asarray(presence.sum(axis=0), dtype=np.float64).ravel()
