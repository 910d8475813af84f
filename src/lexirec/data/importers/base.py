"""`Conversion`, the shared part of all importers: raw events and items are cleaned in DuckDB and written as two tables.

Only items with text and events with such items are written; everything left out is counted with a reason.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.errors import DataError
from lexirec.core.progress import track
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import ROW, Source, unreadable_line
from lexirec.data.readers.time_checks import time_checks
from lexirec.data.readers.time_recognition import PER_SECOND
from lexirec.data.readers.times import TimeOptions, read_times
from lexirec.data.readers.validation import MALFORMED_LINE, Check, OnBadRow, Rejects, flag_bad_rows, handle_bad_rows

Row = dict[str, Any]

_BATCH = 20_000
_TEXTS = ("title", "brand", "categories", "description")


@dataclass(frozen=True)
class Imported:
    """Counts and files of a finished import.

    Attributes:
        items: Rows of `items.parquet`.
        users: Distinct users in `interactions.parquet`.
        interactions: Rows of `interactions.parquet`.
        left_out: Number of rows of the raw files that are in neither table, per reason.
        files: Names of the written files.
    """

    items: int
    users: int
    interactions: int
    left_out: dict[str, int]
    files: tuple[str, ...]


class Conversion:
    """One import: call `take_events` (or `take_sequences`) and `take_items` in any order, then `finish`."""

    def __init__(self, work: Workspace, destination: Path, on_bad_row: OnBadRow = "error") -> None:
        self.work = work
        self.destination = destination
        self.rejects = Rejects(on_bad_row)
        self._extra: dict[str, Path] = {}

    def take_events(
        self, source: Source, *, user: str, item: str, time: str | None, per_second: int = 1, rating: str | None = None
    ) -> None:
        """Read the raw events: names of the columns in the source; times are divided by `per_second`.

        Raises:
            DataError: A column is missing or, unless bad rows are rejected, a row is bad.
        """
        users, items = source.column("user_id", {"user_id": user}), source.column("item_id", {"item_id": item})
        parts = [f"{users.text} AS user_id", f"{items.text} AS item_id"]
        checks = [
            MALFORMED_LINE,
            Check("empty user id", "trim(coalesce(user_id, '')) = ''", user, "user_id", "every event needs a user"),
            Check("empty item id", "trim(coalesce(item_id, '')) = ''", item, "item_id", "every event needs an item"),
        ]
        if time is not None:
            column = source.column("time", {"time": time})
            unit = next(name for name, each in PER_SECOND.items() if each == per_second)
            reading = read_times(self.work, source, column, TimeOptions(unit))
            parts += [f"{reading.sql} AS time", f"{column.text} AS time_given"]
            checks += time_checks(time, reading)
        if rating is not None:
            parts.append(f"{source.column('rating', {'rating': rating}).number()} AS rating")
        raw = f"(SELECT {ROW}, {unreadable_line(source)} AS unreadable, {', '.join(parts)} FROM {source.scan})"
        self.work.run(f"CREATE TEMP TABLE given AS {flag_bad_rows(raw, checks)}")
        handle_bad_rows(self.work, source, "given", checks, self.rejects)
        kept = ", ".join(["user_id", "item_id", *(["time"] if time else []), *(["rating"] if rating else [])])
        self.work.run(f"CREATE TEMP VIEW raw_events AS SELECT {ROW}, {kept} FROM given WHERE bad IS NULL")

    def take_sequences(self, users: Sequence[str], lists: Sequence[Sequence[str]]) -> None:
        """Take raw events in the form of one list of item ids per user, oldest first."""
        rows = pa.array(lists, pa.list_(pa.string()))
        lengths = rows.value_lengths().to_numpy()
        position = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        events = {
            ROW: np.arange(1, len(position) + 1),
            "user_id": pa.array(users, pa.string()).take(pa.array(np.repeat(np.arange(len(users)), lengths))),
            "item_id": rows.flatten(),
            "position": pa.array(position, pa.int32()),
        }
        self.work.connection.register("sequences", pa.table(events))
        self.work.run("CREATE TEMP TABLE raw_events AS SELECT * FROM sequences")

    def take_items(self, rows: Iterable[Row], schema: pa.Schema, description: str = "Reading items") -> None:
        """Take raw items from a stream: dicts with the names of `schema`, in which `item_id` comes first."""
        path = self.work.folder / "raw_items.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            for batch in _batches(track(rows, description), _BATCH):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        self.work.run(
            f"CREATE TEMP VIEW raw_items AS SELECT *, file_row_number AS n FROM "
            f"read_parquet('{path}', file_row_number = true)"
        )
        self._item_columns = schema.names

    def add_table(self, name: str, table: pa.Table) -> None:
        """Add a further table, written as `name` beside the two."""
        path = self.work.folder / name
        pq.write_table(table, path)
        self._extra[name] = path

    def finish(self, keep_unused: bool = False) -> Imported:
        """Keep items that have text and events, and the events with such items; write both tables.

        Args:
            keep_unused: Whether to keep items without events.

        Raises:
            DataError: No event is left.
        """
        texts = [name for name in _TEXTS if name in self._item_columns] or list(self._item_columns[1:])
        has_text = " OR ".join(f"length(coalesce(CAST(\"{name}\" AS VARCHAR), '')) > 0" for name in texts)
        used = "true" if keep_unused else "item_id IN (SELECT item_id FROM raw_events)"
        self.work.run(
            f"CREATE TEMP TABLE described AS SELECT *, row_number() OVER (PARTITION BY item_id ORDER BY n) AS copy,"
            f" ({has_text}) AS has_text, {used} AS used FROM raw_items"
        )
        self.work.run("CREATE TEMP TABLE kept_items AS SELECT * FROM described WHERE copy = 1 AND has_text AND used")
        files = [self._write_items(), self._write_events()]
        ((n_items, n_users, n_events),) = self.work.rows(
            "SELECT (SELECT count(*) FROM kept_items), count(DISTINCT user_id), count(*) FROM kept_events"
        )
        if not n_events:
            raise DataError(f"{self.destination}: no event has an item with text, so there is nothing to write.")
        left_out = self._left_out()
        return Imported(n_items, n_users, n_events, left_out, self._publish([*files, *self._extra.values()]))

    def _write_items(self) -> Path:
        path = self.work.folder / "items.parquet"
        columns = ", ".join(f'"{name}"' for name in self._item_columns)
        self.work.run(f"COPY (SELECT {columns} FROM kept_items ORDER BY n) TO '{path}' (FORMAT parquet)")
        return path

    def _write_events(self) -> Path:
        path = self.work.folder / "interactions.parquet"
        self.work.run(
            "CREATE TEMP VIEW kept_events AS SELECT * FROM raw_events WHERE item_id IN (SELECT item_id FROM kept_items)"
        )
        # File order is kept because it breaks ties in time.
        self.work.run(f"COPY (SELECT * EXCLUDE ({ROW}) FROM kept_events ORDER BY {ROW}) TO '{path}' (FORMAT parquet)")
        return path

    def _left_out(self) -> dict[str, int]:
        kept = "SELECT item_id FROM kept_items"
        ((copies, unused, without_text, events),) = self.work.rows(
            "SELECT count(*) FILTER (copy > 1), count(*) FILTER (copy = 1 AND NOT used),"
            " count(*) FILTER (copy = 1 AND used AND NOT has_text),"
            f" (SELECT count(*) FROM raw_events WHERE item_id NOT IN ({kept})) FROM described"
        )
        counts = {
            "second description of an item": copies,
            "item without interactions": unused,
            "item without text": without_text,
            "interaction with an item without text": events,
            **self.rejects.counts,
        }
        return {reason: count for reason, count in counts.items() if count}

    def _publish(self, paths: Sequence[Path]) -> tuple[str, ...]:
        self.destination.mkdir(parents=True, exist_ok=True)
        for path in paths:
            shutil.move(path, self.destination / path.name)
        names = [path.name for path in paths]
        if self.rejects.counts:
            self.rejects.save(self.destination / "rejects.parquet")
            names.append("rejects.parquet")
        return tuple(names)


def records(conversion: Conversion, path: Path, parse: Callable[[bytes], Row]) -> Iterator[Row]:
    """Yield one record per line of a text file (plain, .gz or .zst).

    Raises:
        DataError: A line cannot be parsed, unless bad rows are rejected.
    """
    with conversion.work.unpacked(path).open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = parse(line)
            except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
                refuse(conversion, path, number, line, f"malformed line ({type(error).__name__})")
                continue
            yield record


def refuse(conversion: Conversion, path: Path, number: int, line: bytes, reason: str) -> None:
    """Reject one line with its reason, or raise an error.

    Raises:
        DataError: `on_bad_row` is "error".
    """
    text = line.decode("utf-8", "replace").strip()
    if conversion.rejects.on_bad_row == "error":
        shown = text if len(text) <= 60 else f"{text[:60]}…"
        raise DataError(f'{path}, line {number}: {reason} in {shown!r}; on_bad_row = "reject" skips such lines.')
    row = {"file": str(path), "row": number, "column": "", "value": text, "reason": reason}
    conversion.rejects.add(pa.Table.from_pylist([row]))


def find_file(folder: Path, expected: str, matches: Callable[[str], bool]) -> Path:
    """Return the one file of a folder whose name matches.

    Raises:
        DataError: There is none, or more than one.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: this is no folder; give the folder with {expected}.")
    candidates = sorted(path for path in folder.iterdir() if path.is_file() and matches(path.name))
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise DataError(f"{folder}: there is no {expected} in this folder.")
    names = ", ".join(path.name for path in candidates)
    raise DataError(f"{folder}: several files could be the {expected}: {names}; leave one of them in the folder.")


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
