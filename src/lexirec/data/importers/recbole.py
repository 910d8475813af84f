"""Importer of RecBole's atomic files: typed headers, one file of events or one for each part, one of items."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept, Kind, Moment
from lexirec.data.importers.files import find_file, find_files
from lexirec.data.importers.recbole_lists import HistoryFile, ListColumns, take_lists
from lexirec.data.readers.events import SPLIT_LABELS
from lexirec.data.readers.sql_columns import ROW, Column, Source, literal, quoted
from lexirec.data.readers.validation import Check

_TYPES = ("token", "token_seq", "float", "float_seq")
_PART = re.compile(r"^.+\.([^.]+)\.inter$")
_PARTS = {**{name: ("train", "valid", "test")[label] for name, label in SPLIT_LABELS.items()}, "testing": "test"}
_LISTS = re.compile(r"(?:^|_)(?:class|categor|genre|tag|keyword|topic|label|feature|attribute)[a-z]*$", re.IGNORECASE)
"""Names of `token_seq` columns whose tokens are a list; the tokens of others are the words of a text."""
_OURS = ("user_id", "item_id", "time", "position", "split")
_NO_VALUE = ("", "nan", "NaN", "None", "null", "NULL")


@dataclass(frozen=True)
class _Atomic:
    """An atomic file: its source, the types of its columns, and the part of a split it holds."""

    source: Source
    types: dict[str, str]
    part: str | None = None


def import_recbole(folder: Path, conversion: Conversion) -> Imported:
    """Import RecBole's atomic files: `.inter` and `.item` files with typed headers (`item_id:token`).

    `NAME.train.inter`, `NAME.valid.inter` and `NAME.test.inter` become one table with the column `split`. Files with
    histories (`item_id_list:token_seq`) are read as `lexirec.data.importers.recbole_lists` says. Columns beside ours
    are kept. Of the items, columns named `…title` or `name` become `title`, `token_seq` columns of categories, genres
    or tags become lists.

    Raises:
        DataError: A file is missing, a header has no types, a row is bad, or a whole file and parts lie side by side.
    """
    files = [_atomic(conversion, path, part) for path, part in _event_files(folder)]
    item = find_file(folder, ".item file (items need text)", lambda name: name.endswith(".item"))
    columns = [_event_columns(file) for file in files]
    for file, found in zip(files, columns):
        if isinstance(found, EventColumns):
            conversion.take_events(file.source, found, file.part)
    lists = [
        HistoryFile(file.source, found, file.part)
        for file, found in zip(files, columns)
        if isinstance(found, ListColumns)
    ]
    if lists:
        take_lists(conversion, lists)
    items = _atomic(conversion, item)
    of_item = columns[0].item_name if isinstance(columns[0], ListColumns) else columns[0].item
    if of_item not in items.types:
        raise DataError(
            f"{item}, line 1: the header has no '{of_item}', the column of item ids in {files[0].source.path.name}."
        )
    _take_items(conversion, items, of_item)
    return conversion.finish()


def _event_files(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the files of events with their parts, in the order training, validation, test."""
    paths = find_files(folder, ".inter file", lambda name: name.endswith(".inter"))
    parts = {path: _PARTS.get(match[1].lower()) for path in paths if (match := _PART.match(path.name))}
    known = {path: part for path, part in parts.items() if part is not None}
    if not known and len(paths) > 1 and len(parts) == len(paths):
        raise DataError(
            f"{folder}: the parts of the split are called {', '.join(path.name for path in paths)}; call them"
            " NAME.train.inter, NAME.valid.inter and NAME.test.inter, or leave one file in the folder."
        )
    if not known:
        return [(find_file(folder, ".inter file", lambda name: name.endswith(".inter")), None)]
    if others := [path.name for path in paths if path not in known]:
        raise DataError(
            f"{folder}: {others[0]} lies beside {next(iter(known)).name}, a part of a split; leave either the whole"
            " file or the parts (NAME.train.inter, NAME.valid.inter, NAME.test.inter) in the folder."
        )
    if twice := [part for part in known.values() if list(known.values()).count(part) > 1]:
        names = ", ".join(path.name for path, part in known.items() if part == twice[0])
        raise DataError(f"{folder}: several files are the part '{twice[0]}': {names}; leave one of them in the folder.")
    return sorted(known.items(), key=lambda pair: ("train", "valid", "test").index(pair[1]))


def _atomic(conversion: Conversion, path: Path, part: str | None = None) -> _Atomic:
    """Open an atomic file; fields are separated by tabs and never quoted."""
    with path.open("rb") as lines:
        header = lines.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
    names = [name.rsplit(":", 1) for name in header.split("\t")]
    types = {name[0].strip(): name[1].strip() for name in names if len(name) == 2}
    if len(types) != len(names) or not set(types.values()) <= set(_TYPES):
        raise DataError(
            f"{path}, line 1: the header is '{header[:80]}'; each name must differ and needs one of the types"
            f" {', '.join(_TYPES)}, such as item_id:token, and tabs between them."
        )
    source = conversion.work.delimited(path, path, list(types), "\t", header=True, quote="")
    return _Atomic(source, types, part)


