"""Changes of a catalogue, and the catalogue before and after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog


@dataclass(frozen=True, eq=False)
class ItemChanges:
    """What is to change.

    Attributes:
        rows: Added and changed items: `item_id` and fields, a row per item; columns that the catalogue lacks are new
            fields, and fields of the catalogue that are not among the columns stay as they are (null for added items).
            None for none.
        removed: Ids of removed items.
        vectors: Files of the added items' vectors, by the name of their source, where vectors were read from a file.
    """

    rows: pa.Table | None = None
    removed: Sequence[str] = ()
    vectors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CatalogChange:
    """A catalogue before and after changes.

    Attributes:
        before: The catalogue that the recommender ranks.
        after: Its remaining items in their order, then the added ones in theirs.
        kept: int64 (remaining,), the earlier number of each remaining item.
        reworded: int64 (k,), numbers after the change of remaining items whose texts changed.
        trained: Number of leading items after the change that the recommender was trained with.
    """

    before: Catalog
    after: Catalog
    kept: NDArray[np.int64]
    reworded: NDArray[np.int64]
    trained: int

    @classmethod
    def of(cls, before: Catalog, changes: ItemChanges, *, trained: int | None = None) -> CatalogChange:
        """Apply changes to a catalogue.

        Args:
            before: The catalogue.
            changes: What is to change.
            trained: Number of leading items that the recommender was trained with; None for all.

        Raises:
            DataError: an id is empty or stands twice, a removed item is unknown or also among the rows, an added item
                has no text, a column has another type than the catalogue's, or no item would be left.
        """
        known = before.find(list(changes.removed))
        if len(known) and known.min() < 0:
            unknown = list(changes.removed)[int(np.argmin(known))]
            raise DataError(
                f"item '{unknown}' cannot be removed: the catalog has no such item.{before.suggest(unknown)}"
            )
        stays = np.ones(len(before), dtype=np.bool_)
        stays[known] = False
        kept = np.flatnonzero(stays)
        table, reworded = _with_rows(before, kept, changes)
        if not len(table):
            raise DataError("the changes leave no item; keep at least one")
        after = Catalog(table, before.text_fields)
        _check_texts(after, len(kept))
        of_model = len(before) if trained is None else trained
        return cls(before, after, kept, reworded, int((kept < of_model).sum()))

    @property
    def added(self) -> NDArray[np.int64]:
        """Numbers after the change of the items that it adds."""
        return np.arange(len(self.kept), len(self.after))

    @cached_property
    def moved(self) -> NDArray[np.int64]:
        """The number after the change of each earlier item, −1 for removed ones: int64 (earlier items,)."""
        moved = np.full(len(self.before), -1, dtype=np.int64)
        moved[self.kept] = np.arange(len(self.kept))
        return moved

    def without(self, refused: Sequence[str]) -> CatalogChange:
        """Return the change without some of the added items."""
        numbers = self.after.numbers(refused)
        left = np.setdiff1d(np.arange(len(self.after)), numbers)
        return CatalogChange(self.before, self.after.take(left), self.kept, self.reworded, self.trained)


def aligned(rows: pa.Table, catalog: Catalog) -> pa.Table:
    """Return rows with the catalogue's columns first, in its types, and null where they lack one.

    Raises:
        DataError: the rows have no ids, an id is empty or stands twice, or a column cannot have the catalogue's type.
    """
    if "item_id" not in rows.column_names:
        raise DataError(f"the items have no column 'item_id'; they have {', '.join(rows.column_names)}")
    ids = rows.column("item_id").cast(pa.string())
    if pc.any(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(ids), ""), True)).as_py():
        raise DataError("an item has no id; every row needs its item_id")
    if len(ids.unique()) != len(ids):
        counts = pc.value_counts(ids)
        twice = counts.field(0)[int(np.argmax(counts.field(1).to_numpy()))]
        raise DataError(f"item '{twice}' stands in more than one row; give one row per item")
    columns = {}
    for part in catalog.table.schema:
        columns[part.name] = _typed(rows, part) if part.name in rows.column_names else pa.nulls(len(rows), part.type)
    columns |= {name: rows.column(name) for name in rows.column_names if name not in columns}
    return pa.table(columns)


def _typed(rows: pa.Table, part: pa.Field) -> pa.ChunkedArray:
    column = rows.column(part.name)
    if pa.types.is_list(part.type) and pa.types.is_string(column.type):  # a table of text: a list of one name
        column = pa.array([None if value is None else [value] for value in column.to_pylist()], part.type)
    try:
        return column.cast(part.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        given = rows.column(part.name).type
        raise DataError(
            f"column '{part.name}' is {given}, the catalog's is {part.type} ({str(error).splitlines()[0]}); give "
            "values of that type"
        ) from None


def _with_rows(before: Catalog, kept: NDArray[np.int64], changes: ItemChanges) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the table after the changes, and the numbers of remaining items whose texts changed."""
    table = before.table.take(pa.array(kept))
    if changes.rows is None or not len(changes.rows):
        return table, np.zeros(0, dtype=np.int64)
    rows, given = aligned(changes.rows, before), set(changes.rows.column_names)
    both = set(changes.removed) & set(rows.column("item_id").to_pylist())
    if both:
        raise DataError(f"item '{sorted(both)[0]}' is both removed and given as a row; do one of them")
    for name in rows.column_names[table.num_columns :]:
        table = table.append_column(name, pa.nulls(len(table), rows.schema.field(name).type))
    places = Catalog(table, ()).find(rows.column("item_id"))
    old, new = np.flatnonzero(places >= 0), np.flatnonzero(places < 0)
    texts = _texts(table, before, places[old])
    for at, part in enumerate(table.schema):
        if part.name in given and part.name != "item_id" and len(old):
            values, wanted = table.column(at).combine_chunks(), rows.column(part.name).combine_chunks()
            where = np.arange(len(table))
            where[places[old]] = len(table) + np.arange(len(old))
            joined = pa.concat_arrays([values, wanted.take(pa.array(old))])
            table = table.set_column(at, part, joined.take(pa.array(where)))
    changed = [text != now for text, now in zip(texts, _texts(table, before, places[old]), strict=True)]
    reworded = np.sort(places[old][np.array(changed, dtype=np.bool_)]).astype(np.int64)
    return pa.concat_tables([table, rows.take(pa.array(new)).select(table.column_names)]).combine_chunks(), reworded


def _texts(table: pa.Table, before: Catalog, places: NDArray[np.int32]) -> list[str]:
    return Catalog(table.take(pa.array(places)), before.text_fields).texts()


def _check_texts(after: Catalog, first: int) -> None:
    """Check that every added item has a text."""
    texts = after.take(np.arange(first, len(after))).texts()
    empty = [number for number, text in enumerate(texts) if not text]
    if empty:
        names = ", ".join(f"'{name}'" for name in after.text_fields)
        raise DataError(
            f"item '{after.item_ids[first + empty[0]]}' has no text ({len(empty):,} such items); at least one of "
            f"{names} must hold text"
        )
