"""Rows of items as they are given: their ids as text, and which of them change a text."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lexirec.data.catalog import Catalog
from lexirec.models.extension.changes import CatalogChange, ItemChanges


def with_text_ids(rows: pa.Table) -> pa.Table:
    """Return rows whose ids are text."""
    at = rows.column_names.index("item_id")
    return rows.set_column(at, "item_id", rows.column("item_id").cast(pa.string()))


def check_rows(catalog: Catalog, rows: pa.Table, removed: Sequence[str]) -> None:
    """Check new rows as publishing will; raises DataError as `CatalogChange.of` does."""
    given = set(with_text_ids(rows).column("item_id").to_pylist())
    CatalogChange.of(catalog, ItemChanges(rows, [item for item in removed if item not in given]))


def reworded_rows(catalog: Catalog, rows: pa.Table, known: set[str]) -> list[int]:
    """Return the numbers of rows of known items whose texts differ from the catalogue's."""
    ids = rows.column("item_id").to_pylist()
    old = [number for number, item in enumerate(ids) if item in known]
    if not old:
        return []
    change = CatalogChange.of(catalog, ItemChanges(rows.take(pa.array(old, pa.int64()))))
    changed = {change.after.item_ids[number] for number in change.reworded}
    return [number for number in old if ids[number] in changed]
