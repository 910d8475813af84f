"""Row checks: SQL conditions that flag bad rows, which are an error for the user or rejected with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import ROW, Source, literal

OnBadRow = Literal["error", "reject"]

_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Check:
    """One condition that makes a row bad.

    Attributes:
        reason: A few words, counted and kept in `rejects.parquet`.
        bad: SQL condition over the checked table.
        column: The column of the file, as the file names it ("" for the whole line).
        value: SQL for the bad value, as text.
        allowed: End of the message: what is allowed and what to do.
    """

    reason: str
    bad: str
    column: str
    value: str
    allowed: str


MALFORMED_LINE = Check("malformed line", "unreadable", "", "NULL", "each line must hold one JSON object in UTF-8")
"""Check of a scan with a column `unreadable` (see `lexirec.data.readers.sql_columns.unreadable_line`)."""


class Rejects:
    """Collector of bad rows: with "error" the first one is an error, with "reject" they are kept with their reasons.

    Attributes:
        counts: Number of rejected rows per reason.
    """

    def __init__(self, on_bad_row: OnBadRow = "error") -> None:
        if on_bad_row not in ("error", "reject"):
            raise DataError(f"on_bad_row is '{on_bad_row}'; allowed are 'error' and 'reject'.")
        self.on_bad_row = on_bad_row
        self.counts: dict[str, int] = {}
        self._tables: list[pa.Table] = []

    @property
    def table(self) -> pa.Table:
        """All rejected rows: file, row, column, value, reason.

        `row` counts the readable rows of data from 1; for a line that could not be read at all ("too many fields",
        "not UTF-8", …) it is the line of the file, and the rows after it are counted without it.
        """
        return pa.concat_tables([_SCHEMA.empty_table(), *self._tables])

    def save(self, path: Path | str) -> None:
        """Write the rejected rows as Parquet, also when there are none."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.table, path)

    def add(self, rows: pa.Table) -> None:
        """Add rejected rows and count their reasons."""
        self._tables.append(rows.select(_SCHEMA.names).cast(_SCHEMA))
        for entry in rows.column("reason").value_counts():
            reason = entry["values"].as_py()
            self.counts[reason] = self.counts.get(reason, 0) + entry["counts"].as_py()


def flag_bad_rows(table: str, checks: Sequence[Check]) -> str:
    """Return SQL of `table` with a column `bad`: the number of the first check a row fails, NULL for good rows."""
    cases = " ".join(f"WHEN {check.bad} THEN {number}" for number, check in enumerate(checks))
    return f"SELECT *, CASE {cases} END AS bad FROM {table}"


def handle_bad_rows(work: Workspace, source: Source, table: str, checks: Sequence[Check], rejects: Rejects) -> None:
    """Refuse or collect the bad rows of a flagged table; afterwards only rows with `bad IS NULL` may be used.

    Raises:
        DataError: A row is bad and `on_bad_row` is "error", or no good row is left.
    """
    broken = _broken_lines(work, source)
    counts: dict[int | None, int] = dict(work.rows(f"SELECT bad, count(*) FROM {table} GROUP BY bad"))
    good = counts.pop(None, 0)
    bad = sum(counts.values()) + len(broken)
    if bad and rejects.on_bad_row == "error":
        raise DataError(_first_message(work, source, table, checks, broken) + _how_many(bad))
    if broken:
        rejects.add(
            pa.Table.from_pylist([dict(zip(_SCHEMA.names, (str(source.path), *line))) for line in broken], _SCHEMA)
        )
    if counts:
        rejects.add(work.arrow(_rejected(source, table, checks)))
    if not good:
        why = ", ".join(f"{count:,} × {reason}" for reason, count in rejects.counts.items()) or "the table is empty"
        raise DataError(f"{source.path}: no usable row ({why}); at least one is needed.")


def _broken_lines(work: Workspace, source: Source) -> list[tuple[int, str, str, str]]:
    """Return the lines that the CSV reader could not parse: (line, column, text, reason)."""
    if source.kind != "delimited" or not work.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors'"):
        return []
    rows = work.rows(
        "SELECT line, first(coalesce(column_name, '') ORDER BY column_idx), first(csv_line ORDER BY column_idx),"
        " first(CAST(error_type AS VARCHAR) ORDER BY column_idx) FROM reject_errors GROUP BY line ORDER BY line"
    )
    names = {column.sql: name for name, column in source.columns.items()}  # a scan has names of its own
    return [
        (line + source.skipped, names.get(column, ""), text or "", _CSV_REASONS.get(kind, kind.lower()))
        for line, column, text, kind in rows
    ]


_CSV_REASONS = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "UNQUOTED VALUE": "unclosed quote",
    "LINE SIZE OVER MAXIMUM": "line too long",
    "INVALID ENCODING": "not UTF-8",
    "INVALID STATE": "malformed quotes",
}


_QUOTES = '; set quote = "" or escape = "\\" in formats.items or formats.interactions if quotes are text'
_FORMATS = {
    "not UTF-8": ', or set its encoding, such as "latin-1", in formats.items or formats.interactions',
    "unclosed quote": _QUOTES,
    "malformed quotes": _QUOTES,
}
"""What to do about lines that cannot be parsed for one reason."""


def _first_message(
    work: Workspace, source: Source, table: str, checks: Sequence[Check], broken: Sequence[tuple[int, str, str, str]]
) -> str:
    # Broken lines come first: they shift the row numbers of the rows after them.
    if broken:
        line, _, text, reason = broken[0]
        expected = f"expected are the {len(source.columns)} fields of the header, in UTF-8{_FORMATS.get(reason, '')}"
        return f"{source.path}, line {line}: {reason} in {_shown(text)}; {expected}."
    row, number = work.rows(f"SELECT {ROW}, bad FROM {table} WHERE bad IS NOT NULL ORDER BY {ROW} LIMIT 1")[0]
    check = checks[number]
    (value,) = work.rows(f"SELECT {check.value} FROM {table} WHERE {ROW} = {row}")[0]
    column = f", column '{check.column}'" if check.column else ""
    bad_value = "" if value is None else f" {_shown(value)}"
    return f"{source.path}, row {row}{column}: {check.reason}{bad_value}; {check.allowed}."


def _rejected(source: Source, table: str, checks: Sequence[Check]) -> str:
    def choose(values: Sequence[str]) -> str:
        return "CASE bad " + " ".join(f"WHEN {number} THEN {value}" for number, value in enumerate(values)) + " END"

    columns = choose([literal(check.column) for check in checks])
    values = choose([f"CAST({check.value} AS VARCHAR)" for check in checks])
    reasons = choose([literal(check.reason) for check in checks])
    return (
        f'SELECT {literal(str(source.path))} AS file, {ROW} AS row, {columns} AS "column", {values} AS value,'
        f" {reasons} AS reason FROM {table} WHERE bad IS NOT NULL ORDER BY {ROW}"
    )


def _shown(text: str) -> str:
    cut = " ".join(text.split())
    return f"'{cut[:60]}…'" if len(cut) > 60 else f"'{cut}'"


def _how_many(bad: int) -> str:
    rows = "This is the only bad row" if bad == 1 else f"{bad:,} rows are bad in total"
    return f' {rows}; on_bad_row = "reject" skips bad rows.'
