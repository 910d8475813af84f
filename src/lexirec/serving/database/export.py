"""Events as the table that `[data]` reads, so that a retraining learns from what was served."""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from lexirec.core.errors import DataError
from lexirec.core.files import saying_disk_is_full, sync
from lexirec.serving.database.access import Access
from lexirec.serving.database.ids import SESSION_PREFIX
from lexirec.serving.database.tables import events

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("user_id", "item_id", "time", "type", "value")
BATCH_ROWS = 50_000
_SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the file, its events and users, and the events that were left out as not asked for."""

    path: Path
    events: int
    users: int
    left_out: int


def export_events(
    access: Access,
    out: Path | str,
    *,
    types: Collection[str] | None = None,
    known: Container[str] | None = None,
    sessions: bool = True,
) -> Exported:
    """Write events with the columns `user_id`, `item_id`, `time` (seconds since 1970), `type` and `value`.

    Events stand by user, those of a user in the order of `histories`, which `Interactions.read` keeps. Ids that were
    merged are the user's; erased users are absent. The export sees the database at one moment, reads it as a stream,
    and the file appears whole or not at all.

    Args:
        access: The database.
        out: A new or old file, `.parquet` or `.csv`.
        types: Only events of these types; None for all.
        known: Only events of these items, such as the catalogue's, since the reader refuses unknown ones; None for all.
        sessions: Whether events of sessions are written, each session as a user of its own.

    Raises:
        DataError: the file's name or folder is not allowed.
        ArtifactError: the disk is full.
        DatabaseError: the database does not answer.
    """
    path = Path(out)
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path}: events are exported as {' or '.join(_SUFFIXES)}; end the name so.")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder does not exist; create it or name another one.")
    query = select(*(events.c[name] for name in COLUMNS))
    if not sessions:
        query = query.where(~events.c.user_id.startswith(SESSION_PREFIX, autoescape=True))
    ordered = query.order_by(events.c.user_id, events.c.time, events.c.seq)
    wanted = _Wanted(None if types is None else frozenset(types), known)

    def run(connection: Connection) -> None:
        rows = connection.execution_options(yield_per=BATCH_ROWS).execute(ordered).partitions()
        _write(path, (wanted.of(batch) for batch in rows))

    with saying_disk_is_full(path.parent):
        access.read_at_once(run)
    return Exported(path, wanted.events, wanted.users, wanted.left_out)


class _Wanted:
    """The choice of events, which counts what it chose."""

    def __init__(self, types: frozenset[str] | None, known: Container[str] | None) -> None:
        self.types, self.known = types, known
        self.events = self.users = self.left_out = 0
        self._last: str | None = None

    def of(self, rows: Iterable[Any]) -> list[tuple[Any, ...]]:
        chosen = []
        for row in rows:
            user, item, _, kind, _ = row
            if (self.types is not None and kind not in self.types) or (
                self.known is not None and item not in self.known
            ):
                self.left_out += 1
                continue
            self.users += user != self._last
            self._last = user
            chosen.append(tuple(row))
        self.events += len(chosen)
        return chosen


def _write(path: Path, batches: Iterator[list[tuple[Any, ...]]]) -> None:
    import pyarrow as pa  # costs a tenth of a second, and only an export needs it

    text = pa.string()
    schema = pa.schema(list(zip(COLUMNS, (text, text, pa.float64(), text, pa.float64()), strict=True)))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _writer(partial, path.suffix, schema) as writer:
            for batch in batches:
                columns = zip(*batch, strict=True) if batch else [[]] * len(COLUMNS)
                arrays = [pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _writer(path: Path, suffix: str, schema: pa.Schema) -> Any:
    import pyarrow.csv
    import pyarrow.parquet

    if suffix == ".parquet":
        return pyarrow.parquet.ParquetWriter(path, schema)
    return pyarrow.csv.CSVWriter(path, schema)
