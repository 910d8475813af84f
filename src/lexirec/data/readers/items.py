"""Reader of the table of items: selects the columns, checks the rows and settles the types in DuckDB."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.sql_columns import ROW, Column, Source, unreadable_line
from lexirec.data.readers.text_format import TextFormat
from lexirec.data.readers.text_values import Value, cleaned, missing, raw_value
from lexirec.data.readers.validation import MALFORMED_LINE, Check, Rejects, flag_bad_rows, handle_bad_rows


def read_items(
    path: Path | str,
    text: tuple[str, ...],
    columns: Mapping[str, str] | None,
    rejects: Rejects,
    format: TextFormat | None = None,
    *,
    partial: bool = False,
) -> pa.Table:
    """Read, check and type a table of items; see `Catalog.read`. With `partial` it needs no text fields.

    Raises:
        DataError: the file cannot be used.
    """
    with Workspace() as work:
        source = work.open(path, format or TextFormat())
        if not text and not partial:
            raise DataError(f'{source.path}: no text field was named; give at least one, for example text = ["title"].')
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
    fields = _fields(source, text, columns)
    aliases = {ours: f"v{n}" for n, ours in enumerate(fields)}  # a field may be called like a helper column
    selected = ", ".join(
        f"{column.text if ours == 'item_id' else raw_value(column)} AS {aliases[ours]}"
        for ours, column in fields.items()
    )
    work.run(
        f"CREATE TEMP TABLE given AS SELECT {ROW}, {unreadable_line(source)} AS unreadable, {selected}"
        f" FROM {source.scan}"
    )
    others = {ours: alias for ours, alias in aliases.items() if ours != "item_id"}
    values = {"item_id": Value(aliases["item_id"]), **cleaned(work, "given", others, text, format.null_words)}
    kept = ", ".join(f"{value.sql} AS {aliases[ours]}" for ours, value in values.items())
    first = f"min({ROW}) OVER (PARTITION BY {aliases['item_id']})"
    numbered = f"(SELECT {ROW}, unreadable, {kept}, {first} AS first_row FROM given)"
    checks = _checks(fields, aliases, {name: values[name] for name in text}, format.null_words)
    work.run(f"CREATE TEMP TABLE items AS {flag_bad_rows(numbered, checks)}")
    handle_bad_rows(work, source, "items", checks, rejects)
    table = work.arrow(f"SELECT {', '.join(aliases.values())} FROM items WHERE bad IS NULL ORDER BY {ROW}")
    return _settled_types(table.rename_columns(list(fields)))


def _fields(source: Source, text: Sequence[str], columns: Mapping[str, str] | None) -> dict[str, Column]:
    """Return our name -> column: the id, mapped and text fields first, then all other columns of the file.

    A column of the file whose name is taken by one of ours, but for upper and lower case, is kept as `name_2`.
    """
    wanted = dict.fromkeys(("item_id", *text, *(columns or {})))
    fields = {ours: source.column(ours, columns) for ours in wanted}
    used = {column.name for column in fields.values()}
    taken = {ours.lower() for ours in fields}
    for name, column in source.columns.items():
        if name in used:
            continue
        free = next(
            each for n in itertools.count(1) if (each := name if n == 1 else f"{name}_{n}").lower() not in taken
        )
        taken.add(free.lower())
        fields[free] = column
    return fields


def _checks(
    fields: Mapping[str, Column], aliases: Mapping[str, str], text: Mapping[str, Value], null_words: Sequence[str]
) -> list[Check]:
    identifier, item_id = fields["item_id"].name, aliases["item_id"]
    blanks = " AND ".join(
        f"coalesce(array_to_string({aliases[name]}, ''), '') = ''"
        if value.is_list
        else f"trim(coalesce(CAST({aliases[name]} AS VARCHAR), '')) = ''"
        for name, value in text.items()
    )
    names = ", ".join(f"'{fields[name].name}'" for name in text)
    given = f"CAST({item_id} AS VARCHAR)"
    checks = [
        MALFORMED_LINE,
        Check("empty item id", missing(given, null_words), identifier, given, "every item needs an id"),
        Check(
            "duplicate item id",
            f"first_row < {ROW}",
            identifier,
            given,
            "ids must be unique, and an earlier row has this one",
        ),
    ]
    if text:
        first = fields[next(iter(text))].name
        checks.append(Check("empty text of item", blanks, first, given, f"at least one of {names} must hold text"))
    return checks


def _settled_types(table: pa.Table) -> pa.Table:
    """Give columns without any value the type string, so that the same items have the same digest in every format."""
    for index, column in enumerate(table.schema):
        if pa.types.is_null(column.type) or table.column(index).null_count == table.num_rows:
            table = table.set_column(index, column.name, pa.nulls(table.num_rows, pa.string()))
    return table.replace_schema_metadata(None)
