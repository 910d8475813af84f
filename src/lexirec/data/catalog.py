"""The item catalogue: ids, texts and attributes of all items in a fixed order; an item's number is its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.arguments import check_columns, expect, given_path
from lexirec.core.errors import ArtifactError, DataError, did_you_mean

if TYPE_CHECKING:
    from lexirec.data.readers.text_format import TextFormat
    from lexirec.data.readers.validation import OnBadRow, Rejects


_TEXT_FIELDS = b"lexirec.text_fields"
_FILE = "items.parquet"
_OF_IDS = ("item_ids", "_ids")
_MOST_COMPARED = 100_000
"""Largest catalogue whose ids are all compared with an unknown one, for a suggestion."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """Items with text, in a fixed order.

    Attributes:
        table: One row per item: `item_id` (string, unique) and the item's fields (text, lists of text or numbers).
        text_fields: The fields that `texts` joins, in this order.
        rejected: Number of rows of the file that were rejected, per reason.
    """

    table: pa.Table
    text_fields: tuple[str, ...]
    rejected: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.table.column_names
        for name in ("item_id", *self.text_fields):
            if name not in names:
                raise DataError(
                    f"The catalog has no field '{name}'; it has {', '.join(names)}.{did_you_mean(name, names)}"
                )

    @classmethod
    def read(
        cls,
        path: Path | str,
        *,
        text: Sequence[str],
        columns: Mapping[str, str] | None = None,
        on_bad_row: OnBadRow = "error",
        rejects: Path | str | Rejects | None = None,
        format: TextFormat | None = None,
    ) -> Catalog:
        """Read items from Parquet, CSV/TSV or JSON Lines (also .gz/.zst), in file order.

        Args:
            path: The file. Besides `item_id` and the text fields, all its columns are kept.
            text: Names of the text fields, in the order in which texts present them.
            columns: Our names -> names in the file, for example `{"item_id": "asin", "title": "name"}`.
            on_bad_row: "error" stops at the first bad row; "reject" skips bad rows and counts them.
            rejects: Parquet file for the rejected rows (or a `Rejects` that collects them).
            format: How a delimited text file is written, where its name and first line do not say it.

        Raises:
            DataError: The file cannot be used; one line with file, row, column, what was given and what is allowed.
        """
        expect("text", text, Iterable, 'pass a list of names of fields, such as text=["title"]')
        from lexirec.data.readers.items import read_items  # here, so that a saved catalogue loads without DuckDB
        from lexirec.data.readers.validation import Rejects as Collector

        if isinstance(text, str) or not all(isinstance(name, str) for name in text):
            raise DataError(f'text is {text!r}; pass a list of names of fields, such as text=["title"]')
        path = given_path("path", path)
        check_columns(columns)
        bad_rows = rejects if isinstance(rejects, Collector) else Collector(on_bad_row)
        table = read_items(path, tuple(text), columns, bad_rows, format)
        if rejects is not None and not isinstance(rejects, Collector):
            bad_rows.save(rejects)
        return cls(table, tuple(text), dict(bad_rows.counts))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def item_ids(self) -> list[str]:
        """The ids of all items, in catalogue order."""
        ids: list[str] = self.table.column("item_id").to_pylist()
        return ids

    def find(self, ids: Iterable[str] | pa.Array) -> NDArray[np.int32]:
        """Return the numbers of the given ids, −1 for ids that are not in the catalogue: int32 (n,)."""
        texts = ids if isinstance(ids, (pa.Array, pa.ChunkedArray)) else pa.array(list(ids), pa.string())
        positions = pc.index_in(texts.cast(pa.string()), value_set=self._ids)
        numbers: NDArray[np.int32] = np.asarray(pc.fill_null(positions, -1), dtype=np.int32)
        return numbers

    def numbers(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """Return the numbers of the given ids: int32 (n,).

        Raises:
            DataError: An id is not in the catalogue, or is no text.
        """
        texts = list(ids)
        for each in texts:
            if not isinstance(each, str):
                raise DataError(f"Item ids are text, but {each!r} is of type {type(each).__name__}; pass '{each}'.")
        try:
            numbers = self.find(texts)
        except UnicodeEncodeError as error:
            raise DataError(f"Item {error.object!r} is no UTF-8 text, so no item of the catalog has this id.") from None
        if len(numbers) and numbers.min() < 0:
            unknown = texts[int(np.argmin(numbers))]
            raise DataError(f"Item '{unknown}' is not in the catalog of {len(self):,} items.{self.suggest(unknown)}")
        return numbers

    def suggest(self, item_id: str) -> str:
        """Return `" Did you mean 'x'?"` with the closest id; "" where none is close or the catalogue is too large."""
        return did_you_mean(item_id, self.item_ids) if len(self) <= _MOST_COMPARED else ""

    def field(self, name: str) -> list[str]:
        """Return one field of all items as text, "" where unknown.

        Lists are joined by ", "; runs of white space become one blank.
        """
        if name not in self.table.column_names:
            names = self.table.column_names
            raise DataError(f"The catalog has no field '{name}'; it has {', '.join(names)}.{did_you_mean(name, names)}")
        values: list[str] = _as_text(self.table.column(name)).to_pylist()
        return values

    def texts(self, fields: Sequence[str] | None = None) -> list[str]:
        """Return one text per item: "title: …; brand: …", without unknown fields.

        Args:
            fields: Names of the fields, in order; the catalogue's `text_fields` by default.
        """
        names = self.text_fields if fields is None else tuple(fields)
        columns = [self.field(name) for name in names]
        return ["; ".join(f"{name}: {value}" for name, value in zip(names, row) if value) for row in zip(*columns)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids, fields and text fields; independent of the file format the items were read from."""
        total = hashlib.sha256(json.dumps(self.text_fields).encode())
        for name in self.table.column_names:
            total.update(f"\0{name}\0".encode())
            _hash(total, self.table.column(name).combine_chunks())
        return total.hexdigest()

    def take(self, numbers: NDArray[Any]) -> Catalog:
        """Return a catalogue of the given items, renumbered in the given order."""
        return Catalog(self.table.take(pa.array(numbers)), self.text_fields, self.rejected)

    def with_columns(self, columns: Mapping[str, pa.ChunkedArray]) -> Catalog:
        """Return the catalogue with other columns in place of its own or behind them; the items stay.

        What was made of ids and of other columns is kept.
        """
        table = self.table
        for name, column in columns.items():
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, column)
            else:
                table = table.append_column(name, column)
        changed = Catalog(table, self.text_fields, self.rejected)
        if "item_id" not in columns:
            changed.__dict__.update({name: made for name, made in vars(self).items() if name in _OF_IDS})
        changed.derived.update({name: each for name, each in self.derived.items() if name not in columns})
        return changed

    def save(self, folder: Path | str) -> None:
        """Write `items.parquet` into `folder`, which is created if needed."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        metadata = {_TEXT_FIELDS: json.dumps(self.text_fields).encode()}
        pq.write_table(self.table.replace_schema_metadata(metadata), target / _FILE)

    @classmethod
    def load(cls, folder: Path | str) -> Catalog:
        """Read what `save` wrote.

        Raises:
            ArtifactError: The folder holds no catalogue written by `save`.
        """
        file = Path(folder) / _FILE
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(f"{file}: this is not a saved catalog ({str(error).splitlines()[0]}).") from error
        metadata = table.schema.metadata or {}
        if _TEXT_FIELDS not in metadata:
            raise ArtifactError(f"{file}: this table was not written by Catalog.save; read it with Catalog.read.")
        return cls(table.replace_schema_metadata(None), tuple(json.loads(metadata[_TEXT_FIELDS])))

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What filters have made of fields, by field; filled by `data.item_filters`, empty at first."""
        return {}

    @cached_property
    def _ids(self) -> pa.Array:
        return self.table.column("item_id").combine_chunks()


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.binary_join(column.cast(pa.list_(pa.string())), ", ")
    elif pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    text = pc.fill_null(column.cast(pa.string()), "")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"\s+", " "))


def _hash(total: Any, array: pa.Array) -> None:
    """Add an array to a digest by its values, independent of its chunks, offsets and spare bits."""
    total.update(np.asarray(array.is_valid()).tobytes())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        total.update(np.asarray(pc.fill_null(pc.list_value_length(array), 0), dtype=np.int64).tobytes())
        _hash(total, array.flatten())
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        filled = pc.fill_null(array.cast(pa.large_string()), "")
        _, bounds, content = filled.buffers()
        ends = np.frombuffer(bounds, dtype=np.int64)[filled.offset : filled.offset + len(filled) + 1]
        total.update(np.diff(ends).tobytes())
        total.update(b"" if content is None else memoryview(content)[ends[0] : ends[-1]])
    else:
        nothing = False if pa.types.is_boolean(array.type) else 0
        total.update(str(array.type).encode() + np.asarray(pc.fill_null(array, nothing)).tobytes())
