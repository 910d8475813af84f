"""Write changes of facts: those that wait at the same time are checked one by one, then written and synced together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from lexirec.core.errors import LexirecError
from lexirec.core.locks import briefly
from lexirec.models.facts_file import FactsChange, FactsFile
from lexirec.models.present_items import check_values


@dataclass(eq=False)
class _Job:
    change: FactsChange
    done: bool = False
    changed: int = 0
    problem: BaseException | None = field(default=None)


class FactWriter:
    """Writes changes of the facts of a folder; any number of threads and processes may.

    Attributes:
        file: The facts.
    """

    def __init__(self, folder: Path, schema: Callable[[], pa.Schema]) -> None:
        """Write into the folder of a catalogue's state; `schema` returns the columns of the active version."""
        self.file = FactsFile(folder)
        self._folder, self._schema = folder, schema
        self._waiting: list[_Job] = []
        self._listing, self._writing = threading.Lock(), threading.Lock()

    def put(self, change: FactsChange) -> int:
        """Write a change; it is on disk when this returns. Return how many items it changed.

        Raises:
            DataError: a value is of another kind than its column.
            ArtifactError: the disk is full, or the files are damaged.
        """
        job = _Job(change)
        with self._listing:
            self._waiting.append(job)
        with self._writing:
            if not job.done:  # else another thread wrote it together with its own
                self._write()
        if job.problem is not None:
            raise job.problem
        return job.changed

    def _write(self) -> None:
        with self._listing:
            jobs, self._waiting = self._waiting, []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with briefly(self._folder / ".facts.lock"), self.file.writing() as add:
                schema = self._schema()
                for job in jobs:
                    self._take(job, add, schema)
        except BaseException as error:
            for job in jobs:
                job.problem = job.problem or error
        for job in jobs:
            job.done = True

    def _take(self, job: _Job, add: Callable[[FactsChange], None], schema: pa.Schema) -> None:
        file, change = self.file, job.change
        try:
            check_values(change.values, file.values, file.kinds, schema)
        except LexirecError as error:
            job.problem = error
            return
        hidden, shown = set(change.hidden) - file.hidden, set(change.shown) & file.hidden
        job.changed = len(change.values) + len(hidden) + len(shown)
        add(change)
