"""Contrastive lexicon: terms frequent in a cell and rare in other cells (class TF-IDF), without a language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import normalize

from lexirec.core.progress import track
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.cell_samples import (
    choose_items,
    distances_to_centre,
    entries_at,
    indicator,
    title_field,
)
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, LexiconLevel
from lexirec.semantic_ids.lexicon.phrases import Phrases, find_phrases
from lexirec.semantic_ids.lexicon.tfidf import best_terms

if TYPE_CHECKING:
    from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon

_TITLES = 3
_TITLE_WORDS = 10
_CATEGORIES = 3
_NAMED = 8
_LONG = 150
"""Mean length in characters from which a text field counts as running text."""
_MODEL_NUMBER = re.compile(r"(?<!\S)(?=(?:[\w-]*\d){5})[\w-]+(?!\S)")
_EDGES = " -–—,;:|/&'\""


@dataclass(frozen=True, eq=False)
class _Shop:
    """Phrases, categories, titles and brands of all items, the parts of descriptions."""

    phrases: Phrases
    categories: Phrases
    titles: list[str]
    brands: list[str]


def contrastive_lexicon(catalog: Catalog, codes: Codes, settings: ContrastiveLexicon) -> Lexicon:
    """Name and describe cells by the phrases that distinguish their items from those of the level's other cells.

    A phrase's score in a cell is p · ln(p / q): p is the share of the cell's items that have it (of k items,
    k · k / (k + 1), so that a phrase of a single item weighs half), q the share of the other items (plus one item).
    With `settings.conditioned` it is the mean of that and of the same score within each parent prefix, weighted by
    items. Related to class TF-IDF (Grootendorst 2022, BERTopic: tf · ln(1 + mean length / total tf)); with shares of
    items, long descriptions do not outweigh short ones. Brands are no terms.

    Args:
        catalog: The items; all text fields are read, and title, brand and categories are used as such.
        codes: The items' codes.
        settings: Number of keywords, and whether tokens are described under their parents.
    """
    shop = _read(catalog)
    centred = sparse.csr_array(normalize(shop.phrases.presence @ sparse.diags_array(_rarity(shop.phrases.presence))))
    described = min(codes.levels, settings.levels or codes.levels)
    levels = [_level(shop, codes, level, centred, settings) for level in track(range(described), "naming the cells")]
    return Lexicon(tuple(levels), shop.phrases.vocabulary)


def contrast(
    presence: sparse.csr_array, groups: NDArray[np.int64], families: NDArray[np.int64] | None = None
) -> sparse.csr_array:
    """Score the terms that distinguish the items of each group from the other items of its family.

    Args:
        presence: float64 (n_items, terms), 1 where an item has the term.
        groups: int64 (n_items,), numbered without gaps.
        families: int64 (n_items,), constant in each group; None means one family of all items.

    Returns:
        p · ln(p / q), only where positive: float64 (groups, terms); see `contrastive_lexicon`.
    """
    families = np.zeros_like(groups) if families is None else families
    inside: sparse.csr_array = indicator(groups) @ presence
    around: sparse.csr_array = indicator(families) @ presence
    sizes, totals = np.bincount(groups), np.bincount(families)
    family = families[np.unique(groups, return_index=True)[1]]
    rows = np.repeat(np.arange(inside.shape[0]), np.diff(inside.indptr))
    # only terms that occur in a group can score, so all counts follow the entries of the sparse matrix `inside`
    others = entries_at(around, family[rows], inside.indices) - inside.data
    share = inside.data**2 / (inside.data + 1) / sizes[rows]
    elsewhere = (others + 1) / (totals[family[rows]] - sizes[rows] + 1)
    inside.data = np.maximum(share * np.log(share / elsewhere), 0.0)
    inside.eliminate_zeros()
    return inside


def _level(
    shop: _Shop, codes: Codes, level: int, centred: sparse.csr_array, settings: ContrastiveLexicon
) -> LexiconLevel:
    cells = codes.cells(level)
    scores = contrast(shop.phrases.presence, cells)
    if settings.conditioned and level:
        scores = sparse.csr_array((scores + _under_parents(shop.phrases.presence, codes, level)) / 2)
    usable = np.ones(scores.shape[1], dtype=np.bool_)
    best = best_terms(scores, settings.keywords, usable)
    typical = choose_items(cells, distances_to_centre(centred, cells), _TITLES)
    categories = best_terms(
        contrast(shop.categories.presence, cells), _CATEGORIES, np.ones(len(shop.categories.vocabulary), dtype=np.bool_)
    )
    descriptions = [
        _describe(
            [shop.categories.vocabulary[place] for place in _row(categories, cell)],
            [shop.phrases.vocabulary[place] for place in _row(best, cell)[:_NAMED]],
            [_plain(shop.titles[item], shop.brands[item]) for item in typical.row(cell)],
        )
        for cell in range(best.shape[0])
    ]
    return LexiconLevel(best.indptr.astype(np.int64), best.indices.astype(np.int32), best.data, tuple(descriptions))


def _under_parents(presence: sparse.csr_array, codes: Codes, level: int) -> sparse.csr_array:
    """Return the scores of a level's cells within their parent prefixes, averaged over items."""
    groups = codes.prefixes(level)
    scores = contrast(presence, groups, codes.prefixes(level - 1))
    cells = codes.cells(level)[np.unique(groups, return_index=True)[1]]
    weights = np.bincount(groups) / codes.counts(level)[cells]
    return sparse.csr_array(indicator(cells) @ sparse.diags_array(weights) @ scores)