def _event_columns(file: _Atomic) -> EventColumns | ListColumns:
    """Return which columns hold what; a file with a column of lists is one of histories."""
    types, path = file.types, file.source.path
    tokens = [name for name, kind in types.items() if kind == "token"]
    sequences = [name for name, kind in types.items() if kind == "token_seq"]
    user = next((name for name in ("user_id", "session_id") if name in tokens), tokens[0] if tokens else "")
    others = [name for name in tokens if name != user]
    item = "item_id" if "item_id" in others else others[0] if others else None
    history = next((name for name in ("item_id_list", f"{item}_list", "item_id") if name in sequences), None)
    if not user or (item is None and history is None):
        raise DataError(
            f"{path}, line 1: the header needs a user and an item of type token; it has {', '.join(types)}."
        )
    time = next((name for name in ("timestamp", "time") if types.get(name) in ("float", "token")), None)
    if history is None and item is not None:
        kept = _kept({name: kind for name, kind in types.items() if name not in (user, item, time)})
        return EventColumns(user, item, Moment(time) if time else None, kept)
    times = next((name for name in ("timestamp_list", "time_list") if name in types), None)
    length = next((name for name in ("item_length", f"{history}_length") if name in types), None)
    used = {user, item, history, time, times, length}
    kept = _kept({name: kind for name, kind in types.items() if name not in used})
    return ListColumns(user, item, str(history), time, times, length, kept)


def _kept(types: Mapping[str, str]) -> dict[str, Kept]:
    kinds: dict[str, Kind] = {"float": "number"}
    names = free_names(types, _OURS)
    return {names[name]: Kept(name, kinds.get(kind, "text")) for name, kind in types.items()}


def free_names(names: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Return name -> name to write: with `_given` behind it where it is taken already, upper and lower case alike."""
    used = {name.lower() for name in taken}
    free: dict[str, str] = {}
    for name in names:
        wanted = name
        while wanted.lower() in used:
            wanted += "_given"
        used.add(wanted.lower())
        free[name] = wanted
    return free


def _take_items(conversion: Conversion, items: _Atomic, of_item: str) -> None:
    """Take the items with all their columns in their types."""
    selected = {"item_id": items.source.columns[of_item].text}
    titles = [name for name in items.types if name == "name" or name.endswith("title")]
    wanted = {name: "title" for name in titles[:1] if "title" not in items.types}
    others = {name: kind for name, kind in items.types.items() if name != of_item}
    names = free_names([wanted.get(name, name) for name in others], ["item_id"])
    checks = [Check("empty item id", "trim(coalesce(item_id, '')) = ''", of_item, "item_id", "every item needs an id")]
    for name, kind in others.items():
        column = items.source.columns[name]
        ours = names[wanted.get(name, name)]
        selected[ours] = _value(conversion, items.source, column, kind)
        if kind == "float":
            selected[f"given:{ours}"] = _filled(column)
            bad = f"{quoted(ours)} IS NULL AND {quoted(f'given:{ours}')} IS NOT NULL"
            checks.append(Check("no number", bad, name, quoted(f"given:{ours}"), "allowed is a number or nothing"))
    table = conversion.checked(items.source, selected, checks)
    columns = ", ".join(quoted(name) for name in ["item_id", *names.values()])
    conversion.take_item_rows(f"SELECT {columns} FROM {table} ORDER BY {ROW}")


def _filled(column: Column) -> str:
    missing = ", ".join(map(literal, _NO_VALUE))
    return f"CASE WHEN trim({column.text}) IN ({missing}) THEN NULL ELSE {column.text} END"


def _value(conversion: Conversion, source: Source, column: Column, kind: str) -> str:
    text = _filled(column)
    if kind == "float":
        return f"TRY_CAST({text} AS DOUBLE)"
    if kind == "float_seq":
        parts = f"[TRY_CAST(e AS DOUBLE) FOR e IN string_split_regex(trim({text}), '[\\s,]+') IF e <> '']"
        return f"CASE WHEN {text} IS NOT NULL THEN {parts} END"
    if kind == "token_seq" and _LISTS.search(column.name):
        mark = _separator(conversion, source, column)
        bare = "regexp_replace(trim(e), '^[\\s''\"\\[]+|[\\s''\"\\]]+$', '', 'g')"
        parts = f"[{bare} FOR e IN string_split_regex({text}, {literal(mark)}) IF {bare} <> '']"
        return f"CASE WHEN {text} IS NOT NULL THEN {parts} END"
    return text


def _separator(conversion: Conversion, source: Source, column: Column) -> str:
    """Return what separates the values of a list: RecBole's blank, unless commas or bars show that blanks do not."""
    bars, commas = (f"count(*) FILTER (contains({column.text}, '{mark}'))" for mark in "|,")
    ((bars, commas),) = conversion.work.rows(f"SELECT {bars}, {commas} FROM {source.scan}")
    return r"\|" if bars else "," if commas else r"\s+"
