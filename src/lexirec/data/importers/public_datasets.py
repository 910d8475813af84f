"""Importers of MovieLens, the Yelp open data set and RecBole's atomic files."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion, Imported, Row, find_file, records
from lexirec.data.readers.sql_columns import Source

_MOVIES = pa.schema(
    [("item_id", pa.string()), ("title", pa.string()), ("categories", pa.list_(pa.string())), ("year", pa.int64())]
)
_BUSINESSES = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("city", pa.string()),
        ("state", pa.string()),
        ("address", pa.string()),
    ]
)
_YEAR = re.compile(r"\((\d{4})\)\s*$")
_RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")


def import_movielens(folder: Path, conversion: Conversion) -> Imported:
    """Import ratings and movies: `.dat` files (1M, 10M), `.csv` files (20M, 25M, 32M, latest), or the zip itself.

    Raises:
        DataError: The files are missing or a row is bad.
    """
    folder = _movielens_folder(folder, conversion)
    kind = "dat" if (folder / "ratings.dat").exists() else "csv"
    ratings = find_file(folder, "ratings.dat or ratings.csv", f"ratings.{kind}".__eq__)
    movies = find_file(folder, f"movies.{kind}", f"movies.{kind}".__eq__)
    source = conversion.work.open(ratings) if kind == "csv" else _dat_ratings(ratings, conversion)
    conversion.take_events(source, user="userId", item="movieId", time="timestamp", rating="rating")
    conversion.take_items(_movies(movies, kind), _MOVIES, f"Reading {movies.name}")
    return conversion.finish()


def _movielens_folder(folder: Path, conversion: Conversion) -> Path:
    """Return the folder with the ratings: the given one, its only `ml-…` subfolder, or the unpacked zip."""
    if not folder.is_dir() or any((folder / name).exists() for name in ("ratings.dat", "ratings.csv")):
        return folder
    inner = [path for path in folder.glob("ml-*") if path.is_dir()]
    if len(inner) == 1:
        return inner[0]
    archive = find_file(folder, "ratings.dat, ratings.csv or ml-*.zip", lambda name: name.endswith(".zip"))
    target = conversion.work.folder / "movielens"
    try:
        with zipfile.ZipFile(archive) as packed:
            wanted = {"ratings.dat", "ratings.csv", "movies.dat", "movies.csv"}
            names = [name for name in packed.namelist() if Path(name).name in wanted]
            for name in names:
                packed.extract(name, target)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: the archive cannot be opened ({error}); fetch it again.") from error
    if not names:
        raise DataError(f"{archive}: the archive holds no ratings.dat or ratings.csv.")
    return (target / names[0]).parent


def _dat_ratings(path: Path, conversion: Conversion) -> Source:
    names = ["userId", "movieId", "rating", "timestamp"]
    return conversion.work.delimited(path, path, names, "::", header=False, quote="")


def _movies(path: Path, kind: str) -> Iterator[Row]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # movies.dat of 1M
    if kind == "dat":
        rows = [line.split("::") for line in text.splitlines() if line.strip()]
    else:
        rows = list(csv.reader(io.StringIO(text)))[1:]
    for number, row in enumerate(rows, start=1 if kind == "dat" else 2):
        if len(row) != 3:
            raise DataError(f"{path}, line {number}: the line has {len(row)} fields, not three: id, title and genres.")
        item_id, title, genres = row
        year = _YEAR.search(title)
        named = [genre for genre in genres.split("|") if genre and genre != "(no genres listed)"]
        yield {
            "item_id": item_id,
            "title": title.strip() or None,
            "categories": named or None,
            "year": int(year[1]) if year else None,
        }


def import_yelp(folder: Path, conversion: Conversion) -> Imported:
    """Import Yelp's open data set: reviews and businesses.

    Raises:
        DataError: The files are missing or a row is bad.
    """
    ending = re.compile(r"\.(json|jsonl)(\.gz|\.zst)?$")
    files = {
        kind: find_file(
            folder,
            f"{kind} file (yelp_academic_dataset_{kind}.json)",
            lambda name, kind=kind: bool(ending.search(name)) and kind in name,  # type: ignore[misc]
        )
        for kind in ("review", "business")
    }
    reviews = conversion.work.open(files["review"])
    conversion.take_events(reviews, user="user_id", item="business_id", time="date", rating="stars")
    businesses = records(conversion, files["business"], _business)
    conversion.take_items(businesses, _BUSINESSES, f"Reading {files['business'].name}")
    return conversion.finish()


def _business(line: bytes) -> Row:
    record = json.loads(line)
    if not isinstance(record, dict) or "business_id" not in record:
        raise ValueError("a business is an object with a business_id")
    named = [name.strip() for name in (record.get("categories") or "").split(",") if name.strip()]
    address = {name: record.get(name) or None for name in ("city", "state", "address")}
    return {
        "item_id": record["business_id"],
        "title": record.get("name") or None,
        "categories": named or None,
        **address,
    }


def import_recbole(folder: Path, conversion: Conversion) -> Imported:
    """Import RecBole's atomic files: one `.inter` and one `.item` file with typed headers (`item_id:token`).

    `token_seq` and `token` become text, `float` a number; columns named `…title` or `name` become `title`.

    Raises:
        DataError: A file is missing, a header has no types, or a row is bad.
    """
    inter = find_file(folder, ".inter file", lambda name: name.endswith(".inter"))
    item = find_file(folder, ".item file (items need text)", lambda name: name.endswith(".item"))
    events, types = _atomic(inter, conversion)
    tokens = [name for name, kind in types.items() if kind == "token"]
    if len(tokens) < 2:
        raise DataError(f"{inter}, line 1: the header needs a user and an item of type token; it has {len(tokens)}.")
    user = "user_id" if "user_id" in types else tokens[0]
    of_item = "item_id" if "item_id" in types else tokens[1]
    time = next((name for name in ("timestamp", "time") if name in types), None)
    rating = "rating" if "rating" in types else None
    conversion.take_events(events, user=user, item=of_item, time=time, rating=rating)
    items, item_types = _atomic(item, conversion)
    if of_item not in item_types:
        raise DataError(f"{item}, line 1: the header has no '{of_item}', the column of item ids in {inter.name}.")
    rows, schema = _atomic_items(conversion, items, item_types, of_item)
    conversion.take_items(rows, schema, f"Reading {item.name}")
    return conversion.finish()


def _atomic(path: Path, conversion: Conversion) -> tuple[Source, dict[str, str]]:
    """Return an atomic file and the types of its columns; fields are separated by tabs and never quoted."""
    with path.open("rb") as lines:
        header = lines.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
    types = dict(name.rsplit(":", 1) for name in header.split("\t") if ":" in name)
    if len(types) != len(header.split("\t")) or not set(types.values()) <= set(_RECBOLE_TYPES):
        raise DataError(
            f"{path}, line 1: the header is '{header[:80]}'; each name needs one of the types"
            f" {', '.join(_RECBOLE_TYPES)}, such as item_id:token, and tabs between them."
        )
    return conversion.work.delimited(path, path, list(types), "\t", header=True, quote=""), types


def _atomic_items(
    conversion: Conversion, source: Source, types: dict[str, str], item: str
) -> tuple[Iterator[Row], pa.Schema]:
    names = {item: "item_id"}
    for name in types:
        wanted = "title" if name == "name" or name.endswith("title") else name
        names.setdefault(name, wanted if wanted not in names.values() else name)
    fields = [(names[name], pa.float64() if kind == "float" else pa.string()) for name, kind in types.items()]
    schema = pa.schema(sorted(fields, key=lambda field: field[0] != "item_id"))
    selected = ", ".join(
        f'{source.columns[name].number() if kind == "float" else source.columns[name].text} AS "{names[name]}"'
        for name, kind in types.items()
    )
    batches = conversion.work.batches(f"SELECT {selected} FROM {source.scan} ORDER BY lexirec_row", 20_000)
    return (row for batch in batches for row in batch.to_pylist()), schema
