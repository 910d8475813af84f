"""Identifier schemes: lexical (GRAM), keyword (IDGenRec), text field, and codes as tokens (TIGER)."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from lexirec.core.config import Settings, usual_kind
from lexirec.core.errors import DataError, SettingsError
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Cut, Identifiers, pad_rows, spell
from lexirec.semantic_ids.lexicon.lexicon import Lexicon
from lexirec.semantic_ids.lexicon.tfidf import best_terms, split_terms, tf_idf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lexirec.data.catalog import Catalog


class LexicalIdentifiers(Settings):
    """Settings of lexical identifiers: the best terms of the cells on an item's path (GRAM)."""

    kind: Literal["lexical"] = "lexical"
    distinct_siblings: bool = False
    """Give sibling cells different tokens; GRAM merges siblings with equal best tokens."""
    cut: Cut = "full"
    """Keep a token for every level (`full`), or cut at the shortest unique prefix."""


class KeywordIdentifiers(Settings):
    """Settings of keyword identifiers: the best terms of an item's own text, without hierarchy (as IDGenRec)."""

    kind: Literal["keyword"] = "keyword"
    length: Annotated[int, Field(ge=1)] = 7
    """Most terms of an identifier, before a counter."""
    lowercase: bool = True
    """Lower the case of texts first."""
    cut: Cut = "full"
    """As for lexical identifiers."""


class TextIdentifiers(Settings):
    """Settings of text identifiers: a text field, such as the title or the categories."""

    kind: Literal["text"] = "text"
    field: str = "title"
    """The field; `categories` names items by their category."""
    length: Annotated[int, Field(ge=1)] = 16
    """Most pieces of an identifier, before a counter."""
    lowercase: bool = True
    """Lower the case of texts first."""
    cut: Cut = "full"
    """As for lexical identifiers."""


class CodeIdentifiers(Settings):
    """Settings of code identifiers: the codes as new tokens `<a_12><b_0>…` (as TIGER and others on RQ-VAE codes)."""

    kind: Literal["codes"] = "codes"
    cut: Cut = "full"
    """As for lexical identifiers."""


IdentifierSettings = Annotated[
    LexicalIdentifiers | KeywordIdentifiers | TextIdentifiers | CodeIdentifiers,
    Field(discriminator="kind"),
    usual_kind("lexical"),
]


class PermutedIdentifiers(Settings):
    """The control: identifiers of any kind, dealt out to the items at random; the tree stays, its meaning goes."""

    kind: Literal["permuted"] = "permuted"
    of: IdentifierSettings = LexicalIdentifiers()
    """The identifiers that are dealt out."""
    seed: int = 0
    """Of who gets which."""


def name_items(
    settings: LexicalIdentifiers | KeywordIdentifiers | TextIdentifiers | CodeIdentifiers | PermutedIdentifiers,
    catalog: Catalog,
    codes: Codes | None = None,
    lexicon: Lexicon | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Identifiers:
    """Return the identifiers of a catalogue's items by any of the kinds.

    Raises:
        SettingsError: lexical identifiers need codes and a lexicon, those of kind `codes` codes.
        DataError: as the kinds say.
    """
    match settings:
        case PermutedIdentifiers():
            return permuted(name_items(settings.of, catalog, codes, lexicon, tokenizer), settings.seed)
        case KeywordIdentifiers():
            return keyword_identifiers(catalog.texts(), tokenizer, settings)
        case TextIdentifiers():
            return text_identifiers(catalog.field(settings.field), tokenizer, settings)
        case CodeIdentifiers() if codes is not None:
            return codes_as_tokens(codes, tokenizer, cut=settings.cut)
        case LexicalIdentifiers() if codes is not None and lexicon is not None:
            distinct, cut = settings.distinct_siblings, settings.cut
            return Identifiers.from_lexicon(lexicon, codes, tokenizer, distinct_siblings=distinct, cut=cut)
    needed = "codes" if isinstance(settings, CodeIdentifiers) else "codes and a lexicon"
    raise SettingsError(f"identifiers of kind '{settings.kind}' need {needed}; give them, or choose another kind")


def permuted(identifiers: Identifiers, seed: int) -> Identifiers:
    """Deal identifiers out anew, every item another one's where it can (a random cycle through all items)."""
    order = np.random.default_rng(seed).permutation(len(identifiers))
    tokens = np.empty_like(identifiers.tokens)
    tokens[order] = identifiers.tokens[np.roll(order, 1)]
    return Identifiers(tokens, identifiers.pieces)


def keyword_identifiers(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    settings: KeywordIdentifiers | None = None,
) -> Identifiers:
    """Build identifiers from the best TF-IDF terms of each item's own text, best first.

    Source: the keyword identifiers of GRAM's comparison (its paper, table 6) and IDGenRec (SIGIR 2024), which trains a
    model to choose the words; here TF-IDF chooses them, and a counter makes equal identifiers unique.

    Raises:
        DataError: no text has a word.
    """
    settings = settings or KeywordIdentifiers()
    terms = split_terms(texts, tokenizer, lowercase=settings.lowercase)
    usable = terms.usable()
    scores = sparse.csr_array(tf_idf(terms, tf_pieces=None) @ sparse.diags_array(usable.astype(np.float64)))
    scores.eliminate_zeros()
    best = best_terms(scores, settings.length, usable)
    return spell(pad_rows(best.indices, np.diff(best.indptr)), terms.vocabulary, tokenizer, cut=settings.cut)


def text_identifiers(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    settings: TextIdentifiers | None = None,
) -> Identifiers:
    """Build identifiers from the first pieces of a text, in order; equal ones and prefixes of others get a counter.

    Raises:
        DataError: no text has a word.
    """
    settings = settings or TextIdentifiers()
    terms = split_terms(texts, tokenizer, lowercase=settings.lowercase)
    rows = np.repeat(np.arange(len(terms)), np.diff(terms.offsets))
    place = np.arange(len(terms.numbers)) - terms.offsets[rows]
    kept = (place < settings.length) & ~np.isin(terms.numbers, list(terms.special))
    tokens = pad_rows(terms.numbers[kept], np.bincount(rows[kept], minlength=len(terms)))
    return spell(tokens, terms.vocabulary, tokenizer, cut=settings.cut)


def codes_as_tokens(
    codes: Codes, tokenizer: PreTrainedTokenizerBase | None = None, *, cut: Cut = "full"
) -> Identifiers:
    """Build identifiers from the codes as new tokens, `<a_12><b_0>…`, a letter per level.

    Items with equal codes get an additional token, after four levels `<e_0>`, `<e_1>` ….

    Source: TIGER (NeurIPS 2023), which gives that token to all items.

    Raises:
        DataError: more levels than letters, or a tokenizer without these tokens: build the identifiers without it, add
            `identifiers.new_pieces(tokenizer)` and call `identifiers.in_vocabulary(tokenizer)`.
    """
    if codes.levels >= len(ascii_lowercase):
        raise DataError(
            f"codes have {codes.levels} levels; at most {len(ascii_lowercase) - 1} can be written as tokens"
        )
    widths = codes.values.max(axis=0).astype(np.int64) + 1
    starts = np.cumsum(widths) - widths
    pieces = [f"<{ascii_lowercase[level]}_{code}>" for level in range(codes.levels) for code in range(widths[level])]
    counter = f"<{ascii_lowercase[codes.levels]}_{{}}>"
    identifiers = spell((codes.values + starts).astype(np.int32), pieces, cut=cut, counter=counter)
    return identifiers if tokenizer is None else identifiers.in_vocabulary(tokenizer)
