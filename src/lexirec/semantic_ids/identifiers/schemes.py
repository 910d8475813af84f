"""Identifier schemes: lexical (GRAM), keyword (IDGenRec), text field, and codes as tokens (TIGER)."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.base import IdentifierSettings, NamingInputs
from lexirec.semantic_ids.identifiers.identifiers import Cut, Identifiers, pad_rows, spell
from lexirec.semantic_ids.lexicon.field_names import field_name_terms, without_field_names
from lexirec.semantic_ids.lexicon.tfidf import best_terms, split_terms, tf_idf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class LexicalIdentifiers(IdentifierSettings):
    """Settings of lexical identifiers: the best terms of the cells on an item's path (GRAM)."""

    needs: ClassVar[tuple[str, ...]] = ("codes", "lexicon")
    kind: Literal["lexical"] = "lexical"
    distinct_siblings: bool = False
    """Give sibling cells different tokens; GRAM merges siblings with equal best tokens."""
    cut: Cut = "full"
    """Keep a token for every level (`full`), or cut at the shortest unique prefix."""

    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Return identifiers of the lexicon's terms on the items' paths."""
        distinct, cut = self.distinct_siblings, self.cut
        lexicon = without_field_names(inputs.lexicon, inputs.catalog)
        return Identifiers.from_lexicon(lexicon, inputs.codes, inputs.tokenizer, distinct_siblings=distinct, cut=cut)


class KeywordIdentifiers(IdentifierSettings):
    """Settings of keyword identifiers: the best terms of an item's own text, without hierarchy (as IDGenRec)."""

    kind: Literal["keyword"] = "keyword"
    length: Annotated[int, Field(ge=1)] = 7
    """Most terms of an identifier, before a counter."""
    lowercase: bool = True
    """Convert texts to lower case first."""
    cut: Cut = "full"
    """As for lexical identifiers."""

    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Return identifiers of the best terms of the items' texts."""
        return keyword_identifiers(inputs.catalog, inputs.tokenizer, self)


class TextIdentifiers(IdentifierSettings):
    """Settings of text identifiers: a text field, such as the title or the categories."""

    kind: Literal["text"] = "text"
    field: str = "title"
    """The field; `categories` builds identifiers from categories."""
    length: Annotated[int, Field(ge=1)] = 16
    """Most pieces of an identifier, before a counter."""
    lowercase: bool = True
    """Convert texts to lower case first."""
    cut: Cut = "full"
    """As for lexical identifiers."""

    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Return identifiers of a text field."""
        return text_identifiers(inputs.catalog.field(self.field), inputs.tokenizer, self)


class CodeIdentifiers(IdentifierSettings):
    """Settings of code identifiers: the codes as new tokens `<a_12><b_0>…` (as TIGER and others on RQ-VAE codes)."""

    needs: ClassVar[tuple[str, ...]] = ("codes",)
    kind: Literal["codes"] = "codes"
    cut: Cut = "full"
    """As for lexical identifiers."""

    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Return identifiers of the items' codes, as tokens that a model adds to the backbone's vocabulary."""
        return codes_as_tokens(inputs.codes, cut=self.cut)


def keyword_identifiers(
    texts: Sequence[str] | Catalog,
    tokenizer: PreTrainedTokenizerBase | None = None,
    settings: KeywordIdentifiers | None = None,
) -> Identifiers:
    """Build identifiers from the best TF-IDF terms of each item's own text, best first.

    Source: the keyword identifiers of GRAM's comparison (its paper, table 6) and IDGenRec (SIGIR 2024), which trains a
    model to choose the words; here TF-IDF chooses them, and a counter makes equal identifiers unique.

    Args:
        texts: One text per item, or a catalogue, of which all text fields are used, without their names.
        tokenizer: The backbone's tokenizer, whose pieces are the terms; None takes words.
        settings: Of the identifiers.

    Raises:
        DataError: no text has a word.
    """
    settings = settings or KeywordIdentifiers()
    catalog = texts if isinstance(texts, Catalog) else None
    given = texts.texts() if isinstance(texts, Catalog) else texts
    terms = split_terms(given, tokenizer, lowercase=settings.lowercase)
    usable = terms.usable()
    if catalog is not None:
        usable &= ~field_name_terms(terms.vocabulary, catalog)
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
