"""The facts of items on disk: a table that is read once, and a log to which every change is added.

    facts.json       {"log": "facts-3.jsonl", "values": {item: {column: value}}, "hidden": [item, …]}
    facts-3.jsonl    a change a line, with its checksum; synced before anybody hears that it is kept

When the log has grown large, the table is written anew in one step and names a new, empty log. Any number of processes
read at any time; one at a time writes (the caller holds a lock). A crash may leave a last line that is torn: readers
ignore it, and the next writer cuts it off.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from lexirec.core.errors import ArtifactError
from lexirec.core.files import saying_disk_is_full, sync, write_json
from lexirec.models.fact_kinds import Kind, kind_of
from lexirec.models.facts_log import FactsChange, append_to, changes_of

TABLE = "facts.json"
FIRST_LOG = "facts-0.jsonl"
"""Log of a folder without a table."""
LARGE = 4 * 2**20
"""Bytes of a log from which on the table is written anew, where it is also twice as large as the table."""
_REMEMBERED = 10_000
_TRIES = 5
_LOG_NAME = re.compile(r"facts-(\d+)\.jsonl")


class Position(NamedTuple):
    """A place in the changes of a `FactsFile`: how often it was read from the start, and changes since then."""

    reading: int
    changes: int


class FactsFile:
    """The facts of a folder, in memory and on disk; threads may share it.

    Attributes:
        values: Item id -> column -> value.
        hidden: Ids of items that are not recommended.
        kinds: How many values of each kind every column has.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder, which need not exist; `catch_up` reads it."""
        self._folder = folder
        self._lock = threading.RLock()
        self._table: tuple[int, ...] | None = None
        self._log, self._size, self._table_size = FIRST_LOG, 0, 0
        self._reading, self._count = 0, 0
        self._recent: deque[FactsChange] = deque(maxlen=_REMEMBERED)
        self._clear()

    def _clear(self) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self.hidden: set[str] = set()
        self.kinds: dict[str, Counter[Kind]] = {}

    # --------------------------------------------------------------------------------------------------- reading

    def signature(self) -> tuple[Any, ...]:
        """Return what differs after every change, by this process or another."""
        with self._lock:
            return stat_of(self._folder / TABLE), _length(self._folder / self._log)

    def catch_up(self) -> Position:
        """Read what was added since; return the present position.

        Raises:
            ArtifactError: the table or the log is damaged.
        """
        with self._lock:
            for _ in range(_TRIES):
                table = stat_of(self._folder / TABLE)
                if table != self._table:
                    self._read_table(table)
                try:
                    self._read_log()
                except FileNotFoundError:
                    if stat_of(self._folder / TABLE) != table:
                        continue  # the table was written anew, and its earlier log is gone
                break
            return Position(self._reading, self._count)

    def changes_after(self, position: Position | None) -> list[FactsChange] | None:
        """Return the changes since a position; None where everything may have changed."""
        with self._lock:
            if position is None or position.reading != self._reading:
                return None
            missing = self._count - position.changes
            if missing > len(self._recent):
                return None
            return list(islice(self._recent, len(self._recent) - missing, None))

    def _read_table(self, table: tuple[int, ...]) -> None:
        content = read_file(self._folder / TABLE)
        log = content.get("log", FIRST_LOG)
        values, hidden = content.get("values", {}), content.get("hidden", [])
        if not (isinstance(log, str) and _LOG_NAME.fullmatch(log) and isinstance(values, dict)):
            raise ArtifactError(f"{self._folder / TABLE} is damaged; restore it from a backup, or remove it")
        self._clear()
        self._put(FactsChange(values, hidden))
        self._table, self._table_size = table, table[1]
        self._log, self._size, self._reading, self._count = log, 0, self._reading + 1, 0
        self._recent.clear()

    def _read_log(self) -> None:
        path = self._folder / self._log
        if self._log == FIRST_LOG and not path.exists():
            return
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= self._size:
                return
            file.seek(self._size)
            content = file.read()
        changes, used = changes_of(content, path)
        self._size += used
        for change in changes:
            self._note(change)

    def _note(self, change: FactsChange) -> None:
        self._put(change)
        self._recent.append(change)
        self._count += 1

    def _put(self, change: FactsChange) -> None:
        for item, given in change.values.items():
            kept = self.values.get(item)
            if kept is None:
                kept = self.values[item] = {}
            for name, value in given.items():
                counted = self.kinds.get(name)
                if counted is None:
                    counted = self.kinds[name] = Counter()
                if name in kept:
                    counted[kind_of(kept[name])] -= 1
                counted[kind_of(value)] += 1
                kept[name] = value
        self.hidden.update(change.hidden)
        self.hidden.difference_update(change.shown)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Keep other threads from changing the facts while the block reads them."""
        with self._lock:
            yield

    # --------------------------------------------------------------------------------------------------- writing

    @contextmanager
    def writing(self) -> Iterator[Callable[[FactsChange], None]]:
        """Yield a function that takes a change; at the end all of them are on disk. The caller holds the folder's lock.

        Until then no other thread sees them. Where that fails, none is kept.

        Raises:
            ArtifactError: the disk is full, or the files are damaged.
        """
        with self._lock:
            self.catch_up()
            lines = list[bytes]()

            def add(change: FactsChange) -> None:
                self._note(change)
                lines.append(change.line())

            try:
                yield add
                if lines:
                    self._write(b"".join(lines))
            except BaseException:
                self._table = None  # memory is ahead of the disk: everything is read again
                raise

    def _write(self, content: bytes) -> None:
        path = self._folder / self._log
        fresh = not path.exists()
        with saying_disk_is_full(path, "; the changes are not kept"):
            append_to(path, self._size, content)
        if fresh:
            sync(self._folder)
        self._size += len(content)
        if self._size > max(LARGE, 2 * self._table_size):
            self.compact()

    def compact(self) -> None:
        """Write the table anew, with an empty log; the caller holds the folder's lock and has caught up."""
        with self._lock:
            found = _LOG_NAME.fullmatch(self._log)
            log = f"facts-{int(found[1]) + 1 if found else 1}.jsonl"
            (self._folder / log).write_bytes(b"")
            content = {"log": log, "values": self.values, "hidden": sorted(self.hidden)}
            write_json(self._folder / TABLE, content, indent=None)
            self._table = stat_of(self._folder / TABLE)
            self._table_size, self._log, self._size = self._table[1], log, 0
            for path in self._folder.glob("facts-*.jsonl"):
                if path.name != log:
                    path.unlink(missing_ok=True)


def read_file(path: Path) -> dict[str, Any]:
    """Read a JSON file of a catalogue's state; an empty table where it does not exist.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); restore it from a backup, or remove it") from None
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is damaged: it holds no table; restore it from a backup, or remove it")
    return content


def stat_of(path: Path) -> tuple[int, ...]:
    """Return what differs after a file was replaced or added to; zeros where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
