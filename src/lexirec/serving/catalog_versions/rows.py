"""Rows of items as they are given: their ids as text, which of them change a text, and what is staged of them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.models.extension.changes import CatalogChange, ItemChanges, aligned
from lexirec.serving.catalog_versions.staging import Staged


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


def updated(staged: Staged, catalog: Catalog, rows: pa.Table, texts: Sequence[str]) -> tuple[Staged, int]:
    """Return staged changes with changed texts, and with all columns of rows of items that are staged.

    Args:
        staged: The changes so far.
        catalog: Of the active version.
        rows: Of items of the catalogue, or staged ones.
        texts: The columns with texts.

    Returns:
        The staged changes, the same object where none is new, and the number of rows that are staged.

    Raises:
        DataError: an item is neither in the catalogue nor staged, or the rows cannot be used.
    """
    ids = aligned(rows, catalog).column("item_id").to_pylist()
    known, waiting = set(catalog.item_ids) - set(staged.removed), set(staged.ids)
    unknown = [item for item in ids if item not in known and item not in waiting]
    if unknown:
        raise DataError(
            f"item '{unknown[0]}' is not in the catalog ({len(unknown):,} such items); add it first."
            f"{catalog.suggest(unknown[0])}"
        )
    fresh = [number for number, item in enumerate(ids) if item not in known]
    reworded = reworded_rows(catalog, rows.select(["item_id", *texts]), known) if texts else []
    if fresh or reworded:
        chosen = rows.take(pa.array(sorted([*fresh, *reworded]), pa.int64()))
        staged = staged.with_rows(chosen.select(["item_id", *texts]))
        if fresh and len(rows.column_names) > len(texts) + 1:
            staged = staged.with_rows(rows.take(pa.array(fresh, pa.int64())))
    return staged, len(fresh) + len(reworded)
