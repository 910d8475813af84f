"""DuckDB scans of tables on disk: Parquet, CSV/TSV and JSON Lines, plain or as .gz/.zst.

`Workspace` is a scratch database that spills to disk; `Workspace.open` inspects a file and returns a `Source`: its
columns and the SQL that scans it with a row number. Rows are checked in `lexirec.data.readers.validation`.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from codecs import BOM_UTF8
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.readers.sql_columns import LINE, ROW, Column, Kind, Source, json_column, literal, quoted
from lexirec.data.readers.text_format import TextFormat

_KINDS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSED = (".gz", ".zst")
_ALLOWED = ".parquet, .csv, .tsv, .jsonl, .ndjson or .json (text also with .gz or .zst behind it)"
_USUAL = TextFormat()
_JSON_SAMPLE = 100_000
_MAX_MEMORY = 6 * 2**30


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
        kind = _kind(file)
        plain = self.unpacked(file)
        if kind == "parquet":
            return self._open_parquet(file)
        if kind == "jsonl":
            return self._open_jsonl(file, plain)
        names, delimiter = _header(file, plain)
        return self.delimited(file, plain, names, delimiter, header=True)

    def unpacked(self, file: Path) -> Path:
        """Unpack a .gz or .zst into the scratch folder and return its path; other files are returned as they are.

        Arrow unpacks instead of DuckDB, which takes a truncated .zst for a complete one (seen in 2.0.0); Arrow detects
        it, and reads several frames.
        """
        if file.suffix.lower() not in _COMPRESSED:
            return file
        target = self.folder / f"unpacked-{len(list(self.folder.iterdir()))}"
        codec = {".gz": "gzip", ".zst": "zstd"}[file.suffix.lower()]
        try:
            with pa.input_stream(str(file), compression=codec) as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out, 2**22)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{file}: the file cannot be unpacked as {codec} ({one_line(error)}); it is damaged or cut short."
            ) from error
        if target.stat().st_size == 0:
            raise DataError(f"{file}: the file is empty; a header and at least one row are needed.")
        return target

    def _without_bom(self, plain: Path) -> Path:
        """Return a copy without the byte order mark; files without one are returned as they are."""
        with plain.open("rb") as lines:
            if lines.read(len(BOM_UTF8)) != BOM_UTF8:
                return plain
            target = self.folder / f"unmarked-{len(list(self.folder.iterdir()))}"
            with target.open("wb") as out:
                shutil.copyfileobj(lines, out, 2**22)
        return target

    def _open_parquet(self, file: Path) -> Source:
        scan = f"read_parquet({literal(str(file))})"
        try:
            described = self.rows(f"DESCRIBE SELECT * FROM {scan}")
        except duckdb.Error as error:
            raise DataError(f"{file}: the file cannot be read as Parquet ({one_line(error)}).") from error
        columns = {name: Column(name, kind.strip('"'), quoted(name)) for name, kind, *_ in described}
        return Source(file, "parquet", columns, f"(SELECT row_number() OVER () AS {ROW}, * FROM {scan})")

    def delimited(
        self, file: Path, plain: Path, names: list[str], delimiter: str, *, header: bool, quote: str = '"'
    ) -> Source:
        """Return a source for delimited text with known columns; messages name `file`, `plain` is read.

        All columns are read as text, no type is guessed; lines that do not fit go to the table `reject_errors`.
        """
        types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        scan = (
            f"read_csv({literal(str(plain))}, columns = {{{types}}}, header = {header}, auto_detect = false,"
            f" delim = {literal(delimiter)}, quote = {literal(quote)}, escape = {literal(quote)}, strict_mode = true,"
            f" store_rejects = true, rejects_limit = 0, max_line_size = {2**24})"
        )
        columns = {name: Column(name, "VARCHAR", quoted(name)) for name in names}
        return Source(file, "delimited", columns, f"(SELECT row_number() OVER () AS {ROW}, * FROM {scan})")

    def _open_jsonl(self, file: Path, plain: Path) -> Source:
        lines = f"read_ndjson_objects({literal(str(self._without_bom(plain)))}, ignore_errors = true)"
        scan = f"(SELECT row_number() OVER () AS {ROW}, json AS {LINE} FROM {lines})"
        sample = f"(SELECT {LINE} AS line FROM {scan} WHERE json_type({LINE}) = 'OBJECT' LIMIT {_JSON_SAMPLE})"
        pairs = f"(SELECT line, unnest(json_keys(line)) AS key FROM {sample})"
        # A key is a list column where one of its values is a list; numbers stay text, as in CSV.
        value = "json_extract(line, '$.\"' || replace(key, '\"', '\\\"') || '\"')"
        keys = self.rows(f"SELECT key, bool_or(json_type({value}) = 'ARRAY') FROM {pairs} GROUP BY key")
        if not keys:
            n_lines = self.rows(f"SELECT count(*) FROM {scan}")[0][0]
            problem = "no line is a JSON object" if n_lines else "the file is empty"
            raise DataError(f"{file}: {problem}; JSON Lines hold one object per line.")
        columns = {key: json_column(key, is_list) for key, is_list in sorted(keys)}
        return Source(file, "jsonl", columns, scan)


def _kind(file: Path) -> Kind:
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


def _header(file: Path, plain: Path) -> tuple[list[str], str]:
    """Return the column names and the delimiter of a delimited file, from its first line."""
    with plain.open("rb") as lines:
        line = lines.readline(2**24)
    if b"\r" in line.rstrip(b"\r\n") and b'"' not in line:
        raise DataError(f"{file}: lines end with a carriage return alone; save the file with line feeds.")
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}, line 1: the text is not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8."
        ) from error
    tabbed = ".tsv" in (suffix.lower() for suffix in file.suffixes)
    delimiter = "\t" if tabbed else max(",;\t|", key=lambda mark: (text.count(mark), mark == ","))
    names = next(csv.reader([text], delimiter=delimiter), [])
    repeated = {name for name in names if [other.lower() for other in names].count(name.lower()) > 1}
    if repeated:
        raise DataError(
            f"{file}, line 1: the column '{sorted(repeated)[0]}' is repeated in the header; names must differ."
        )
    if not all(name.strip() for name in names):
        raise DataError(f"{file}, line 1: column {[bool(n.strip()) for n in names].index(False) + 1} has no name.")
    return names, delimiter
