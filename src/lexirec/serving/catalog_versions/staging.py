"""Staged changes of a catalogue: they wait in a file until the next version is published.

Rows are kept as they were given, in Parquet, and a small table names that file; both are replaced in one step. A row of
an item that is staged already changes the columns that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.errors import ArtifactError
from lexirec.core.files import save_sealed, write_json
from lexirec.data.catalog import Catalog
from lexirec.models.extension.changes import ItemChanges
from lexirec.models.facts_file import read_file
from lexirec.models.living_catalog import STAGED

_NAME, _SUFFIX = "staged", ".parquet"


@dataclass(frozen=True, eq=False)
class Staged:
    """Changes that wait.

    Attributes:
        rows: Added and reworded items, a row each; None for none.
        removed: Ids of items that leave.
        vectors: Files of new items' vectors, by the name of their source.
    """

    rows: pa.Table | None = None
    removed: tuple[str, ...] = ()
    vectors: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self.removed) or self.rows is not None

    @property
    def size(self) -> int:
        """Number of changes: rows and removals."""
        return len(self.ids) + len(self.removed)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the items with rows."""
        ids: list[str] = [] if self.rows is None else self.rows.column("item_id").to_pylist()
        return ids

    @cached_property
    def by_id(self) -> Mapping[str, Mapping[str, Any]]:
        """The rows by their ids."""
        return {} if self.rows is None else {row["item_id"]: row for row in self.rows.to_pylist()}

    @property
    def changes(self) -> ItemChanges:
        """The changes as `models.extension.extend` takes them."""
        return ItemChanges(self.rows, self.removed, self.vectors)

    def with_rows(self, rows: pa.Table) -> Staged:
        """Return these changes and more rows; columns of an item's earlier row stay where the new one has none."""
        given = set(rows.column("item_id").to_pylist())
        joined = rows if self.rows is None else _overlaid(self.rows, rows)
        return replace(self, rows=joined, removed=tuple(each for each in self.removed if each not in given))

    def without(self, ids: Sequence[str], known: Sequence[str]) -> Staged:
        """Return these changes with items removed: staged rows are dropped, and items that are `known` will leave."""
        rows, gone, present = self.rows, set(ids), set(known)
        if rows is not None:
            left = [number for number, each in enumerate(self.ids) if each not in gone]
            rows = rows.take(pa.array(left, pa.int64())) if left else None
        leaving = dict.fromkeys([*self.removed, *(each for each in ids if each in present)])
        return replace(self, rows=rows, removed=tuple(leaving))

    def present_in(self, catalog: Catalog) -> Staged:
        """Return these changes without removals of items that a version lacks: one that was gone back to."""
        known = set(catalog.item_ids)
        return replace(self, removed=tuple(each for each in self.removed if each in known))

    def save(self, folder: Path) -> None:
        """Write the changes in place of earlier ones."""
        content: dict[str, object] = {"removed": list(self.removed), "vectors": dict(self.vectors)}
        if self.rows is not None:
            rows = self.rows
            content["rows"] = save_sealed(folder, _NAME, _SUFFIX, lambda path: pq.write_table(rows, path)).name
        write_json(folder / STAGED, content)

    @classmethod
    def load(cls, folder: Path) -> Staged:
        """Read what waits; nothing where nothing was staged.

        Raises:
            ArtifactError: a file is damaged or missing.
        """
        content = read_file(folder / STAGED)
        rows = None
        if "rows" in content:
            try:
                rows = pq.read_table(folder / str(content["rows"]))
            except (OSError, pa.ArrowException) as error:
                reason = str(error).splitlines()[0]
                raise ArtifactError(
                    f"{folder}: the staged rows are damaged ({reason}); remove {STAGED} and stage them again"
                ) from None
        return cls(rows, tuple(content.get("removed", ())), dict(content.get("vectors", {})))


def _overlaid(before: pa.Table, rows: pa.Table) -> pa.Table:
    """Return earlier rows with the columns of later ones, and later rows of further items behind them."""
    old: list[str] = before.column("item_id").to_pylist()
    new: list[str] = rows.column("item_id").to_pylist()
    place = {item_id: number for number, item_id in enumerate(new)}
    known = set(old)
    further = [number for number, item_id in enumerate(new) if item_id not in known]
    source = np.array([place.get(item_id, -1) for item_id in old] + further, dtype=np.int64)
    columns = {}
    for name in dict.fromkeys([*before.column_names, *rows.column_names]):
        kind = (before if name in before.column_names else rows).schema.field(name).type
        first = before.column(name) if name in before.column_names else pa.nulls(len(old), kind)
        first = pa.concat_arrays([*_chunks(first), pa.nulls(len(further), kind)])
        if name not in rows.column_names:
            columns[name] = first
            continue
        joined = pa.concat_arrays([first, *_chunks(rows.column(name).cast(kind))])
        at = np.where(source >= 0, len(first) + source, np.arange(len(first)))
        columns[name] = joined.take(pa.array(at))
    return pa.table(columns)


def _chunks(column: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    return list(column.chunks) if isinstance(column, pa.ChunkedArray) else [column]
