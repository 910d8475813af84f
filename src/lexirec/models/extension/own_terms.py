"""The terms of new items' texts, weighted as the trained items' terms were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from transformers import PreTrainedTokenizerBase

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.lexicon.field_names import field_name_terms
from lexirec.semantic_ids.lexicon.lexicon import TfIdfLexicon
from lexirec.semantic_ids.lexicon.tfidf import best_terms, split_terms


def own_terms(
    rows: Catalog, trained: Catalog, tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any]
) -> list[list[int]]:
    """Return each row's best terms as token ids, best first; a text without a usable term has none.

    A term counts tf · idf, where idf = ln(1 + (M − df + .5) / (df + .5)) is that of the M trained items.

    Args:
        rows: The new items.
        trained: The items that the recommender was trained with.
        tokenizer: The recommender's, whose pieces are the terms.
        settings: Of the lexicon; of lexicons that were written instead of counted, the defaults count.
    """
    how = TfIdfLexicon.model_validate(settings) if settings.get("kind") == "tf-idf" else TfIdfLexicon()
    before = split_terms(trained.texts(), tokenizer, lowercase=how.lowercase)
    terms = split_terms(rows.texts(), tokenizer, lowercase=how.lowercase)
    df = np.bincount(before.counts().indices, minlength=len(before.vocabulary))
    idf = np.log1p((len(before) - df + 0.5) / (df + 0.5))
    counts = terms.counts(how.tf_pieces)
    usable = before.usable() & ~field_name_terms(before.vocabulary, trained)
    scores = sparse.csr_array(counts @ sparse.diags_array(idf * usable))
    scores.eliminate_zeros()
    best = best_terms(scores, how.candidates, usable)
    return [part.tolist() for part in np.split(best.indices, best.indptr[1:-1])]


def first_pieces(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any]
) -> list[list[int]]:
    """Return the first pieces of each text in order, special ones left out (identifiers of kind `text`)."""
    terms = split_terms(texts, tokenizer, lowercase=bool(settings.get("lowercase", True)))
    rows = np.split(terms.numbers, terms.offsets[1:-1])
    return [[int(piece) for piece in row if int(piece) not in terms.special] for row in rows]
