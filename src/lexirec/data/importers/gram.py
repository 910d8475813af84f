"""Importer of GRAM's published files (specification §2.4): sequences, item texts, neighbours and identifiers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.files import Row, find_file

_SEQUENCES, _TEXTS, _NEIGHBORS = "user_sequence.txt", "item_plain_text.txt", "similar_item_sasrec.txt"
_IDENTIFIERS = re.compile(r"^item_generative_indexing_(.+)\.txt$")
_FIELD = re.compile(r"(?:^|; )([A-Za-z][A-Za-z0-9_ ]{0,29}): ")
_KNOWN = ("title", "name", "brand", "categories", "description", "price", "salesrank")
_UNKNOWN = ("", "na")
_SHARE = 0.05


def import_gram(folder: Path, conversion: Conversion) -> Imported:
    """Import `user_sequence.txt` and `item_plain_text.txt`, and GRAM's neighbours and identifiers where they exist.

    `similar_item_sasrec.txt` becomes `neighbors.parquet` (item_id, neighbors); every
    `item_generative_indexing_<name>.txt` becomes a column `<name>` of `identifiers.parquet`, unchanged.

    Raises:
        DataError: A file is missing, not UTF-8, or a line holds no id.
    """
    sequences = _lines(find_file(folder, _SEQUENCES, _SEQUENCES.__eq__))
    texts = _lines(find_file(folder, _TEXTS, _TEXTS.__eq__))
    conversion.take_sequences([user for user, _ in sequences], [items.split() for _, items in sequences])
    fields = _field_names([text for _, text in texts])
    types = {name: pa.list_(pa.string()) if name == "categories" else pa.string() for name in fields}
    schema = pa.schema([("item_id", pa.string()), *types.items()])
    conversion.take_items((_item(item_id, text, fields) for item_id, text in texts), schema)
    if (folder / _NEIGHBORS).exists():
        conversion.add_table("neighbors.parquet", _neighbors(folder / _NEIGHBORS))
    if (identifiers := _identifiers(folder)) is not None:
        conversion.add_table("identifiers.parquet", identifiers)
    return conversion.finish(keep_unused=True)


def _lines(path: Path) -> list[tuple[str, str]]:
    """Return (key, rest) of each line; the key is everything before the first space."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the text is not UTF-8 (byte {error.start}); save the file as UTF-8.") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        key, _, rest = line.rstrip("\r").partition(" ")
        if not key and rest:
            raise DataError(f"{path}, line {number}: the line starts with a space; an id must come first.")
        if key:
            pairs.append((key, rest))
    return pairs


def _field_names(texts: list[str]) -> list[str]:
    """Return the names of the item fields, in order of appearance.

    Values may contain "; word: " too, so a name that GRAM's data do not use counts as a field only where at least one
    text in twenty has it.
    """
    counts = Counter(name for text in texts for name in dict.fromkeys(_FIELD.findall(text)))
    return [name for name in counts if name in _KNOWN or counts[name] >= _SHARE * len(texts)]


def _item(item_id: str, text: str, fields: list[str]) -> Row:
    starts: dict[str, re.Match[str]] = {}
    for match in _FIELD.finditer(text):
        if match[1] in fields:
            starts.setdefault(match[1], match)
    marks = list(starts.values())
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    values = {mark[1]: text[mark.end() : end].strip() for mark, end in zip(marks, ends)}
    row: Row = {name: value for name, value in values.items() if value not in _UNKNOWN}
    if "categories" in row:
        row["categories"] = [part.strip() for part in row["categories"].split(",") if part.strip()]
    return {"item_id": item_id, **row}


def _neighbors(path: Path) -> pa.Table:
    pairs = _lines(path)
    if pairs and pairs[0][0].startswith("anchor"):
        pairs = pairs[1:]
    lists = pa.array([rest.split() for _, rest in pairs], pa.list_(pa.string()))
    return pa.table({"item_id": pa.array([key for key, _ in pairs], pa.string()), "neighbors": lists})


def _identifiers(folder: Path) -> pa.Table | None:
    """Return one column per identifier file, joined by item; None where there is no such file."""
    columns: dict[str, dict[str, str]] = {}
    for path in sorted(folder.iterdir()):
        if match := _IDENTIFIERS.match(path.name):
            columns[match[1]] = dict(_lines(path))
    if not columns:
        return None
    items = list(dict.fromkeys(item for column in columns.values() for item in column))
    values = {name: pa.array([column.get(item) for item in items], pa.string()) for name, column in columns.items()}
    return pa.table({"item_id": pa.array(items, pa.string()), **values})
