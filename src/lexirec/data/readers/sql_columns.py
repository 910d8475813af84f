"""Columns of a table on disk, and the SQL expressions that read them in DuckDB.

A scan calls the columns of a file f0, f1, ... whatever their names are, so that none can clash with a helper column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lexirec.core.errors import DataError, did_you_mean

Kind = Literal["parquet", "delimited", "jsonl"]

ROW = "lexirec_row"
"""Name of the row number (1 = first row of data, header not counted) in every scan."""

LINE = "lexirec_line"
"""Name of the JSON object in a scan of JSON."""


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Column:
    """One column of a source: its name in the file, its DuckDB type and the SQL that reads it from the scan."""

    name: str
    type: str
    sql: str

    @property
    def is_list(self) -> bool:
        """Whether the column holds lists."""
        return self.type.endswith("[]")

    @property
    def is_number(self) -> bool:
        """Whether the column is numeric in the file itself."""
        stem = self.type.split("(")[0]
        return stem in {"DOUBLE", "FLOAT", "DECIMAL"} or stem.removeprefix("U") in {
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "HUGEINT",
        }

    @property
    def text(self) -> str:
        """SQL for the value as text; whole floating-point numbers lose their ".0" (pandas stores ids as floats)."""
        return f"plain_number({self.sql})" if self.type in {"DOUBLE", "FLOAT"} else f"CAST({self.sql} AS VARCHAR)"

    @property
    def texts(self) -> str:
        """SQL for the value as a list of texts, without nulls."""
        return f"[e FOR e IN CAST({self.sql} AS VARCHAR[]) IF e IS NOT NULL]" if self.is_list else f"[{self.text}]"

    def number(self) -> str:
        """SQL for the value as DOUBLE, NULL where it is no number (times: see `lexirec.data.readers.times`)."""
        value = self.sql if self.is_number or self.type == "BOOLEAN" else f"CAST({self.sql} AS VARCHAR)"
        return f"TRY_CAST({value} AS DOUBLE)"


@dataclass(frozen=True)
class Source:
    """A table on disk: its path, its columns, and the FROM clause that scans it with the row number `ROW`."""

    path: Path
    kind: Kind
    columns: dict[str, Column]
    scan: str
    skipped: int = 0
    """Lines of a delimited file before its header."""

    @property
    def column_names(self) -> str:
        """Names of the columns for messages, the first twelve."""
        names = list(self.columns)
        return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")

    def column(self, wanted: str, columns: Mapping[str, str] | None = None) -> Column:
        """Return the column that holds `wanted`: the mapped one (ours -> theirs), else the one of that name.

        Raises:
            DataError: There is no such column; the message names the nearest one.
        """
        theirs = (columns or {}).get(wanted, wanted)
        theirs = theirs if theirs in self.columns else theirs.strip()
        if theirs in self.columns:
            return self.columns[theirs]
        unlikely = any(re.search(r"^\W|^[-+.\d]+$|://|.{41}", name) for name in self.columns)
        header = " If its first line is data, set header = false in formats.items or formats.interactions."
        role = "" if theirs == wanted else f" (mapped to {wanted})"
        raise DataError(
            f"{self.path}: there is no column '{theirs}'{role}; the columns are {self.column_names}."
            f"{did_you_mean(theirs, self.columns)}"
            f' Map it with item_columns, interaction_columns or user_columns (columns in Python) = {{{wanted} = "…"}}.'
            f"{header if unlikely and self.kind == 'delimited' else ''}"
        )


def unreadable_line(source: Source) -> str:
    """Return an SQL condition: true for rows of a JSON Lines scan that are no object (malformed, or not UTF-8)."""
    return f"coalesce(json_type({LINE}), '') <> 'OBJECT'" if source.kind == "jsonl" else "false"


def json_pointer(key: str) -> str:
    """Return SQL for the JSON pointer of a key given as SQL; a path such as `$."*"` would mean every key."""
    return f"'/' || replace(replace({key}, '~', '~0'), '/', '~1')"


def json_column(key: str, is_list: bool) -> Column:
    """Return the column of a key of JSON Lines: a list of texts, or text."""
    pointer = literal("/" + key.replace("~", "~0").replace("/", "~1"))
    if not is_list:
        return Column(key, "VARCHAR", f"json_extract_string({LINE}, {pointer})")
    value = f"json_extract({LINE}, {pointer})"
    listed = f"from_json({value}, '[\"VARCHAR\"]')"
    single = f"[json_extract_string({LINE}, {pointer})]"
    sql = f"(CASE json_type({value}) WHEN 'ARRAY' THEN {listed} WHEN 'NULL' THEN NULL ELSE {single} END)"
    return Column(key, "VARCHAR[]", sql)
