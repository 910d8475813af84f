"""Layout of delimited text: where the header is, what separates the fields, and whether they are quoted.

What a setting says is taken; the rest is read off the first lines, and for quotes in text separated by tabs off the
whole file.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from lexirec.core.errors import DataError
from lexirec.data.readers.plain_text import literal_path, without_lines
from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.text_format import TextFormat

MAX_LINE = 2**24
"""Longest line that is read, in bytes."""
_FIRST_LINES = 50
_MARKS = (",", ";", "\t", "|", "::")
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,:/ -]*\s*")


@dataclass(frozen=True)
class Layout:
    """How a delimited file is read.

    Attributes:
        names: The columns' names, "" for one without a name.
        delimiter: What separates fields.
        quote: Character around fields, "" for none.
        escape: Character before a quote inside a quoted field.
        skip: Number of lines before the header, which are dropped before the file is scanned.
        header: Whether the first line after them names the columns.
        blanks: Whether blanks stand around the delimiters, which belong to no value.
    """

    names: tuple[str, ...]
    delimiter: str
    quote: str
    escape: str
    skip: int
    header: bool
    blanks: bool = False


def column_of(index: int) -> str:
    """Return the internal name of a column: no name of a file can clash with one of ours."""
    return f"f{index}"


def scan_of(plain: Path, layout: Layout, *, rejects: bool = True) -> str:
    """Return the table function that reads a file as text, one column per field.

    With `rejects`, lines that do not fit go to the table `reject_errors`, else they are an error.
    """
    types = ", ".join(f"{literal(column_of(n))}: 'VARCHAR'" for n in range(len(layout.names)))
    return (
        f"read_csv({literal(literal_path(plain))}, columns = {{{types}}}, header = {layout.header},"
        f" auto_detect = false, compression = 'none', hive_partitioning = false, delim = {literal(layout.delimiter)},"
        f" quote = {literal(layout.quote)}, escape = {literal(layout.escape)}, strict_mode = true,"
        f" {'store_rejects = true, rejects_limit = 0,' if rejects else ''} max_line_size = {MAX_LINE})"
    )


def layout_of(file: Path, plain: Path, format: TextFormat, folder: Path) -> tuple[Layout, Path]:
    """Return the layout of a delimited file, and the file from its header on: `plain` itself or a copy in `folder`.

    Messages name `file`.

    Raises:
        DataError: the first lines are not UTF-8, name no columns or repeat a name, or no row is below them.
    """
    lines = _first_lines(file, plain, format)
    skip, delimiter = _preamble(lines, format.delimiter or ("\t" if _is_tsv(file) else None))
    if skip >= len(lines):
        raise DataError(f"{file}: there are only comments; a header and at least one row are needed.")
    quote = '"' if format.quote is None else format.quote
    line = lines[skip]
    fields = _fields(line, delimiter, quote)
    if len(lines) == skip + 1 and format.header:
        raise DataError(f"{file}: there is no row below the header ({line.strip()[:60]}); at least one is needed.")
    names = _named(file, fields, format.header, skip + 1)
    blanks = format.header and delimiter.strip() != "" and _has_blanks(fields)
    layout = Layout(names, delimiter, quote, format.escape or quote, skip, format.header, blanks)
    table = without_lines(plain, folder, skip) if skip else plain
    if format.quote is None and delimiter == "\t" and _quotes_are_text(table, layout):
        layout = replace(layout, quote="", escape="")
    return layout, table


def without_blanks(file: Path, plain: Path, layout: Layout, folder: Path) -> tuple[Path, Layout]:
    """Write a copy without the blanks around delimiters and return it with its layout.

    Raises:
        DataError: the text cannot be read as delimited.
    """
    target = folder / f"trimmed-{len(list(folder.iterdir()))}"
    csv.field_size_limit(MAX_LINE)
    with plain.open(encoding="utf-8", errors="surrogateescape", newline="") as given:
        reader = csv.reader(
            given, delimiter=layout.delimiter, quotechar=layout.quote or None, skipinitialspace=True,
            quoting=csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE,
        )  # fmt: skip
        try:
            with target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
                csv.writer(out).writerows([field.strip(" ") for field in row] for row in reader)
        except csv.Error as error:
            raise DataError(f"{file}, line {reader.line_num}: the text cannot be read ({error}).") from error
    return target, replace(layout, delimiter=",", quote='"', escape='"', blanks=False)


def rows_of(plain: Path, layout: Layout) -> int | None:
    """Return the number of rows of a file, or None where a line does not fit the layout."""
    length = " + ".join(f"coalesce(length({column_of(n)}), 0)" for n in range(len(layout.names)))  # reads every field
    with duckdb.connect() as connection:
        try:
            row = connection.execute(
                f"SELECT count(*), sum({length}) FROM {scan_of(plain, layout, rejects=False)}"
            ).fetchone()
        except duckdb.Error:
            return None
    return int(row[0]) if row else 0


def holds(plain: Path, mark: bytes) -> bool:
    """Return whether a file holds a sequence of bytes (not across the borders of large chunks)."""
    with plain.open("rb") as opened:
        return any(mark in chunk for chunk in iter(lambda: opened.read(2**22), b""))


# ------------------------------------------------------------------------------------------------------- first lines


def _is_tsv(file: Path) -> bool:
    return bool({".tsv", ".tab"} & {suffix.lower() for suffix in file.suffixes})


def _first_lines(file: Path, plain: Path, format: TextFormat) -> list[str]:
    """Return the first lines without their ends, at least two that are not blank where there are as many."""
    with plain.open("rb") as opened:
        raw = list(itertools.islice(iter(lambda: opened.readline(MAX_LINE), b""), _FIRST_LINES))
        raw += _until_filled(opened) if not any(line.strip() for line in raw[1:]) else []
    first = raw[0] if raw else b""
    if b"\r" in first.rstrip(b"\r\n") and b'"' not in first:
        raise DataError(f"{file}: lines end with a carriage return alone; save the file with line feeds.")
    lines = []
    for number, line in enumerate(raw, start=1):
        try:
            lines.append(line.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            if number == 1:
                raise DataError(
                    f"{file}, line 1: the text is not UTF-8 ({error.reason} at byte {error.start}); set its encoding,"
                    ' such as formats.items.encoding = "latin-1" (or formats.interactions), or save it as UTF-8.'
                ) from error
            lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    return lines


def _until_filled(opened: object) -> list[bytes]:
    for line in iter(lambda: opened.readline(MAX_LINE), b""):  # type: ignore[attr-defined]
        if line.strip():
            return [line]
    return []


def _preamble(lines: Sequence[str], delimiter: str | None) -> tuple[int, str]:
    """Return how many lines precede the header (blank, comments, a spreadsheet's "sep=;"), and the delimiter."""
    skip = 0
    while skip < len(lines):
        line = lines[skip].strip()
        if line.lower().startswith("sep=") and len(line) <= 8:
            delimiter = line[4:].strip('"') or "\t"
        elif line.startswith("#"):
            mark = delimiter or _most_frequent(line)
            below = lines[skip + 1].count(mark) if skip + 1 < len(lines) else 0
            if mark in line and line.count(mark) == below:
                break  # the header itself begins with "#"
        elif line:
            break
        skip += 1
    return skip, delimiter or _most_frequent(lines[skip] if skip < len(lines) else "")


def _most_frequent(line: str) -> str:
    outside = re.sub(r'"[^"]*"', "", line)
    return max(_MARKS, key=lambda mark: (outside.count(mark), mark == ","))


def _fields(line: str, delimiter: str, quote: str) -> list[str]:
    if len(delimiter) > 1:  # quotes around names are dropped, too
        return [field.removeprefix(quote).removesuffix(quote) for field in line.split(delimiter)]
    if not quote:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter, quotechar=quote), [])


