"""Importer of Amazon reviews (2014, 2018, 2023): raw review and metadata files, one record per line.

Sources: McAuley et al. 2015 (2014), Ni et al. 2019 (2018), Hou et al. 2024 (2023). The metadata of 2014 are Python
literals, not JSON; they are parsed with `ast.literal_eval`, which runs no code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept, Moment, present
from lexirec.data.importers.files import Row, find_file, records
from lexirec.data.importers.item_texts import plain_text
from lexirec.data.importers.literals import json_lines, loose, strict
from lexirec.data.readers.sql_columns import Source

_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("brand", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("price", pa.float64()),
        ("description", pa.string()),
        ("sales_rank", pa.int64()),
        ("sales_type", pa.string()),
    ]
)
_ENDING = re.compile(r"\.(json|jsonl)(\.gz|\.zst)?$")
_PRICE = re.compile(r"^\$?\s*([\d,]+(?:\.\d+)?)$")
_RANK = re.compile(r"([\d,]+)\s+in\s+([^(]+)")


def _price(value: Any) -> float | None:
    """Return a price; ranges, and the style sheets that some fields of 2018 hold, are unknown prices (None)."""
    if isinstance(value, (int, float)):
        return float(value)
    match = _PRICE.match(value.strip()) if isinstance(value, str) else None
    return float(match[1].replace(",", "")) if match else None


def _rank(value: Any) -> tuple[int | None, str | None]:
    """Return rank and category: from `{"Beauty": 12}` (2014, 2023) or `"12 in Beauty ("` (2018)."""
    if isinstance(value, dict):
        pairs = [(rank, name) for name, rank in value.items() if isinstance(rank, int)]
        return (pairs[0][0], plain_text(pairs[0][1])) if pairs else (None, None)
    first = value[0] if isinstance(value, list) and value else value
    match = _RANK.search(first) if isinstance(first, str) else None
    return (int(match[1].replace(",", "")), plain_text(match[2])) if match else (None, None)


def _path(value: Any) -> list[str] | None:
    """Return one category path, root first: the first one where there are several (2014)."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    names: list[str] = []
    for name in value if isinstance(value, list) else []:
        if "</span>" in str(name):  # 2018: the rest are product features mixed into the path
            break
        if (plain := plain_text(str(name))) is not None:
            names.append(plain)
    return names or None


def _row(item_id: Any, record: Row, brand: Any, categories: Any, rank: Any) -> Row:
    sales_rank, sales_type = _rank(rank)
    return {
        "item_id": str(item_id),
        "title": plain_text(record.get("title")),
        "brand": plain_text(brand),
        "categories": _path(categories),
        "price": _price(record.get("price")),
        "description": plain_text(record.get("description")),
        "sales_rank": sales_rank,
        "sales_type": sales_type,
    }


def _item_2014(record: Row) -> Row:
    return _row(record["asin"], record, record.get("brand"), record.get("categories"), record.get("salesRank"))


def _item_2018(record: Row) -> Row:
    brand = str(record.get("brand") or "").removeprefix("by\n")
    return _row(record["asin"], record, brand, record.get("category"), record.get("rank"))


def _item_2023(record: Row) -> Row:
    details = record.get("details")
    details = details if isinstance(details, dict) else {}
    brand = details.get("Brand") or record.get("store")
    rank = details.get("Best Sellers Rank")
    return _row(record["parent_asin"], record, brand, record.get("categories"), rank)


@dataclass(frozen=True)
class _Release:
    """File names, column names and parsers of one release."""

    reviews: str
    user: str
    item: str
    time: Moment
    kept: Mapping[str, Kept]
    parse: Callable[[bytes], Row]
    to_item: Callable[[Row], Row]


_TIME = Moment("unixReviewTime")
_RATING = {"rating": Kept("overall", "number")}
_RELEASES = {
    "amazon-2014": _Release("reviews_*.json.gz", "reviewerID", "asin", _TIME, _RATING, loose, _item_2014),
    "amazon-2018": _Release(
        "*.json.gz",
        "reviewerID",
        "asin",
        _TIME,
        {**_RATING, "verified": Kept("verified", "flag")},
        strict,
        _item_2018,
    ),
    "amazon-2023": _Release(
        "*.jsonl.gz",
        "user_id",
        "parent_asin",
        Moment("timestamp", per_second=1000),
        {
            "rating": Kept("rating", "number"),
            "verified_purchase": Kept("verified_purchase", "flag"),
            "helpful_vote": Kept("helpful_vote", "number"),
        },
        strict,
        _item_2023,
    ),
}


def import_amazon(release_name: str, folder: Path, conversion: Conversion) -> Imported:
    """Import one category: a review file and its `meta_…` file.

    Items are ASINs (2023: parent ASINs), events are reviews with their time in seconds and rating. Titles that are a
    script of the shop's page instead of words (2018) are none.

    Raises:
        DataError: A file is missing or ambiguous, or a row is bad.
    """
    release = _RELEASES[release_name]
    prefix = release.reviews.split("*")[0]
    reviews = find_file(
        folder,
        f"review file ({release.reviews})",
        lambda name: bool(_ENDING.search(name)) and name.startswith(prefix) and not name.startswith("meta_"),
    )
    metadata = find_file(
        folder, "metadata file (meta_*)", lambda name: bool(_ENDING.search(name)) and name.startswith("meta_")
    )
    source = _reviews(conversion, reviews, release)
    columns = EventColumns(release.user, release.item, release.time, present(source, release.kept))
    conversion.take_events(source, columns)
    conversion.take_items(_items(conversion, metadata, release), _SCHEMA, f"Reading {metadata.name}")
    return conversion.finish()


def _items(conversion: Conversion, metadata: Path, release: _Release) -> Iterator[Row]:
    def parse(line: bytes) -> Row:
        try:
            return release.to_item(release.parse(line))
        except KeyError as error:
            raise ValueError(f"no {error}") from error

    return records(conversion, metadata, parse)


def _reviews(conversion: Conversion, path: Path, release: _Release) -> Source:
    """Return the reviews as JSON Lines; files of 2014 may hold Python literals, which are rewritten first."""
    if release.parse is strict:
        return conversion.work.open(path)
    return json_lines(conversion, path)


import_amazon_2014 = partial(import_amazon, "amazon-2014")
import_amazon_2018 = partial(import_amazon, "amazon-2018")
import_amazon_2023 = partial(import_amazon, "amazon-2023")
