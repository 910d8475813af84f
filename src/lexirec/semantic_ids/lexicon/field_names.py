"""Terms that are in item texts only as names of their fields (`title: …; brand: …`), which name no item."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, LexiconLevel
from lexirec.semantic_ids.lexicon.tfidf import readable

_LETTERS = re.compile(r"[\W_]+")
_MARKS = frozenset(":; ")


def field_name_terms(vocabulary: tuple[str, ...], catalog: Catalog) -> NDArray[np.bool_]:
    """Return which terms come from the names of the catalogue's text fields: bool (vocabulary,).

    These are the words of the names, the marks between fields, and pieces of the names that no text has.
    """
    names = [_LETTERS.sub("", name).lower() for name in catalog.text_fields]
    words = {word for name in catalog.text_fields for word in _LETTERS.split(name.lower())} | set(names)
    letters = [_LETTERS.sub("", readable(term)).lower() for term in vocabulary]
    pieces = {piece for piece in set(letters) - words if piece and any(piece in name for name in names)}
    unused = pieces - _used(pieces, catalog)
    marks = [bool(term) and set(readable(term)) <= _MARKS for term in vocabulary]
    found = [
        mark or (each != "" and (each in words or each in unused)) for mark, each in zip(marks, letters, strict=True)
    ]
    return np.array(found, dtype=np.bool_)


def without_field_names(lexicon: Lexicon, catalog: Catalog) -> Lexicon:
    """Return a lexicon of counted terms without those of the fields' names; one of written keywords as it is."""
    if any(level.descriptions is not None for level in lexicon.levels):
        return lexicon
    named = field_name_terms(lexicon.vocabulary, catalog)
    done: dict[int, LexiconLevel] = {}  # levels of a tree that repeat the level above stay the same object
    for level in lexicon.levels:
        done.setdefault(id(level), _without(level, named))
    return Lexicon(tuple(done[id(level)] for level in lexicon.levels), lexicon.vocabulary)


def _used(pieces: set[str], catalog: Catalog) -> set[str]:
    """Return the pieces that are in a text of an item."""
    columns = [pc.utf8_lower(pa.array(catalog.field(name), pa.string())) for name in catalog.text_fields]
    return {piece for piece in pieces if any(pc.any(pc.match_substring(each, piece)).as_py() for each in columns)}


def _without(level: LexiconLevel, named: NDArray[np.bool_]) -> LexiconLevel:
    kept = ~named[level.terms]
    before = np.concatenate([[0], np.cumsum(kept)])
    return LexiconLevel(before[level.offsets].astype(np.int64), level.terms[kept], level.scores[kept])
