"""JSON as DuckDB scans it: one object per line, one object after the other, or one array of objects."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from lexirec.core.errors import DataError
from lexirec.data.readers.plain_text import literal_path
from lexirec.data.readers.sql_columns import LINE, ROW, Source, json_column, json_pointer, literal

_SAMPLE = 100_000
"""Objects whose keys are the columns."""
_LARGEST = 2**26
"""Largest object, in bytes."""


def open_json(connection: duckdb.DuckDBPyConnection, file: Path, plain: Path) -> Source:
    """Inspect a JSON file in UTF-8 and return the source that scans it; messages name `file`, `plain` is read.

    Raises:
        DataError: it holds no objects, or is one object that holds the table in another form.
    """
    form = _form(plain)
    # only lines can be skipped one by one; in an array, one fault makes the rest unreadable
    skipping = ", ignore_errors = true" if form == "newline_delimited" else ""
    lines = (
        f"read_json_objects({literal(literal_path(plain))}, format = {literal(form)}, hive_partitioning = false,"
        f" compression = 'none', maximum_object_size = {_LARGEST}{skipping})"
    )
    scan = f"(SELECT row_number() OVER () AS {ROW}, json AS {LINE} FROM {lines})"
    sample = f"(SELECT {LINE} AS line FROM {scan} WHERE json_type({LINE}) = 'OBJECT' LIMIT {_SAMPLE})"
    pairs = f"(SELECT line, unnest(json_keys(line)) AS key FROM {sample})"
    # A key is a list column where one of its values is a list; numbers stay text, as in CSV.
    value = f"json_extract(line, {json_pointer('key')})"
    try:
        keys = connection.execute(
            f"SELECT key, bool_or(json_type({value}) = 'ARRAY'), bool_and(json_type({value}) IN ('OBJECT', 'ARRAY'))"
            f" FROM {pairs} GROUP BY key"
        ).fetchall()
        objects = connection.execute(f"SELECT count(*) FROM (FROM {scan} LIMIT 2)").fetchall()[0][0]
    except duckdb.Error as error:
        first = str(error).strip().splitlines()[0].split("Error: ", 1)[-1]
        raise DataError(
            f"{file}: the file cannot be read as JSON ({first[:200]}); write one object per line."
        ) from error
    if not keys:
        problem = "no line is a JSON object" if objects else "the file holds no object"
        raise DataError(f"{file}: {problem}; JSON Lines hold one object per line.")
    if objects == 1 and all(nested for _, _, nested in keys):
        raise DataError(
            f"{file}: this is one JSON object of {len(keys):,} entries ({min(keys)[0]}, ...), not a table; write one"
            ' object per line (in pandas: to_json(orient="records", lines=True)).'
        )
    columns = {key: json_column(key, is_list) for key, is_list, _ in sorted(keys)}
    return Source(file, "jsonl", columns, scan)


def _form(plain: Path) -> str:
    """Return how objects are written: one array, one per line, or one after the other over several lines."""
    with plain.open("rb") as opened:
        for line in iter(lambda: opened.readline(_LARGEST), b""):
            if text := line.strip():
                break
        else:
            return "newline_delimited"
        more = any(each.strip() for each in iter(lambda: opened.readline(_LARGEST), b""))
    try:
        json.loads(text)
        whole = True
    except (ValueError, RecursionError):
        whole = False
    if text.startswith(b"["):
        return "newline_delimited" if whole and more else "array"
    return "unstructured" if not whole and _is_object_cut(text) else "newline_delimited"


def _is_object_cut(text: bytes) -> bool:
    """Return whether the first line begins an object that ends on a later one, as pretty-printed JSON does."""
    return text in (b"{", b"{ ") or (text.startswith(b"{") and text.endswith((b",", b"{", b"[", b":")))
