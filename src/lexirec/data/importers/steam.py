"""Importer of Steam (UCSD): games, and reviews, reviews by user or libraries; lines are Python literals or JSON.

| file | event |
|---|---|
| `steam_reviews.json.gz`, `steam_new.json.gz` | a review of a user (`username`), on a day |
| `australian_user_reviews.json.gz` | a review of a user (`user_id`), on a day; `recommended` says which way |
| `australian_users_items.json.gz` | a game in a user's library, with minutes played; there are no times |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept, Moment, need, present
from lexirec.data.importers.files import Row, find_file, records
from lexirec.data.importers.item_texts import plain_text
from lexirec.data.importers.literals import json_lines, loose
from lexirec.data.readers.sql_columns import Source

_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("developer", pa.string()),
        ("publisher", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("tags", pa.list_(pa.string())),
        ("price", pa.float64()),
        ("release_date", pa.string()),
        ("early_access", pa.bool_()),
    ]
)
_JSON = r"\.json(?:\.gz|\.zst)?$"
_REVIEWS = re.compile(rf"^steam_(?:reviews|new)\w*{_JSON}")
_BY_USER = re.compile(rf"^australian_user_reviews{_JSON}")
_LIBRARIES = re.compile(rf"^australian_users_items{_JSON}")
_GAMES = re.compile(rf"^steam_games{_JSON}")
_KEPT = {
    "hours": Kept("hours", "number"),
    "early_access": Kept("early_access", "flag"),
    "found_funny": Kept("found_funny", "number"),
    "compensation": Kept("compensation"),
    "recommended": Kept("recommended", "flag"),
    "playtime_forever": Kept("playtime_forever", "number"),
    "playtime_2weeks": Kept("playtime_2weeks", "number"),
}
_POSTED = Moment("date", formats=("Posted %B %d, %Y.", "Posted %B %d, %Y"))
_APP = re.compile(r"/app/(\d+)")
_PRICE = re.compile(r"^\$?\s*(\d+(?:\.\d+)?)$")


def import_steam(folder: Path, conversion: Conversion) -> Imported:
    """Import games and one file of events.

    Raises:
        DataError: A file is missing, several files hold events, or a row is bad.
    """
    kinds = {_REVIEWS: _of_review, _BY_USER: _of_user_reviews, _LIBRARIES: _of_library}
    path = find_file(
        folder,
        "file of events (steam_reviews.json.gz, australian_user_reviews.json.gz or australian_users_items.json.gz)",
        lambda name: any(pattern.match(name) for pattern in kinds),
    )
    games = find_file(folder, "steam_games.json.gz", lambda name: bool(_GAMES.match(name)))
    split = next(split for pattern, split in kinds.items() if pattern.match(path.name))
    source = json_lines(conversion, path, split)
    if split is _of_user_reviews:
        source = _with_years(conversion, source)
    time = None if split is _of_library else _POSTED
    conversion.take_events(source, EventColumns("user", "item", time, present(source, _KEPT)))
    if time is None:
        conversion.remark(
            "libraries have no times: a user's games are in the order of the file, not as they were bought"
        )
    conversion.take_items(_games(conversion, games), _SCHEMA, f"Reading {games.name}")
    return conversion.finish()


def _event(user: Any, item: Any, record: Row, **more: Any) -> Row:
    kept = {name: record[name] for name in _KEPT if record.get(name) is not None}
    return {"user": user, "item": item, **kept, **more}


def _of_review(record: Row) -> Iterator[Row]:
    user = record.get("username") or record.get("user_id")
    yield _event(user, record.get("product_id"), record, date=record.get("date"))


def _of_user_reviews(record: Row) -> Iterator[Row]:
    for review in record.get("reviews") or []:
        extra = {"date": review.get("posted"), "recommended": review.get("recommend")}
        yield _event(record.get("user_id"), review.get("item_id"), review, **extra)


def _of_library(record: Row) -> Iterator[Row]:
    for item in record.get("items") or []:
        yield _event(record.get("user_id"), item.get("item_id"), item)


def _with_years(conversion: Conversion, source: Source) -> Source:
    """Return the source with a year in every date: Steam leaves out that of the crawl, one after the newest named."""
    column = need(source, "date")
    year = f"TRY_CAST(regexp_extract({column.text}, '(\\d{{4}})\\.?\\s*$', 1) AS BIGINT)"
    ((newest, without),) = conversion.work.rows(
        f"SELECT max({year}), count(*) FILTER ({year} IS NULL AND {column.text} <> '') FROM {source.scan}"
    )
    if newest is None or not without:
        return source
    conversion.remark(
        f"dates without a year, as Steam writes those of the present one ({without:,} reviews), are taken to be of"
        f" {newest + 1}, the year after the newest that is named"
    )
    dated = f"regexp_replace(trim({column.text}), '\\.?$', ', {newest + 1}.')"
    whole = replace(column, sql=f"CASE WHEN {year} IS NULL THEN {dated} ELSE {column.text} END")
    return replace(source, columns={**source.columns, "date": whole})


def _games(conversion: Conversion, path: Path) -> Iterator[Row]:
    for record in records(conversion, path, loose):
        if not record:
            continue
        address = _APP.search(str(record.get("url") or ""))
        number = record.get("id") or (address[1] if address else None)  # one game has its number in its address alone
        if not number:
            conversion.count_left_out("game without an id", 1)
            continue
        genres, tags = _names(record.get("genres")), _names(record.get("tags"))
        yield {
            "item_id": str(number),
            "title": plain_text(record.get("app_name")) or plain_text(record.get("title")),
            "developer": plain_text(record.get("developer")),
            "publisher": plain_text(record.get("publisher")),
            "categories": genres or tags,
            "tags": tags,
            "price": _price(record.get("price")),
            "release_date": plain_text(record.get("release_date")),
            "early_access": record["early_access"] if isinstance(record.get("early_access"), bool) else None,
        }


def _names(value: Any) -> list[str] | None:
    names = [name for name in map(plain_text, value if isinstance(value, list) else []) if name]
    return names or None


def _price(value: Any) -> float | None:
    """Return a price: 0 for the many ways to say free, None for what is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = value.strip().lower() if isinstance(value, str) else ""
    if text.startswith(("free", "play for free")):
        return 0.0
    match = _PRICE.match(text)
    return float(match[1]) if match else None
