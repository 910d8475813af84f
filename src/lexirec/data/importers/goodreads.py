"""Importer of Goodreads (UCSD Book Graph): interactions, books, and names of authors and genres where they are there.

An event is a book on a user's shelf, read or not (`is_read`), at the moment it was added; `rating` 0 means that none
was given. `read_at`, `started_at` and `date_updated` are kept as they are written. The summary
`goodreads_interactions.csv` has no times and numbers of its own for books, which `book_id_map.csv` resolves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept, Moment, need, present
from lexirec.data.importers.files import Row, find_file, find_files, optional_file
from lexirec.data.importers.item_texts import plain_text
from lexirec.data.readers.sql_columns import LINE, ROW, Column, Source
from lexirec.data.readers.validation import MALFORMED_LINE, Check

_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("authors", pa.list_(pa.string())),
        ("categories", pa.list_(pa.string())),
        ("description", pa.string()),
        ("publisher", pa.string()),
        ("year", pa.int64()),
        ("language", pa.string()),
        ("work_id", pa.string()),
    ]
)
_JSON = r"(?:_\w+)?\.json(?:\.gz|\.zst)?$"
_INTERACTIONS, _REVIEWS = re.compile(rf"^goodreads_interactions{_JSON}"), re.compile(rf"^goodreads_reviews{_JSON}")
_SUMMARY = re.compile(r"^goodreads_interactions\.csv(?:\.gz|\.zst)?$")
_BOOKS, _AUTHORS = re.compile(rf"^goodreads_books{_JSON}"), re.compile(rf"^goodreads_book_authors{_JSON}")
_GENRES = re.compile(rf"^goodreads_book_genres{_JSON}")
_TIME = "%a %b %d %H:%M:%S %z %Y"
_KEPT = {
    "rating": Kept("rating", "number"),
    "is_read": Kept("is_read", "flag"),
    **{name: Kept(name) for name in ("date_updated", "read_at", "started_at")},
}
_OLDER = {"is_read": Kept("isRead", "flag")}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHELVING = _words(
    "read reading unread reread own owned library kindle nook scribd audible audio audiobook audiobooks ebook ebooks"
    " favorite favorites favourite favourites faves wish wishlist default dnf finish finished abandoned maybe hold"
    " borrowed calibre buy bought gave giveaway giveaways arc arcs netgalley tbr shelf shelves shelfari star stars"
    " series review reviewed next later my i me club bookclub collection loved meh general signed want have book books"
)
"""Words of shelves that say what a reader did with a book instead of what it is about."""
_MOST_CATEGORIES = 5


def import_goodreads(folder: Path, conversion: Conversion) -> Imported:
    """Import interactions (else reviews, else the summary in CSV) and books, all of them or those of one genre.

    Raises:
        DataError: A file is missing or ambiguous, or a row is bad.
    """
    detailed = next((each for each in (_INTERACTIONS, _REVIEWS) if _any(folder, each)), None)
    if detailed is None and _any(folder, _SUMMARY):
        _take_summary(conversion, folder)
    else:
        expected = "goodreads_interactions….json.gz or goodreads_interactions.csv"
        path = find_file(folder, expected, lambda name: bool((detailed or _INTERACTIONS).match(name)))
        source = conversion.work.open(path)
        kept = {**present(source, _OLDER), **present(source, _KEPT)}
        conversion.take_events(source, EventColumns("user_id", "book_id", Moment("date_added", formats=(_TIME,)), kept))
    conversion.remark(
        "events include books that were shelved and not read (is_read); a rating of 0 means none was given"
    )
    books = find_file(folder, "goodreads_books….json.gz", lambda name: bool(_BOOKS.match(name)))
    conversion.take_items(_books(conversion, folder, books), _SCHEMA, f"Reading {books.name}")
    return conversion.finish()


def _any(folder: Path, pattern: re.Pattern[str]) -> bool:
    return bool(find_files(folder, "goodreads_interactions….json.gz", lambda name: bool(pattern.match(name))))


def _take_summary(conversion: Conversion, folder: Path) -> None:
    summary = find_file(folder, "goodreads_interactions.csv", lambda name: bool(_SUMMARY.match(name)))
    source = conversion.work.open(summary)
    books = find_file(
        folder,
        "book_id_map.csv, which says which books the numbers of goodreads_interactions.csv are,",
        "book_id_map.csv".__eq__,
    )
    source = _mapped(conversion, source, "book_id", books)
    if (users := optional_file(folder, "user_id_map.csv", "user_id_map.csv".__eq__)) is not None:
        source = _mapped(conversion, source, "user_id", users)
    conversion.take_events(source, EventColumns("user_id", "book_id", kept=present(source, _KEPT)))
    conversion.remark("goodreads_interactions.csv has no times, so a user's events are in the order of the file")


def _mapped(conversion: Conversion, source: Source, name: str, path: Path) -> Source:
    """Return the source with the ids of a map (`NAME_csv`, `NAME`) in place of its numbers; unknown numbers stay."""
    ids = conversion.work.open(path)
    selected = {"number": need(ids, f"{name}_csv").text, "id": need(ids, name).text}
    known = Check("empty id", "coalesce(number, '') = '' OR coalesce(id, '') = ''", name, "id", "both are needed")
    table = conversion.checked(ids, selected, [MALFORMED_LINE, known])
    column = need(source, name)
    scan = (
        f"(SELECT raw.*, {table}.id AS mapped_{name} FROM {source.scan} AS raw"
        f" LEFT JOIN (SELECT number, min(id) AS id FROM {table} GROUP BY number) AS {table}"
        f" ON {table}.number = {column.text})"
    )
    mapped = Column(name, "VARCHAR", f"coalesce(mapped_{name}, {column.text})")
    return replace(source, scan=scan, columns={**source.columns, name: mapped})


def _books(conversion: Conversion, folder: Path, path: Path) -> Iterator[Row]:
    """Yield the books in the order of the file, with names of authors and genres where their files are there."""
    source = conversion.work.open(path)
    authors = f"TRY_CAST(json_extract({LINE}, '$.authors') AS JSON[])"
    ids = "[json_extract_string(e, '$.author_id') FOR e IN {0} IF {1}]"
    main = ids.format(authors, "coalesce(json_extract_string(e, '$.role'), '') = ''")
    selected = {
        **{name: f"json_extract_string({LINE}, '$.{key}')" for name, key in _FIELDS.items()},
        "authors": f"CASE WHEN len({main}) > 0 THEN {main} ELSE {ids.format(authors, 'true')} END",
        "shelves": f"json_extract_string({LINE}, '$.popular_shelves[*].name')",
    }
    empty = Check("empty item id", "trim(coalesce(item_id, '')) = ''", "book_id", "item_id", "every book needs an id")
    books = conversion.checked(source, selected, [MALFORMED_LINE, empty])
    names, genres = _names(conversion, folder), _genres(conversion, folder)
    for row in conversion.rows(
        f"SELECT books.*, names.names, genres.genres FROM {books} AS books LEFT JOIN"
        f" (SELECT book, list(name ORDER BY place) AS names FROM (SELECT {ROW} AS book, unnest(authors) AS author,"
        f" generate_subscripts(authors, 1) AS place FROM {books}) JOIN {names} AS named USING (author) GROUP BY book)"
        f" AS names ON names.book = books.{ROW} LEFT JOIN {genres} AS genres USING (item_id) ORDER BY books.{ROW}"
    ):
        yield _item(row)


_FIELDS = {
    "item_id": "book_id",
    "title": "title",
    "plain": "title_without_series",
    "description": "description",
    "publisher": "publisher",
    "year": "publication_year",
    "language": "language_code",
    "work_id": "work_id",
}


def _names(conversion: Conversion, folder: Path) -> str:
    """Read the names of authors; returns the name of their table, an empty one without their file."""
    path = optional_file(folder, "goodreads_book_authors.json.gz", lambda name: bool(_AUTHORS.match(name)))
    if path is None:
        conversion.remark("there is no goodreads_book_authors.json.gz in the folder, so books have no authors")
        return "(SELECT NULL::VARCHAR AS author, NULL::VARCHAR AS name WHERE false)"
    source = conversion.work.open(path)
    selected = {"author": need(source, "author_id").text, "name": need(source, "name").text}
    table = conversion.checked(source, selected, [MALFORMED_LINE])
    return f"(SELECT author, any_value(name) AS name FROM {table} WHERE coalesce(name, '') <> '' GROUP BY author)"


def _genres(conversion: Conversion, folder: Path) -> str:
    """Read the genres of books, most votes first; returns the name of their table, an empty one without their file."""
    path = optional_file(folder, "goodreads_book_genres_initial.json.gz", lambda name: bool(_GENRES.match(name)))
    if path is None:
        return "(SELECT NULL::VARCHAR AS item_id, NULL::VARCHAR[] AS genres WHERE false)"
    source = conversion.work.open(path)
    votes = f"map_entries(TRY_CAST(json_extract({LINE}, '$.genres') AS MAP(VARCHAR, BIGINT)))"
    ordered = f"[e.name FOR e IN list_sort([{{'votes': -v.value, 'name': v.key}} FOR v IN {votes}])]"
    table = conversion.checked(source, {"item_id": need(source, "book_id").text, "genres": ordered}, [MALFORMED_LINE])
    return f"(SELECT item_id, any_value(genres) AS genres FROM {table} GROUP BY item_id)"


def _is_subject(words: list[str]) -> bool:
    return words[0] not in ("", "to") and not any(word in _SHELVING or word.isdecimal() for word in words)


def _item(row: Row) -> Row:
    shelves = [" ".join(words) for name in row["shelves"] or [] if _is_subject(words := str(name).split("-"))]
    year = str(row["year"] or "")
    return {
        "item_id": row["item_id"],
        "title": plain_text(row["title"]) or plain_text(row["plain"]),
        "authors": [name for name in map(plain_text, row["names"] or []) if name] or None,
        "categories": row["genres"] or shelves[:_MOST_CATEGORIES] or None,
        "description": plain_text(row["description"]),
        "publisher": plain_text(row["publisher"]),
        "year": int(year) if year.isdecimal() and len(year) == 4 else None,
        "language": row["language"] or None,
        "work_id": row["work_id"] or None,
    }
