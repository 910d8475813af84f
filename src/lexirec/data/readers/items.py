"""Reader of the table of items: selects the columns, checks the rows and settles the types in DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.sql_columns import ROW, Column, Source, quoted, unreadable_line
from lexirec.data.readers.text_format import TextFormat
from lexirec.data.readers.text_values import Value, cleaned, missing, raw_value
from lexirec.data.readers.validation import MALFORMED_LINE, Check, Rejects, flag_bad_rows, handle_bad_rows


def read_items(
    path: Path | str,
    text: tuple[str, ...],
    columns: Mapping[str, str] | None,
    rejects: Rejects,
    format: TextFormat | None = None,
) -> pa.Table:
    """Read, check and type a table of items; see `Catalog.read`.

    Raises:
        DataError: the file cannot be used.
    """
    with Workspace() as work:
        source = work.open(path, format or TextFormat())
        try:
            return _read(work, source, text, columns, rejects, format or TextFormat())
        except duckdb.Error as error:
            raise DataError(f"{source.path}: the file cannot be read ({one_line(error)}).") from error


def _read(
    work: Workspace,
    source: Source,
    text: tuple[str, ...],
    columns: Mapping[str, str] | None,
    rejects: Rejects,
    format: TextFormat,
) -> pa.Table:
    if not text:
        raise DataError(f'{source.path}: no text field was named; give at least one, for example text = ["title"].')
    fields = _fields(source, text, columns)
    wanted = {ours: raw_value(column) for ours, column in fields.items() if ours != "item_id"}
    selected = ", ".join(f"{sql} AS {quoted(ours)}" for ours, sql in wanted.items())
    work.run(
        f"CREATE TEMP TABLE given AS SELECT {ROW}, {unreadable_line(source)} AS unreadable,"
        f" {fields['item_id'].text} AS item_id{', ' if selected else ''}{selected} FROM {source.scan}"
    )
    values = cleaned(work, "given", wanted, text, format.null_words)
    kept = "".join(f", {value.sql} AS {quoted(ours)}" for ours, value in values.items())
    numbered = (
        f"(SELECT {ROW}, unreadable, item_id{kept}, min({ROW}) OVER (PARTITION BY item_id) AS first_row FROM given)"
    )
    checks = _checks(fields, {name: values.get(name, Value("item_id")) for name in text}, format.null_words)
    work.run(f"CREATE TEMP TABLE items AS {flag_bad_rows(numbered, checks)}")
    handle_bad_rows(work, source, "items", checks, rejects)
    names = ", ".join(quoted(name) for name in ("item_id", *(name for name in fields if name != "item_id")))
    table = work.arrow(f"SELECT {names} FROM items WHERE bad IS NULL ORDER BY {ROW}")
    return _settled_types(table)


def _fields(source: Source, text: Sequence[str], columns: Mapping[str, str] | None) -> dict[str, Column]:
    """Return our name -> column: the id, mapped and text fields first, then all other columns of the file."""
    wanted = dict.fromkeys(("item_id", *text, *(columns or {})))
    fields = {ours: source.column(ours, columns) for ours in wanted}
    used = {column.name for column in fields.values()}
    others = {name: column for name, column in source.columns.items() if name not in used and name not in fields}
    return {**fields, **others}


def _checks(fields: Mapping[str, Column], text: Mapping[str, Value], null_words: Sequence[str]) -> list[Check]:
    identifier = fields["item_id"].name
    blanks = " AND ".join(
        f"coalesce(array_to_string({quoted(name)}, ''), '') = ''"
        if value.is_list
        else f"trim(coalesce(CAST({quoted(name)} AS VARCHAR), '')) = ''"
        for name, value in text.items()
    )
    names = ", ".join(f"'{fields[name].name}'" for name in text)
    return [
        MALFORMED_LINE,
        Check("empty item id", missing("item_id", null_words), identifier, "item_id", "every item needs an id"),
        Check(
            "duplicate item id",
            f"first_row < {ROW}",
            identifier,
            "item_id",
            "ids must be unique, and an earlier row has this one",
        ),
        Check(
            "empty text of item",
            blanks,
            fields[next(iter(text))].name,
            "item_id",
            f"at least one of {names} must hold text",
        ),
    ]


def _settled_types(table: pa.Table) -> pa.Table:
    """Give columns without any value the type string, so that the same items have the same digest in every format."""
    for index, column in enumerate(table.schema):
        if pa.types.is_null(column.type) or table.column(index).null_count == table.num_rows:
            table = table.set_column(index, column.name, pa.nulls(table.num_rows, pa.string()))
    return table.replace_schema_metadata(None)
