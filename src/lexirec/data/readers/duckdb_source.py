"""DuckDB scans of tables on disk: Parquet, CSV/TSV and JSON, plain or as .gz/.zst.

`Workspace` is a scratch database that spills to disk; `Workspace.open` inspects a file and returns a `Source`: its
columns and the SQL that scans it with a row number. Rows are checked in `lexirec.data.readers.validation`. A scan calls
the file's columns f0, f1, ...: whatever they are called in the file, no name clashes with one of ours.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.readers import plain_text
from lexirec.data.readers.delimited import Layout, column_of, layout_of, scan_of, without_blanks
from lexirec.data.readers.json_text import open_json
from lexirec.data.readers.plain_text import literal_path
from lexirec.data.readers.sql_columns import ROW, Column, Kind, Source, literal, quoted
from lexirec.data.readers.text_format import TextFormat

_KINDS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
    ".txt": "delimited",
    ".dat": "delimited",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSED = (".gz", ".zst")
_ALLOWED = ".parquet, .csv, .tsv, .txt, .jsonl, .ndjson or .json (text also with .gz or .zst behind it)"
_USUAL = TextFormat()
_MAX_MEMORY = 6 * 2**30
_log = logging.getLogger(__name__)


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, without DuckDB's prefix."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return first.split("Error: ", 1)[-1].strip()


class Workspace:
    """A DuckDB database in a scratch folder, with a memory limit: joins and sorts spill to disk; removed at exit.

    The scratch folder is where `tempfile` puts it; set TMPDIR to a disk with about 60 bytes of space per event.
    """

    def __enter__(self) -> Workspace:
        self.folder = Path(tempfile.mkdtemp(prefix="lexirec-"))
        self.connection = duckdb.connect(str(self.folder / "scratch.duckdb"))
        memory = min(_MAX_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3)
        self.run(f"SET memory_limit = '{memory // 2**20}MiB'")
        self.run(f"SET temp_directory = {literal(str(self.folder / 'spill'))}")
        self.run("SET TimeZone = 'UTC'")
        self.run("SET enable_progress_bar = false")
        self.run(
            "CREATE TEMP MACRO plain_number(v) AS CASE WHEN isfinite(v) AND v = trunc(v) AND abs(v) < 9e15"
            " THEN CAST(CAST(v AS BIGINT) AS VARCHAR) ELSE CAST(v AS VARCHAR) END"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, sql: str) -> None:
        """Run one statement for its effect."""
        self.connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return all rows of a small result."""
        result: list[tuple[Any, ...]] = self.connection.execute(sql).fetchall()
        return result

    def arrow(self, sql: str) -> pa.Table:
        """Return a whole result as an Arrow table."""
        return self.connection.sql(sql).to_arrow_table()

    def batches(self, sql: str, size: int = 1_000_000) -> pa.RecordBatchReader:
        """Return a result in Arrow batches, for results that should not be in memory twice."""
        return self.connection.sql(sql).to_arrow_reader(size)

    def open(self, path: Path | str, format: TextFormat = _USUAL) -> Source:
        """Inspect a file and return the source that scans it; `format` describes delimited text.

        Raises:
            DataError: The file is missing, a folder, empty, of an unknown kind, damaged or not UTF-8.
        """
        file = Path(path)
        kind = kind_of(file)
        if plain_text.content_of(file) == "parquet":
            return self._open_parquet(file)
        if kind == "parquet":
            raise DataError(f"{file}: the file cannot be read as Parquet; give text the ending .csv, .tsv or .jsonl.")
        packed = plain_text.unpacked(file, self.folder)
        plain = plain_text.in_utf8(file, packed, self.folder, format.encoding)
        if kind == "jsonl":
            return open_json(self.connection, file, plain)
        return self._open_delimited(file, plain, format)

    def unpacked(self, file: Path) -> Path:
        """Unpack a .gz or .zst into the scratch folder and return its path; other files are returned as they are.

        Raises:
            DataError: the file is damaged, empty, or unpacks to more than it may.
        """
        return plain_text.unpacked(file, self.folder)

    def delimited(
        self, file: Path, plain: Path, names: list[str], delimiter: str, *, header: bool, quote: str = '"'
    ) -> Source:
        """Return a source for delimited text with known columns; messages name `file`, `plain` is read.

        All columns are read as text, no type is guessed; lines that do not fit go to the table `reject_errors`.
        """
        return _delimited(file, plain, Layout(tuple(names), delimiter, quote, quote, 0, header))

    def _open_delimited(self, file: Path, plain: Path, format: TextFormat) -> Source:
        layout, plain = layout_of(file, plain, format, self.folder)
        if layout.blanks:
            _log.info("%s: blanks around the delimiters belong to no value", file.name)
            plain, layout = without_blanks(file, plain, layout, self.folder)
        source = _delimited(file, plain, layout)
        # pandas writes its index as a nameless first column, and a delimiter at the end of each line makes a last one
        nameless = [n for n, name in enumerate(layout.names) if not name and n > 0]
        for n in nameless:
            ((value,),) = self.rows(f"SELECT max(nullif(trim({column_of(n)}), '')) FROM {source.scan}") or [(None,)]
            if value is not None:
                raise DataError(
                    f"{file}, line {layout.skip + 1}: column {n + 1} has no name but values such as {value[:40]!r};"
                    " name it, or remove it."
                )
        return source

    def _open_parquet(self, file: Path) -> Source:
        scan = f"read_parquet({literal(literal_path(file))}, hive_partitioning = false)"
        try:
            described = self.rows(f"DESCRIBE SELECT * FROM {scan}")
            ((n_rows,),) = self.rows(f"SELECT count(*) FROM {scan}")
        except duckdb.Error as error:
            raise DataError(f"{file}: the file cannot be read as Parquet ({one_line(error)}).") from error
        if not n_rows:
            raise DataError(f"{file}: the table has no row; at least one is needed.")
        columns = {name: _typed(name, n, kind.strip('"')) for n, (name, kind, *_) in enumerate(described)}
        selected = ", ".join(f"{quoted(name)} AS {column_of(n)}" for n, name in enumerate(columns))
        return Source(file, "parquet", columns, f"(SELECT row_number() OVER () AS {ROW}, {selected} FROM {scan})")


