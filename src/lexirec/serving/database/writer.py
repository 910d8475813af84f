"""One thread that writes: jobs are grouped into transactions, and their futures resolve after the commit.

A commit costs a flush of the disk whether it holds one row or five hundred, so jobs that arrive while the disk works
are written by the next commit together. The writer never waits for more work: it takes what is there, and what arrives
while it writes, up to `GROUP_ROWS` rows or `GROUP_SECONDS`.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine, NestedTransaction
from sqlalchemy.exc import SQLAlchemyError

from lexirec.serving.database.connections import WRITING, failure_of, is_postgresql, reason, told
from lexirec.serving.database.errors import DatabaseError, StorageUnavailableError
from lexirec.serving.database.tables import counters
from lexirec.serving.database.upserts import insert_or_update
from lexirec.serving.database.write_queue import Pending, Write, WriteQueue, neighbours

_log = logging.getLogger(__name__)
GROUP_ROWS = 500
GROUP_SECONDS = 0.005
QUEUE_ROWS = 10_000
PATIENCE_SECONDS = 10.0
"""How long a group is tried again while the database does not answer or is locked, before it fails."""
_PAUSES = (0.05, 0.1, 0.25, 0.5)
_LAST_PAUSE = 1.0
_BEAT_SECONDS = 1.0
# PostgreSQL's advisory lock: shared by all transactions of writers, held alone by jobs that need it.
_LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(1819637861)"
_LOCK_ALONE = "SELECT pg_advisory_xact_lock(1819637861)"

P = TypeVar("P")
T = TypeVar("T")


@dataclass
class WriterCounts:
    """What a writer has done since its start."""

    commits: int = 0
    rows: int = 0
    jobs: int = 0
    failed_groups: int = 0


class Writer:
    """The thread that writes to a database; it starts with the first job.

    Attributes:
        counts: What it has done.
        on_commit: Called after every commit with its seconds and rows, in the writer's thread; for metrics.
        problem: Why the last group could not be written, as the one-line error, or None after a success.
    """

    def __init__(self, engine: Engine, *, queue_rows: int = QUEUE_ROWS, patience: float = PATIENCE_SECONDS) -> None:
        self.counts = WriterCounts()
        self.on_commit: Callable[[float, int], None] | None = None
        self.problem: DatabaseError | None = None
        self._engine = engine
        self._patience = patience
        self._queue = WriteQueue(queue_rows)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._connection: Connection | None = None
        self._beat = time.monotonic()

    def submit(self, job: Write[P, T]) -> Future[T]:
        """Queue a job; the future has its result after the commit, or the reason why nothing was written.

        Raises:
            OverloadedError: too many rows wait.
            StorageUnavailableError: the writer is closed.
        """
        future = self._queue.put(job)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._beat = time.monotonic()
                    self._thread = threading.Thread(target=self._work, name="lexirec-writer", daemon=True)
                    self._thread.start()
        return future

    @property
    def queued_rows(self) -> int:
        """Rows that wait."""
        return self._queue.rows

    @property
    def fullness(self) -> float:
        """Share of the queue that is taken, 0 to 1."""
        return self._queue.rows / self._queue.capacity

    @property
    def refused(self) -> int:
        """Jobs that were refused because too many rows waited."""
        return self._queue.refused

    def seconds_since_beat(self) -> float:
        """Seconds since the thread last showed that it lives; 0 before its first job."""
        return time.monotonic() - self._beat if self._thread is not None else 0.0

    def close(self, timeout: float = 25.0) -> bool:
        """Write what waits, move SQLite's log into the file and end the thread.

        Returns:
            Whether everything was written in time; jobs that were not are not acknowledged.
        """
        self._queue.close()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -------------------------------------------------------------------------------------------------- the thread

    def _work(self) -> None:
        try:
            while True:
                self._beat = time.monotonic()
                if self._queue.wait(_BEAT_SECONDS):
                    self._write_group()
                elif self._queue.closed:
                    break
                elif self.problem is not None:
                    self._probe()
            self._end()
        except BaseException as error:  # a thread that ends must not leave anybody waiting
            _log.exception("the writer's thread ended")
            self._queue.abandon(StorageUnavailableError(f"the writer ended ({type(error).__name__}); start again."))
            raise

    def _write_group(self) -> None:
        """Write one transaction; try again while the database does not answer, up to the patience."""
        group = self._queue.take(GROUP_ROWS, first=True)
        if not group:  # all were cancelled
            return
        started = time.monotonic()
        for pause in itertools.chain(_PAUSES, itertools.repeat(_LAST_PAUSE)):
            self._beat = time.monotonic()
            try:
                seconds = self._transaction(group)
            except BaseException as error:
                failure = failure_of(error)
                self._disconnect(lost=failure == "lost")
                if failure in ("lost", "busy") and self._may_retry(started):
                    time.sleep(pause)
                    continue
                self._fail(group, error)
                if not isinstance(error, Exception):
                    raise
                return
            self._resolve(group, seconds)
            return

    def _may_retry(self, started: float) -> bool:
        """Be patient with the first group only: the ones behind it would each wait as long."""
        return self.problem is None and time.monotonic() - started < self._patience

    def _transaction(self, group: list[Pending]) -> float:
        """Run the group, and what arrives meanwhile, in one transaction, and commit it; return the seconds."""
        started = time.perf_counter()
        connection = self._connected()
        alone = group[0].job.alone
        with connection.begin():
            if is_postgresql(connection):
                connection.exec_driver_sql(_LOCK_ALONE if alone else _LOCK_SHARED)
            batch = list(group)
            while batch:
                self._run(connection, batch)
                room = GROUP_ROWS - sum(each.job.rows for each in group)
                if alone or room <= 0 or time.perf_counter() - started >= GROUP_SECONDS:
                    break
                batch = self._queue.take(room, first=False)
                group += batch
        return time.perf_counter() - started

    def _run(self, connection: Connection, batch: Sequence[Pending]) -> None:
        """Run jobs in order, neighbours that join in one call, each call in a savepoint of its own."""
        for jobs in neighbours(batch):
            self._beat = time.monotonic()
            try:
                self._call(connection, jobs)
            except Exception as error:
                if failure_of(error) != "other" or isinstance(error, _TransactionLostError):
                    raise
                if len(jobs) == 1:
                    jobs[0].error = error
                    continue
                for each in jobs:  # one of them is bad; the others are written
                    self._run(connection, [each])

    def _call(self, connection: Connection, jobs: Sequence[Pending]) -> None:
        job = jobs[0].job
        savepoint = connection.begin_nested()
        try:
            results = job.run(connection, [each.job.payload for each in jobs])
        except Exception as error:
            if failure_of(error) == "other":  # else the transaction is gone already, and its savepoints with it
                _back_to(savepoint, error)
            raise
        savepoint.commit()
        for each, result in zip(jobs, results, strict=True):
            each.result, each.error = result, None

    def _resolve(self, group: Sequence[Pending], seconds: float) -> None:
        self.problem = None
        rows = sum(each.job.rows for each in group if each.error is None)
        self.counts.commits += 1
        self.counts.jobs += len(group)
        self.counts.rows += rows
        for each in group:
            if each.error is None:
                each.future.set_result(each.result)
            else:
                each.future.set_exception(self._told(each.error))
        if self.on_commit is not None:
            try:
                self.on_commit(seconds, rows)
            except Exception:
                _log.exception("the callback after a commit failed")

    def _fail(self, group: Sequence[Pending], error: BaseException) -> None:
        """Tell a group that nothing of it was written."""
        self.counts.failed_groups += 1
        self.problem = told(failure_of(error), self._engine)
        _log.error("%s %d jobs were not written: %s", self.problem, len(group), reason(error))
        for each in group:
            each.future.set_exception(told(failure_of(error), self._engine))

    def _told(self, error: BaseException) -> BaseException:
        """Return an error without SQL: errors of the driver become one line, all others stay."""
        if not isinstance(error, SQLAlchemyError):
            return error
        _log.error("a job failed: %s", reason(error))
        return told(failure_of(error), self._engine)

    def _probe(self) -> None:
        """Try to write while nobody does, so that the service sees when space or the server has returned."""
        try:
            with self._connected() as connection, connection.begin():
                insert_or_update(connection, counters, [{"name": "probe", "value": int(time.time())}])
        except SQLAlchemyError as error:
            self._disconnect(lost=failure_of(error) == "lost")
        else:
            self._connection, self.problem = None, None

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(**{WRITING: True})
        return self._connection

    def _disconnect(self, *, lost: bool) -> None:
        """Give the connection back; one that was lost takes the pool's others with it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if lost:
                connection.invalidate()
            connection.close()
        except SQLAlchemyError as error:
            _log.warning("closing a connection failed: %s", reason(error))

    def _end(self) -> None:
        """Move SQLite's log into the database file, so that the file alone is the database."""
        self._disconnect(lost=False)
        if is_postgresql(self._engine):
            return
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        except SQLAlchemyError as error:
            _log.warning("the log was not moved into the database file: %s", reason(error))


class _TransactionLostError(Exception):
    """The transaction ended with a job's error; what was written before it in the group is gone, too."""


def _back_to(savepoint: NestedTransaction, error: Exception) -> None:
    """Undo what a job wrote; where the database has undone everything, the group must not be committed."""
    try:
        savepoint.rollback()
    except SQLAlchemyError:
        raise _TransactionLostError(reason(error)) from error
