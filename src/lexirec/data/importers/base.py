"""`Conversion`, the shared part of all importers: raw events and items are cleaned in DuckDB and written as two tables.

Only items with text and events with such items are written; everything left out is counted with a reason.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.errors import DataError
from lexirec.core.progress import track
from lexirec.data.importers.event_columns import EventColumns, event_sql
from lexirec.data.importers.files import Row, batches
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.plain_text import literal_path
from lexirec.data.readers.sql_columns import ROW, Source, literal, quoted, unreadable_line
from lexirec.data.readers.validation import Check, OnBadRow, Rejects, flag_bad_rows, handle_bad_rows

_BATCH = 20_000
_TEXTS = ("title", "brand", "categories", "description")
# Helper columns have names that no column of a file has after it was read.
_N, _COPY, _TEXT, _USED, _PART = (quoted(f"lexirec:{name}") for name in ("n", "copy", "text", "used", "part"))


@dataclass(frozen=True)
class Imported:
    """Counts and files of a finished import.

    Attributes:
        items: Rows of `items.parquet`.
        users: Distinct users in `interactions.parquet`.
        interactions: Rows of `interactions.parquet`.
        left_out: Number of rows of the raw files that are in neither table, per reason.
        files: Names of the written files.
        remarks: What the importer had to decide, one sentence each.
    """

    items: int
    users: int
    interactions: int
    left_out: dict[str, int]
    files: tuple[str, ...]
    remarks: tuple[str, ...] = ()


class Conversion:
    """One import: take events and items in any order, then `finish`.

    Events come with `take_events` (a file), `take_event_rows` (SQL) or `take_sequences` (lists); several calls follow
    one another. Items come with `take_items` (a stream of rows) or `take_item_rows` (SQL).
    """

    def __init__(self, work: Workspace, destination: Path, on_bad_row: OnBadRow = "error") -> None:
        self.work = work
        self.destination = destination
        self.rejects = Rejects(on_bad_row)
        self.remarks: list[str] = []
        self._events: list[str] = []
        self._counted: dict[str, int] = {}
        self._tables = 0
        self._extra: dict[str, Path] = {}

    def checked(self, source: Source, selected: Mapping[str, str], checks: Sequence[Check]) -> str:
        """Read columns of a file into a table, handle its bad rows and return the name of a view of the good ones.

        Args:
            source: The file.
            selected: Name of a column -> SQL over the scan.
            checks: Conditions over these columns, and `unreadable`.

        Raises:
            DataError: A row is bad, unless bad rows are rejected; or none is good.
        """
        self._tables += 1
        name = f"given_{self._tables}"
        # Lines that could not be read are listed for all files together; those of the files before are dealt with.
        self.work.run("DROP TABLE IF EXISTS reject_errors")
        self.work.run("DROP TABLE IF EXISTS reject_scans")
        columns = ", ".join(f"{sql} AS {quoted(ours)}" for ours, sql in selected.items())
        raw = f"(SELECT {ROW}, {unreadable_line(source)} AS unreadable, {columns} FROM {source.scan})"
        self.work.run(f"CREATE TEMP TABLE {name} AS {flag_bad_rows(raw, checks)}")
        handle_bad_rows(self.work, source, name, checks, self.rejects)
        self.work.run(f"CREATE TEMP VIEW good_{self._tables} AS SELECT * FROM {name} WHERE bad IS NULL")
        return f"good_{self._tables}"

    def take_events(self, source: Source, columns: EventColumns, part: str | None = None) -> None:
        """Read the raw events of one file.

        Args:
            source: The file.
            columns: Which of its columns hold what.
            part: The part of a published split that all its events belong to.

        Raises:
            DataError: A column is missing or, unless bad rows are rejected, a row is bad.
        """
        selected, checks = event_sql(source, columns)
        table = self.checked(source, selected, checks)
        kept = ["user_id", "item_id", *(["time"] if columns.time else [])]
        kept += [f"{quoted(f'kept:{ours}')} AS {quoted(ours)}" for ours in columns.kept]
        label = "" if part is None else f", {literal(part)} AS split"
        self.take_event_rows(f"SELECT {ROW}, {', '.join(kept)}{label} FROM {table}")

    def take_event_rows(self, sql: str) -> None:
        """Take raw events as a SELECT of the row number, `user_id`, `item_id` and further columns."""
        self._events.append(sql)

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
        self.take_event_rows("SELECT * FROM sequences")

    def take_items(self, rows: Iterable[Row], schema: pa.Schema, description: str = "Reading items") -> None:
        """Take raw items from a stream: dicts with the names of `schema`, in which `item_id` comes first."""
        with pq.ParquetWriter(self._item_file, schema) as writer:
            for batch in batches(track(rows, description), _BATCH):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        self._item_columns = schema.names

    def take_item_rows(self, sql: str) -> None:
        """Take raw items as a SELECT, in which `item_id` comes first; of several with one id the first counts."""
        self.work.run(f"COPY ({sql}) TO {literal(str(self._item_file))} (FORMAT parquet)")
        self._item_columns = pq.read_schema(self._item_file).names

    def rows(self, sql: str) -> Iterator[Row]:
        """Yield the rows of a result, batch by batch."""
        for batch in self.work.batches(sql, _BATCH):
            yield from batch.to_pylist()

    def add_table(self, name: str, table: pa.Table) -> None:
        """Add a further table, written as `name` beside the two."""
        path = self.work.folder / name
        pq.write_table(table, path)
        self._extra[name] = path

    def count_left_out(self, reason: str, count: int) -> None:
        """Count rows of the raw files that give no event."""
        self._counted[reason] = self._counted.get(reason, 0) + count

    def remark(self, sentence: str) -> None:
        """Note what had to be decided, for the user."""
        self.remarks.append(sentence)

    def finish(self, keep_unused: bool = False) -> Imported:
        """Keep items that have text and events, and the events with such items; write both tables.

        Args:
            keep_unused: Whether to keep items without events.

        Raises:
            DataError: No event is left.
        """
        self._join_events()
        self.work.run(
            f"CREATE TEMP VIEW raw_items AS SELECT * EXCLUDE (file_row_number), file_row_number AS {_N}"
            f" FROM read_parquet({literal(literal_path(self._item_file))}, file_row_number = true)"
        )
        used = "true" if keep_unused else "item_id IN (SELECT item_id FROM raw_events)"
        self.work.run(
            "CREATE TEMP TABLE described AS SELECT *,"
            f" row_number() OVER (PARTITION BY item_id ORDER BY {_N}) AS {_COPY},"
            f" ({self._has_text()}) AS {_TEXT}, {used} AS {_USED} FROM raw_items"
        )
        self.work.run(
            f"CREATE TEMP TABLE kept_items AS SELECT * FROM described WHERE {_COPY} = 1 AND {_TEXT} AND {_USED}"
        )
        files = [self._write_items(), self._write_events()]
        ((n_items, n_users, n_events),) = self.work.rows(
            "SELECT (SELECT count(*) FROM kept_items), count(DISTINCT user_id), count(*) FROM kept_events"
        )
        if not n_events:
            raise DataError(f"{self.destination}: no event has an item with text, so there is nothing to write.")
        left_out = self._left_out()
        names = self._publish([*files, *self._extra.values()])
        return Imported(n_items, n_users, n_events, left_out, names, tuple(self.remarks))

    @property
    def _item_file(self) -> Path:
        return self.work.folder / "raw_items.parquet"

    def _has_text(self) -> str:
        texts = [name for name in _TEXTS if name in self._item_columns] or list(self._item_columns[1:])
        lists = {field.name for field in pq.read_schema(self._item_file) if pa.types.is_list(field.type)}
        values = [
            f"array_to_string({quoted(name)}, '')" if name in lists else f"CAST({quoted(name)} AS VARCHAR)"
            for name in texts
        ]
        return " OR ".join(f"trim(coalesce({value}, '')) <> ''" for value in values)

    def _join_events(self) -> None:
        """Create `raw_events`, the events of all calls, numbered through in their order."""
        parts = [f"SELECT {number} AS {_PART}, * FROM ({sql})" for number, sql in enumerate(self._events)]
        self.work.run(f"CREATE TEMP VIEW raw_events AS {' UNION ALL BY NAME '.join(parts)}")

    def _write_items(self) -> Path:
        path = self.work.folder / "items.parquet"
        columns = ", ".join(quoted(name) for name in self._item_columns)
        self.work.run(f"COPY (SELECT {columns} FROM kept_items ORDER BY {_N}) TO {literal(str(path))} (FORMAT parquet)")
        return path

    def _write_events(self) -> Path:
        path = self.work.folder / "interactions.parquet"
        self.work.run(
            "CREATE TEMP VIEW kept_events AS SELECT * FROM raw_events WHERE item_id IN (SELECT item_id FROM kept_items)"
        )
        # File order is kept because it breaks ties in time.
        self.work.run(
            f"COPY (SELECT * EXCLUDE ({_PART}, {ROW}) FROM kept_events ORDER BY {_PART}, {ROW})"
            f" TO {literal(str(path))} (FORMAT parquet)"
        )
        return path

    def _left_out(self) -> dict[str, int]:
        kept = "SELECT item_id FROM kept_items"
        ((copies, unused, without_text, events),) = self.work.rows(
            f"SELECT count(*) FILTER ({_COPY} > 1), count(*) FILTER ({_COPY} = 1 AND NOT {_USED}),"
            f" count(*) FILTER ({_COPY} = 1 AND {_USED} AND NOT {_TEXT}),"
            f" (SELECT count(*) FROM raw_events WHERE item_id NOT IN ({kept})) FROM described"
        )
        counts = {
            "second description of an item": copies,
            "item without interactions": unused,
            "item without text": without_text,
            "interaction with an item without text": events,
            **self._counted,
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
