"""Files of one record per line, as JSON or as Python literals, which several data sets of 2014 to 2018 hold.

Literals are parsed with `ast.literal_eval`, which runs no code.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lexirec.core.errors import DataError
from lexirec.data.importers.files import Row, lines, records

if TYPE_CHECKING:
    from lexirec.data.importers.base import Conversion
    from lexirec.data.readers.sql_columns import Source

_HALF = re.compile("[\ud800-\udfff]")


def strict(line: bytes) -> Row:
    """Parse one line as a JSON object; ValueError where it is none."""
    return _record(json.loads(line))


def loose(line: bytes) -> Row:
    """Parse one line as JSON or, failing that, as a Python literal; ValueError where it is no object."""
    try:
        record = json.loads(line)
    except ValueError:
        record = ast.literal_eval(line.decode("utf-8").strip())
    return _record(record)


def _record(value: object) -> Row:
    if not isinstance(value, dict):
        raise ValueError("a record is an object")
    return value


def json_lines(conversion: Conversion, path: Path, split: Callable[[Row], Iterable[Row]] | None = None) -> Source:
    """Return a file of JSON or Python literals as a source of JSON Lines, rewritten where it has to be.

    Args:
        conversion: The import; the rewritten file lies in its scratch folder.
        path: The file, plain, .gz or .zst.
        split: Makes the rows of one record; by default a record is a row.

    Raises:
        DataError: A line cannot be parsed, unless bad rows are rejected.
    """
    if split is None and _is_json(conversion, path):
        return conversion.work.open(path)
    rewritten = conversion.work.folder / f"lines-{len(list(conversion.work.folder.iterdir()))}.jsonl"
    with rewritten.open("w", encoding="utf-8") as out:
        for rows in records(
            conversion, path, lambda line: [loose(line)] if split is None else list(split(loose(line)))
        ):
            for row in rows:
                out.write(_whole_characters(json.dumps(row, ensure_ascii=False)) + "\n")
    if not rewritten.stat().st_size:
        raise DataError(f"{path}: no line holds an event; at least one is needed.")
    return replace(conversion.work.open(rewritten), path=path)


def _whole_characters(text: str) -> str:
    """Join the halves of characters that Python 2 wrote as two; a half alone becomes a question mark."""
    if not _HALF.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_json(conversion: Conversion, path: Path) -> bool:
    first = next((line for _, line in lines(conversion, path)), b"")
    try:
        json.loads(first)
    except ValueError:
        return False
    return True
