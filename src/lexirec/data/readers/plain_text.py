"""Files as DuckDB can scan them: literal paths, unpacked, in UTF-8, without a byte order mark.

What a file is decides its content, not its name: a .csv that was packed with gzip is unpacked. Unpacking is bounded, so
that a small file cannot fill the disk.
"""

from __future__ import annotations

import codecs
import re
import shutil
from pathlib import Path
from typing import Literal

import pyarrow as pa

from lexirec.core.errors import DataError

Content = Literal["gzip", "zstd", "parquet", "text"]

_MAGIC: dict[bytes, Content] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PAR1": "parquet"}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save the sheet as CSV",
    b"BZh": "packed with bzip2; unpack it, or pack it with gzip",
    b"\xfd7zXZ\x00": "packed with xz; unpack it, or pack it with gzip",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet; save the sheet as CSV",
    b"SQLite format 3\x00": "an SQLite database; export the table as CSV",
    b"ARROW1": "an Arrow file; save the table as Parquet",
    b"\x80\x04\x95": "a Python pickle, which is not read because it can run code; save the table as Parquet",
}
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"} | {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 2**22
_RATIO = 250
"""Largest ratio of unpacked to packed size, above `_ALWAYS` bytes; logs reach some 50."""
_ALWAYS = 2**31
_SPARE = 2**28
"""Bytes of the scratch disk that unpacking leaves free."""


def literal_path(path: Path) -> str:
    """Return a path as DuckDB reads it literally: absolute (so no address of a network), wild cards quoted."""
    return re.sub(r"([\[\]*?])", r"[\1]", str(path.absolute()))


def content_of(file: Path) -> Content:
    """Return what a file holds, by its first bytes.

    Raises:
        DataError: it is of a kind that cannot be read.
    """
    with file.open("rb") as opened:
        start = opened.read(16)
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            raise DataError(f"{file}: this file is {what}.")
    return next((content for mark, content in _MAGIC.items() if start.startswith(mark)), "text")


def unpacked(file: Path, folder: Path) -> Path:
    """Unpack a gzip or Zstandard file into `folder` and return the copy; other files are returned as they are.

    Arrow unpacks instead of DuckDB, which takes a truncated .zst for a complete one (seen in 2.0.0); Arrow detects it,
    and reads several frames.

    Raises:
        DataError: the file is damaged, empty, or unpacks to more than it may.
    """
    codec = content_of(file)
    if codec not in ("gzip", "zstd"):
        if file.suffix.lower() in (".gz", ".zst") and not _is_plain(file):
            raise DataError(f"{file}: the file is neither packed with gzip or Zstandard nor plain text; it is damaged.")
        return file
    target = _new(folder, "unpacked")
    most = max(_ALWAYS, _RATIO * file.stat().st_size)
    written = 0
    try:
        with pa.input_stream(str(file), compression=codec) as packed, target.open("wb") as out:
            while chunk := packed.read(_CHUNK):
                written += len(chunk)
                _check_room(file, folder, written, most)
                out.write(chunk)
    except (OSError, pa.ArrowException) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{file}: the file cannot be unpacked as {codec} ({first}); it is damaged or cut short."
        ) from error
    if not written:
        raise DataError(f"{file}: the file is empty; a header and at least one row are needed.")
    return target


def _is_plain(file: Path) -> bool:
    with file.open("rb") as opened:
        start = opened.read(4096)
    return b"\0" not in start and "\ufffd" not in start.decode("utf-8", "replace").rstrip("\ufffd")


def _check_room(file: Path, folder: Path, written: int, most: int) -> None:
    if written > most:
        raise DataError(
            f"{file}: the file unpacks to more than {most / 2**30:,.0f} GiB, over {_RATIO} times its size, as no table"
            " does; if it is one, unpack it and give the plain file."
        )
    if shutil.disk_usage(folder).free < _SPARE:
        raise DataError(f"{file}: the scratch disk is full after {written:,} bytes; set TMPDIR to a larger disk.")


def in_utf8(file: Path, plain: Path, folder: Path, encoding: str) -> Path:
    """Return a text file in UTF-8 without a byte order mark: `plain` itself, or a copy in `folder`.

    A byte order mark of UTF-16 or UTF-32 wins over `encoding`, one of UTF-8 is dropped.

    Raises:
        DataError: a byte is not in the encoding; the message names `file`.
    """
    with plain.open("rb") as opened:
        start = opened.read(4)
    marked = start.startswith(codecs.BOM_UTF8)
    encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), encoding)
    if encoding == "utf-8":
        return _copied(plain, folder, len(codecs.BOM_UTF8)) if marked else plain
    target = _new(folder, "decoded")
    try:
        with plain.open(encoding=encoding, newline="") as text, target.open("w", encoding="utf-8", newline="") as out:
            while chunk := text.read(_CHUNK):
                out.write(chunk)
    except UnicodeError as error:
        raise DataError(f"{file}: the text is not {encoding} ({error}); set the encoding it has.") from error
    return target


def without_lines(plain: Path, folder: Path, count: int) -> Path:
    """Return a copy in `folder` without the first lines: DuckDB counts them otherwise where they hold quotes."""
    with plain.open("rb") as lines:
        for _ in range(count):
            lines.readline()
        return _copied(plain, folder, lines.tell())


def _copied(plain: Path, folder: Path, skipped: int) -> Path:
    target = _new(folder, "copied")
    with plain.open("rb") as lines, target.open("wb") as out:
        lines.seek(skipped)
        shutil.copyfileobj(lines, out, _CHUNK)
    return target


def _new(folder: Path, stem: str) -> Path:
    return folder / f"{stem}-{len(list(folder.iterdir()))}"
