"""Keywords of semantic-ID tokens from a lexicon, and their weights over sub-words, for SA-Init and TS-Align.

Legend: `T` tokens, `K` keywords of all tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from transformers import PreTrainedTokenizerBase

from lexirec.core.errors import DataError, SettingsError
from lexirec.nn.ragged import Ragged
from lexirec.nn.tokenizer import encode, encode_all
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.lexicon import Lexicon
from lexirec.semantic_ids.lexicon.tfidf import readable

Pooling = Literal["joined", "keywords", "weighted"]
_TINY = 1e-12


@dataclass(frozen=True)
class TokenWords:
    """Keywords and description of one semantic-ID token.

    Attributes:
        token: The piece, such as `<a_12>`.
        level: Its level, from 0.
        keywords: Words and phrases, best first.
        weights: As many positive numbers, or None.
        description: Sentences about what its items have in common.
    """

    token: str
    level: int
    keywords: tuple[str, ...]
    weights: tuple[float, ...] | None = None
    description: str = ""


def token_words(lexicon: Lexicon, codes: Codes, *, most: int = 20) -> list[TokenWords]:
    """Return keywords and description of each token `<a_12>` in use, by level and code, from a lexicon.

    Levels without terms in the lexicon (those that distinguish colliding items) are left out.

    Args:
        lexicon: Terms and descriptions of the cells.
        codes: The residual codes that the lexicon describes.
        most: Keywords of a token, at most.

    Raises:
        DataError: the lexicon does not fit the codes, or there are more levels than letters.
    """
    described = []
    for level in range(min(len(lexicon.levels), codes.levels, len(ascii_lowercase))):
        values = np.unique(codes.values[:, level])
        if codes.kind != "residual" or len(values) != len(lexicon.levels[level]):
            raise DataError(
                f"level {level}: the lexicon has {len(lexicon.levels[level])} cells, but the {codes.kind} codes have"
                f" {len(values)} tokens; give the lexicon of these residual codes"
            )
        for cell, value in enumerate(values):
            scores = lexicon.scores(level, cell)[:most]
            words = tuple(readable(term) for term in lexicon.terms(level, cell, most))
            weights = tuple(scores.tolist()) if len(scores) and scores.min() > 0 else None
            token = f"<{ascii_lowercase[level]}_{value}>"
            described.append(TokenWords(token, level, words, weights, lexicon.description(level, cell)))
    return described


def keyword_shares(
    tokenizer: PreTrainedTokenizerBase, words: Sequence[TokenWords], pooling: Pooling
) -> sparse.csr_array:
    """Return the weight of each sub-word in each token's row: float64 (T, vocabulary); rows sum to 1 (0 without words).

    Args:
        tokenizer: The backbone's.
        words: The tokens and their keywords.
        pooling: joined, keywords or weighted, as in `SaInitSettings`.

    Raises:
        SettingsError: a token's weights are not one positive number per keyword.
    """
    shape = (len(words), len(tokenizer))
    if pooling == "joined":
        lines = encode_all(tokenizer, [" ".join(word.keywords) for word in words], "tokenising keywords")
        return _means(lines, shape)
    keywords = list(itertools.chain.from_iterable(word.keywords for word in words))
    means = _means(_encoded_in_context(tokenizer, keywords), (len(keywords), len(tokenizer)))
    weights_K = _weights(words) if pooling == "weighted" else np.ones(len(keywords))
    weights_K = weights_K * (np.diff(means.indptr) > 0)
    rows_K = np.repeat(np.arange(len(words)), [len(word.keywords) for word in words])
    totals = np.bincount(rows_K, weights_K, minlength=len(words))
    weights_K = weights_K / np.maximum(totals[rows_K], _TINY)
    members = sparse.csr_array((weights_K, (rows_K, np.arange(len(keywords)))), shape=(len(words), len(keywords)))
    members.eliminate_zeros()
    return sparse.csr_array(members @ means)


def _means(lines: Ragged, shape: tuple[int, int]) -> sparse.csr_array:
    lengths = lines.lengths.numpy()
    values = np.repeat(1.0 / np.maximum(lengths, 1), lengths)
    means = sparse.csr_array((values, lines.values.numpy(), lines.offsets.numpy()), shape=shape)
    means.sum_duplicates()
    return means


def _encoded_in_context(tokenizer: PreTrainedTokenizerBase, keywords: Sequence[str]) -> Ragged:
    """Encode each keyword as it would be behind another word: many tokenizers have better pieces for it there."""
    word = encode(tokenizer, "item")
    lines = encode_all(tokenizer, [f"item {keyword}" for keyword in keywords], "tokenising keywords")
    padded, _ = lines.pad(torch.arange(len(lines)), fill=-1)
    if not len(lines) or not (padded[:, : len(word)] == torch.tensor(word)).all():
        return encode_all(tokenizer, keywords, "tokenising keywords")
    return Ragged.from_padded(padded[:, len(word) :])


def _weights(words: Sequence[TokenWords]) -> NDArray[np.float64]:
    """Return the lexicon's weights, or log((1 + n) / (number of the level's n tokens with the keyword)): (K,)."""
    for word in words:
        if word.weights is not None and (len(word.weights) != len(word.keywords) or min(word.weights, default=1) <= 0):
            raise SettingsError(f"token '{word.token}': give one positive weight per keyword")
    counts = np.array([len(word.keywords) for word in words])
    levels_K = np.repeat([word.level for word in words], counts)
    # without weights of its own a keyword counts as in TF-IDF: the fewer of the level's tokens have it, the more
    names = np.array([keyword.lower() for word in words for keyword in word.keywords])
    _, places = np.unique(names, return_inverse=True)
    _, group, shared = np.unique(np.stack([levels_K, places]), axis=1, return_inverse=True, return_counts=True)
    tokens = np.bincount([word.level for word in words])[levels_K]
    rare = np.log((1.0 + tokens) / shared[group])
    weighted = np.array([np.nan if word.weights is None else 1.0 for word in words]).repeat(counts)
    weights = [word.weights or (np.nan,) * len(word.keywords) for word in words]
    return np.where(np.isnan(weighted), rare, np.fromiter(itertools.chain.from_iterable(weights), float, len(names)))
