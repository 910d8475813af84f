"""Importer of MovieLens: `u.data` (100K), `.dat` files (1M, 10M), `.csv` files (20M, 25M, 32M, latest)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept, Moment
from lexirec.data.importers.files import Row, find_file, refuse, unzipped
from lexirec.data.readers.sql_columns import Source

_MOVIES = pa.schema(
    [("item_id", pa.string()), ("title", pa.string()), ("categories", pa.list_(pa.string())), ("year", pa.int64())]
)
_YEAR = re.compile(r"\((\d{4})\)\s*$")
_RATINGS = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}
"""File of ratings -> file of movies."""
_COLUMNS = ["userId", "movieId", "rating", "timestamp"]
_EVENTS = EventColumns("userId", "movieId", Moment("timestamp"), {"rating": Kept("rating", "number")})
_GENRES_100K = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
"""The genres of `u.item`, one flag each, in the order of its last 19 fields; `u.genre` lists the same."""
_NO_GENRES = ("", "(no genres listed)", "unknown")


def import_movielens(folder: Path, conversion: Conversion) -> Imported:
    """Import ratings and movies of any release: its files, its folder `ml-…`, or the zip file itself.

    Raises:
        DataError: The files are missing or a row is bad.
    """
    folder = _ratings_folder(folder, conversion)
    ratings = find_file(folder, "u.data, ratings.dat or ratings.csv", _RATINGS.__contains__)
    wanted = _RATINGS[ratings.name]
    movies = find_file(folder, wanted, wanted.__eq__)
    conversion.take_events(_source(ratings, conversion), _EVENTS)
    read = _movies_100k if wanted == "u.item" else _movies
    conversion.take_items(read(conversion, movies), _MOVIES, f"Reading {movies.name}")
    return conversion.finish()


def _ratings_folder(folder: Path, conversion: Conversion) -> Path:
    """Return the folder with the ratings: the given one, its only `ml-…` subfolder, or the unpacked zip."""
    if not folder.is_dir() or any((folder / name).exists() for name in _RATINGS):
        return folder
    inner = [path for path in folder.glob("ml-*") if path.is_dir()]
    if len(inner) == 1:
        return inner[0]
    expected = "u.data, ratings.dat, ratings.csv or ml-*.zip"
    archive = find_file(folder, expected, lambda name: name.endswith(".zip"))
    folders = unzipped(conversion, archive, {*_RATINGS, *_RATINGS.values()}.__contains__)
    if not folders:
        raise DataError(f"{archive}: the archive holds no u.data, ratings.dat or ratings.csv.")
    return folders[0]


def _source(ratings: Path, conversion: Conversion) -> Source:
    if ratings.suffix == ".csv":
        return conversion.work.open(ratings)
    delimiter = "\t" if ratings.name == "u.data" else "::"
    return conversion.work.delimited(ratings, ratings, _COLUMNS, delimiter, header=False, quote="")


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # 100K and 1M


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers; only line feeds end a line."""
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def _movies(conversion: Conversion, path: Path) -> Iterator[Row]:
    if path.suffix == ".dat":
        rows = [(number, line.split("::")) for number, line in _lines(path)]
    else:
        rows = list(enumerate(csv.reader(io.StringIO(_text(path))), start=1))[1:]
    for number, row in rows:
        if len(row) != 3:
            reason = f"the line has {len(row)} fields, not three (id, title and genres)"
            refuse(conversion, path, number, "|".join(row).encode(), reason)
            continue
        item_id, title, genres = row
        yield _movie(item_id, title, genres.split("|"))


def _movies_100k(conversion: Conversion, path: Path) -> Iterator[Row]:
    expected = 5 + len(_GENRES_100K)
    for number, line in _lines(path):
        fields = line.split("|")
        if len(fields) != expected:
            reason = (
                f"the line has {len(fields)} fields, not {expected} (id, title, two dates, an address and 19 genres)"
            )
            refuse(conversion, path, number, line.encode(), reason)
            continue
        genres = [genre for genre, flag in zip(_GENRES_100K, fields[5:]) if flag.strip() == "1"]
        title = "" if fields[1] == "unknown" else fields[1]  # movie 267 has no title
        yield _movie(fields[0], title, genres)


def _movie(item_id: str, title: str, genres: list[str]) -> Row:
    year = _YEAR.search(title)
    named = [genre for genre in genres if genre not in _NO_GENRES]
    return {
        "item_id": item_id,
        "title": title.strip() or None,
        "categories": named or None,
        "year": int(year[1]) if year else None,
    }
