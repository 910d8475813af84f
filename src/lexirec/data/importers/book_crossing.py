"""Importer of Book-Crossing: ratings and books as published (`BX-…csv`, Latin-1, semicolons) or as copied since.

Copies are called `Books.csv` and `Ratings.csv`, hold UTF-8 and commas or semicolons, and some have shorter names of
columns. The events have no times.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept
from lexirec.data.importers.files import Row, find_file, find_files, in_utf8, refuse, unzipped
from lexirec.data.importers.item_texts import plain_text
from lexirec.data.readers.sql_columns import Source

_RATINGS = re.compile(r"^(?:bx[-_ ]?)?(?:book[-_ ]?)?ratings\.csv$", re.IGNORECASE)
_BOOKS = re.compile(r"^(?:bx[-_ ]?)?books\.csv$", re.IGNORECASE)
_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("author", pa.string()),
        ("publisher", pa.string()),
        ("year", pa.int64()),
    ]
)
_NAMES = {"booktitle": "title", "bookauthor": "author", "yearofpublication": "year", "bookrating": "rating"}
_OF_RATINGS, _OF_BOOKS = ("userid", "isbn", "rating"), ("isbn", "title", "author", "year", "publisher")
_TWO_FIELDS = re.compile(r"^(.+?)\\?\";(.+?)\\?\"?$")
"""A title that holds the author too: three rows of the published file lack what separates the two fields."""


def import_book_crossing(folder: Path, conversion: Conversion) -> Imported:
    """Import ratings and books: the two files, or their zip file.

    Raises:
        DataError: A file is missing, a header lacks a column, or a row is bad.
    """
    folder = _folder(folder, conversion)
    ratings = find_file(folder, "BX-Book-Ratings.csv or Ratings.csv", lambda name: bool(_RATINGS.match(name)))
    books = find_file(folder, "BX-Books.csv or Books.csv", lambda name: bool(_BOOKS.match(name)))
    conversion.take_events(
        _ratings(conversion, ratings), EventColumns("userid", "isbn", kept={"rating": Kept("rating", "number")})
    )
    conversion.take_items(_books(conversion, books), _SCHEMA, f"Reading {books.name}")
    conversion.remark("there are no times, so a user's events are in the order of the file")
    conversion.remark("a rating of 0 says that a book was noted without a rating")
    return conversion.finish()


def _folder(folder: Path, conversion: Conversion) -> Path:
    expected = "BX-Book-Ratings.csv or Ratings.csv, or the zip file"
    if not folder.is_dir() or find_files(folder, expected, lambda name: bool(_RATINGS.match(name))):
        return folder
    archive = find_file(folder, expected, lambda name: name.endswith(".zip"))
    folders = unzipped(conversion, archive, lambda name: bool(_RATINGS.match(name) or _BOOKS.match(name)))
    if not folders:
        raise DataError(f"{archive}: the archive holds no BX-Book-Ratings.csv or Ratings.csv.")
    return folders[0]


def _header(path: Path, wanted: tuple[str, ...], plain: Path) -> tuple[list[str], str]:
    """Return the plain names of the columns and the delimiter."""
    with plain.open(encoding="utf-8-sig", newline="") as lines:
        line = lines.readline().rstrip("\r\n")
    delimiter = max(";,\t", key=line.count)
    plain_names = [re.sub(r"[^a-z]", "", name.lower()) for name in next(csv.reader([line], delimiter=delimiter), [])]
    names = [_NAMES.get(name, name) for name in plain_names]
    if lacking := [name for name in wanted if name not in names]:
        raise DataError(f"{path}, line 1: no column is called {lacking[0]}; the header is '{line[:80]}'.")
    return names, delimiter


def _ratings(conversion: Conversion, path: Path) -> Source:
    plain = in_utf8(conversion, path)
    names, delimiter = _header(path, _OF_RATINGS, plain)
    if _has_backslashed_quotes(plain):
        plain = _rewritten(conversion, plain, delimiter)
    source = conversion.work.delimited(path, plain, names, delimiter, header=True)
    trimmed = {name: replace(column, sql=f"trim({column.sql})") for name, column in source.columns.items()}
    return replace(source, columns=trimmed)


def _has_backslashed_quotes(path: Path) -> bool:
    with path.open("rb") as content:
        return any(b'\\"' in line for line in content)


def _rewritten(conversion: Conversion, path: Path, delimiter: str) -> Path:
    """Return a copy in which quotes inside fields are doubled."""
    target = conversion.work.folder / "ratings.csv"
    with path.open(encoding="utf-8-sig", newline="") as lines, target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows(csv.reader(lines, delimiter=delimiter, escapechar="\\"))
    return target


def _books(conversion: Conversion, path: Path) -> Iterator[Row]:
    plain = in_utf8(conversion, path)
    names, delimiter = _header(path, _OF_BOOKS, plain)
    escape = "\\" if delimiter == ";" else None
    with plain.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, escapechar=escape)
        next(reader)
        while True:
            start = reader.line_num + 1
            try:
                fields = next(reader, None)
            except csv.Error as error:
                refuse(conversion, path, start, b"", f"malformed quotes ({error})")
                continue
            if fields is None:
                return
            if not fields:
                continue
            book = _repaired(dict(zip(names, fields)), len(fields) < len(names))
            isbn = book.get("isbn", "").strip()
            if len(fields) > len(names) or "publisher" not in book or not isbn:
                reason = (
                    "too many fields" if len(fields) > len(names) else "too few fields" if isbn else "empty item id"
                )
                refuse(conversion, path, start, delimiter.join(fields).encode(), reason)
                continue
            yield _item(isbn, book)


def _repaired(book: dict[str, str], short: bool) -> dict[str, str]:
    """Take title and author apart where they stand in one field, and the later fields therefore one place too early."""
    match = _TWO_FIELDS.match(book.get("title", ""))
    if match is None or not (short or not book.get("year", "").strip().isdigit()):
        return book
    return {
        **book,
        "title": match[1],
        "author": match[2],
        "year": book.get("author", ""),
        "publisher": book.get("year", ""),
    }


def _item(isbn: str, book: dict[str, str]) -> Row:
    year = book["year"].strip()
    return {
        "item_id": isbn,
        "title": plain_text(book["title"]),
        "author": plain_text(book["author"]),
        "publisher": plain_text(book["publisher"]),
        "year": int(year) if year.isdecimal() and int(year) > 0 else None,
    }