def _describe(categories: Sequence[str], terms: Sequence[str], titles: Sequence[str]) -> str:
    """Return up to three sentences: categories, distinguishing terms, and typical titles."""
    sentences = [f"Products of the kind {_listed(categories)}." if categories else ""]
    sentences.append(f"They are marked by {_listed(terms)}." if terms else "")
    sentences.append(f"Typical ones: {'; '.join(dict.fromkeys(title for title in titles if title))}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([part for part in (", ".join(words[:-1]), words[-1]) if part])


def _row(matrix: sparse.csr_array, row: int) -> NDArray[np.int32]:
    found: NDArray[np.int32] = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
    return found


def _rarity(presence: sparse.csr_array) -> NDArray[np.float64]:
    items = np.asarray(presence.sum(axis=0)).ravel()
    return np.asarray(np.log1p((presence.shape[0] - items + 0.5) / (items + 0.5)))


# --------------------------------------------------------------------------------------------------- reading items


def _read(catalog: Catalog) -> _Shop:
    columns = [catalog.field(name) for name in catalog.text_fields if name != "brand"]
    short = [column for column in columns if np.mean([len(text) for text in column]) < _LONG]
    long = [column for column in columns if not any(column is other for other in short)]
    brands = catalog.field("brand") if "brand" in catalog.table.column_names else [""] * len(catalog)
    return _Shop(
        find_phrases(_joined(short, len(catalog)), _joined(long, len(catalog)), brands=brands),
        _categories(catalog),
        catalog.field(title_field(catalog)),
        brands,
    )


def _joined(columns: Sequence[Sequence[str]], rows: int) -> list[str]:
    return ["\n".join(row) for row in zip(*columns)] if columns else [""] * rows


def _plain(title: str, brand: str) -> str:
    """Return a title without brand and model numbers, at most ten words long."""
    if brand:
        title = re.sub(rf"(?<!\w){re.escape(brand)}(?!\w)", " ", title, flags=re.IGNORECASE)
    words = _MODEL_NUMBER.sub(" ", title).split()
    own = set(brand.lower().split())
    start = next((place for place, word in enumerate(words) if word.lower() not in own), 0)
    return " ".join(words[start : start + _TITLE_WORDS]).strip(_EDGES).removesuffix(".")


def _categories(catalog: Catalog) -> Phrases:
    """Return which item is in which category; a value that is no list is one category."""
    items, names = np.zeros(0, dtype=np.int64), pa.array([], pa.string())
    if "categories" in catalog.table.column_names:
        column = catalog.table.column("categories").combine_chunks()
        listed = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        items = np.asarray(pc.list_parent_indices(column)) if listed else np.arange(len(column))
        names = pc.list_flatten(column) if listed else column
    named = np.asarray(pc.fill_null(pc.greater(pc.utf8_length(names.cast(pa.string())), 0), False), dtype=np.bool_)
    coded = pc.utf8_lower(names.cast(pa.string()).filter(pa.array(named))).dictionary_encode()
    vocabulary = tuple(coded.dictionary.to_pylist())
    entries = (items[named], np.asarray(coded.indices, dtype=np.int64))
    presence = sparse.coo_array((np.ones(len(entries[0])), entries), shape=(len(catalog), len(vocabulary))).tocsr()
    presence.data[:] = 1.0
    return Phrases(presence, vocabulary)