def _typed(name: str, n: int, kind: str) -> Column:
    """Return a column of Parquet; bytes are text where they are UTF-8, else missing."""
    if kind == "BLOB":
        return Column(name, "VARCHAR", f"TRY(decode({column_of(n)}))")
    return Column(name, kind, column_of(n))


def _delimited(file: Path, plain: Path, layout: Layout) -> Source:
    columns = {name: Column(name, "VARCHAR", column_of(n)) for n, name in enumerate(layout.names) if name}
    scan = f"(SELECT row_number() OVER () AS {ROW}, * FROM {scan_of(plain, layout)})"
    return Source(file, "delimited", columns, scan, layout.skip)


def kind_of(file: Path) -> Kind:
    """Return the kind of a file by its name.

    Raises:
        DataError: the file is missing, a folder, empty or of an unknown kind.
    """
    if not file.exists():
        siblings = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        raise DataError(f"{file}: there is no such file.{did_you_mean(file.name, siblings)}")
    if file.is_dir():
        raise DataError(f"{file}: this is a folder; give one file: {_ALLOWED}.")
    suffixes = [suffix.lower() for suffix in file.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _COMPRESSED
    kind = _KINDS.get(suffixes[-2] if packed and len(suffixes) > 1 else suffixes[-1] if suffixes else "")
    if kind is None or (packed and kind == "parquet"):
        raise DataError(f"{file}: files of type '{''.join(suffixes[-2:])}' cannot be read; allowed are {_ALLOWED}.")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty; a header and at least one row are needed.")
    return kind
