"""Guess how a delimited text file is written, for `lexirec init`, which says what it guessed.

Reading guesses none of this: an encoding or an escape that is not set is an error there, which names the setting.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from pathlib import Path

from lexirec.core.errors import DataError
from lexirec.data.readers import plain_text
from lexirec.data.readers.delimited import Layout, holds, layout_of, rows_of
from lexirec.data.readers.duckdb_source import Workspace, kind_of
from lexirec.data.readers.text_format import TextFormat

_DATA = re.compile(r"\s*([-+]?\d[\d.,:/ -]*|https?://.*)\s*")
"""A value that names no column: a number, a date or an address."""
_CHUNK = 2**22


def sniff_format(work: Workspace, path: Path) -> tuple[TextFormat, list[str]]:
    """Return how a delimited file is written where that is not the usual, and a remark on each guess.

    Other kinds of files have the usual format.

    Raises:
        DataError: the file cannot be read at all.
    """
    if kind_of(path) != "delimited" or plain_text.content_of(path) == "parquet":
        return TextFormat(), []
    packed = plain_text.unpacked(path, work.folder)
    remarks: list[str] = []
    given: dict[str, object] = {}
    encoding, example = _encoding(packed)
    if encoding is not None:
        given["encoding"] = encoding
        remarks.append(
            f"{path.name} is not UTF-8 and is read as {encoding}; if {example!r} is not right, set its encoding in"
            " data.formats"
        )
    plain = plain_text.in_utf8(path, packed, work.folder, encoding or "utf-8")
    try:
        layout, plain = layout_of(path, plain, TextFormat(), work.folder)
    except DataError:  # the first line holds numbers where names should be
        layout, plain = layout_of(path, plain, TextFormat(header=False), work.folder)
    if not layout.header or _is_data(plain, layout):
        given["header"] = False
        remarks.append(f"the first line of {path.name} is data, so its columns are called column1, column2, ...")
    given |= _quoting(path, plain, layout, remarks)
    return TextFormat.model_validate(given), remarks


def _encoding(plain: Path) -> tuple[str | None, str]:
    """Return an encoding other than UTF-8 that a file needs, and the first words that show it."""
    with plain.open("rb") as opened:
        if opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return None, ""  # the mark says it
        opened.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        for chunk in iter(lambda: opened.read(_CHUNK), b""):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                around = error.object[max(0, error.start - 20) : error.start + 20]
                name = "cp1252" if _decodes(plain, "cp1252") else "latin-1"
                text = around.decode(name, "replace")
                return name, " ".join(re.split(r"[;,\t|\n\r\"]", text[: len(text)])[_part(text) :][:1]).strip()
    return None, ""


def _part(text: str) -> int:
    """Return the number of the field that holds the first letter beyond ASCII."""
    at = next((n for n, letter in enumerate(text) if not letter.isascii()), 0)
    return len(re.findall(r"[;,\t|\n\r\"]", text[:at]))


def _decodes(plain: Path, encoding: str) -> bool:
    try:
        with plain.open(encoding=encoding, newline="") as text:
            while text.read(_CHUNK):
                pass
    except UnicodeError:
        return False
    return True


def _is_data(plain: Path, layout: Layout) -> bool:
    """Return whether the first line has a number, date or address where the second has one, too."""
    with plain.open(encoding="utf-8", errors="replace", newline="") as lines:
        lines.readline()
        second = lines.readline().rstrip("\r\n").split(layout.delimiter)
    both = zip(layout.names, second, strict=False)
    return any(_DATA.fullmatch(first) and _DATA.fullmatch(below.strip('"')) for first, below in both)


def _quoting(path: Path, plain: Path, layout: Layout, remarks: list[str]) -> dict[str, object]:
    """Return settings of quotes and escapes under which the whole file can be read, where the usual ones fail."""
    if not layout.quote or not holds(plain, b'"') or rows_of(plain, layout) is not None:
        return {}
    if holds(plain, b"\\") and rows_of(plain, replace(layout, escape="\\")) is not None:
        remarks.append(f"{path.name} has a backslash before quotes inside texts")
        return {"escape": "\\"}
    if rows_of(plain, replace(layout, quote="", escape="")) is not None:
        remarks.append(f"quotes in {path.name} are part of the texts, not marks around them")
        return {"quote": ""}
    return {}
