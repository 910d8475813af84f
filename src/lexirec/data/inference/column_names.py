"""Columns found by their names, compared without case, accents and punctuation (`movieId`, `movie_id`)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from lexirec.data.readers.sql_columns import Column, Source

SAMPLE = 20_000
"""Rows that shares are measured on."""
ENOUGH = 0.5
"""Share of the events whose item must be known for a pair of columns to count as item ids; of texts that must have
words."""
MOSTLY = 0.98
"""Share of the events that must have a time for it to order them; of the ids of items that must be distinct."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORD_OF_ANY_SCRIPT = re.compile(r"[^\W\d_]+|\d+")


def names(text: str) -> tuple[str, ...]:
    """Return the names of a list separated by blanks."""
    return tuple(text.split())


def plain(name: str) -> str:
    """Return a name without case, accents and punctuation."""
    return "".join(letter for letter in _unaccented(name).casefold() if letter.isalnum())


def words_of(name: str) -> list[str]:
    """Return the words of a name, plain: `bookTitle_EN` has book, title and en."""
    unaccented = _unaccented(name)
    return [plain(word) for word in (_WORD if unaccented.isascii() else _WORD_OF_ANY_SCRIPT).findall(unaccented)]


def called(source: Source, names: Sequence[str], besides: Sequence[Column] = ()) -> Iterator[Column]:
    """Yield the columns with one of these names, likeliest first, except those of `besides`."""
    known = {plain(name): column for name, column in reversed(source.columns.items())}
    used = {column.name for column in besides}
    yield from (known[plain(name)] for name in names if plain(name) in known and known[plain(name)].name not in used)


def first_called(source: Source, names: Sequence[str], besides: Sequence[Column] = ()) -> Column | None:
    """Return the likeliest column with one of these names that holds no lists, except those of `besides`."""
    return next((column for column in called(source, names, besides) if not column.is_list), None)


def _unaccented(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