def _has_blanks(fields: Sequence[str]) -> bool:
    """Return whether every name but the first begins with a blank, or every one but the last ends with one."""
    starts = all(field.startswith(" ") for field in fields[1:])
    return len(fields) > 1 and (starts or all(field.endswith(" ") for field in fields[:-1]))


def _named(file: Path, fields: Sequence[str], header: bool, number: int) -> tuple[str, ...]:
    """Return the columns' names.

    Raises:
        DataError: the first line has data in place of names, or a name twice.
    """
    if not header:
        return tuple(f"column{n}" for n in range(1, len(fields) + 1))
    names = tuple(field.strip() for field in fields)
    given = [name for name in names if name]
    if given and all(_NUMBER.fullmatch(name) for name in given):
        raise DataError(
            f"{file}, line {number}: the header is '{', '.join(names)[:60]}', which looks like data; set header = false"
            " in formats.items or formats.interactions (columns are then column1, column2, ...), or add a header."
        )
    repeated = sorted({name for name in given if given.count(name) > 1})
    if repeated:
        raise DataError(
            f"{file}, line {number}: the column '{repeated[0]}' is repeated in the header; names must differ."
        )
    if not given:
        raise DataError(f"{file}, line {number}: no column has a name.")
    return names


# -------------------------------------------------------------------------------------------------------------- quotes


def _quotes_are_text(plain: Path, layout: Layout) -> bool:
    """Return whether quotes in a file separated by tabs are part of its texts, as in most such files.

    They are marks around fields only where the whole file can be read so, and holds as many rows that way, or lines
    that only quoted fields with line ends explain.
    """
    if not holds(plain, b'"'):
        return False
    marked = rows_of(plain, layout)
    if marked is None:
        return True
    bare = rows_of(plain, replace(layout, quote="", escape=""))
    return bare is not None and bare != marked
