"""The items of a version, found by their ids at once; and rows of changes in the form in which they are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from lexirec.core.times import seconds_of
from lexirec.data.catalog import Catalog
from lexirec.models.extension.changes import aligned
from lexirec.models.fact_kinds import as_array, plain
from lexirec.models.item_windows import LIMITS, time_text


class KnownItems:
    """A version's items.

    Attributes:
        catalog: Of the version.
    """

    def __init__(self, catalog: Catalog) -> None:
        """Use a catalogue."""
        self.catalog = catalog

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of every item id."""
        return {item_id: number for number, item_id in enumerate(self.catalog.item_ids)}

    def has(self, rows: pa.Table, removed: Collection[str]) -> bool:
        """Say whether all rows are of items of the version that are not to leave."""
        ids = rows.column("item_id").to_pylist() if "item_id" in rows.column_names else [None]
        return all(item in self.numbers for item in ids) and not (removed and set(removed).intersection(ids))


def facts_of(rows: pa.Table, columns: Sequence[str], known: KnownItems) -> dict[str, dict[str, Any]]:
    """Return the facts of rows, item id -> column -> value; rows of items that the version lacks are left out.

    Raises:
        DataError: an id is empty or stands twice, or a column has another type than the catalogue's.
    """
    typed = aligned(rows, known.catalog)
    ids = typed.column("item_id").to_pylist()
    values = [typed.column(name).to_pylist() for name in columns]
    return {
        item: {name: plain(value) for name, value in zip(columns, row, strict=True)}
        for item, *row in zip(ids, *values, strict=True)
        if item in known.numbers
    }


def with_times(rows: pa.Table, catalog: Catalog) -> pa.Table:
    """Return rows whose windows are texts after RFC 3339 in UTC, or seconds where the catalogue's column is numbers.

    Raises:
        DataError: a value of `available_from` or `available_until` is no time.
    """
    for name in LIMITS:
        if name not in rows.column_names or "item_id" not in rows.column_names:
            continue
        ids = rows.column("item_id").to_pylist()
        texts = [time_text(name, str(item), value) for item, value in zip(ids, rows.column(name).to_pylist())]
        kind = catalog.table.schema.field(name).type if name in catalog.table.column_names else pa.string()
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values = pa.array([None if text is None else seconds_of(text) for text in texts], pa.float64())
        elif pa.types.is_temporal(kind):
            values = as_array(texts, kind)
        else:
            values = pa.array(texts, pa.string())
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows
