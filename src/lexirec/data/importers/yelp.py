"""Importer of the Yelp open data set: reviews and businesses, one JSON object per line."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept, Moment, present
from lexirec.data.importers.files import Row, find_file, records
from lexirec.data.importers.literals import strict

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
_ENDING = re.compile(r"\.(json|jsonl)(\.gz|\.zst)?$")
_KEPT = {"rating": Kept("stars", "number"), **{name: Kept(name, "number") for name in ("useful", "funny", "cool")}}


def import_yelp(folder: Path, conversion: Conversion) -> Imported:
    """Import Yelp's open data set: reviews and businesses.

    Raises:
        DataError: The files are missing or a row is bad.
    """
    files = {
        kind: find_file(
            folder,
            f"{kind} file (yelp_academic_dataset_{kind}.json)",
            lambda name, kind=kind: bool(_ENDING.search(name)) and kind in name,  # type: ignore[misc]
        )
        for kind in ("review", "business")
    }
    reviews = conversion.work.open(files["review"])
    columns = EventColumns("user_id", "business_id", Moment("date"), present(reviews, _KEPT))
    conversion.take_events(reviews, columns)
    businesses = records(conversion, files["business"], _business)
    conversion.take_items(businesses, _BUSINESSES, f"Reading {files['business'].name}")
    return conversion.finish()


def _business(line: bytes) -> Row:
    record = strict(line)
    if "business_id" not in record:
        raise ValueError("a business is an object with a business_id")
    named = [name.strip() for name in (record.get("categories") or "").split(",") if name.strip()]
    address = {name: record.get(name) or None for name in ("city", "state", "address")}
    return {
        "item_id": record["business_id"],
        "title": record.get("name") or None,
        "categories": named or None,
        **address,
    }
