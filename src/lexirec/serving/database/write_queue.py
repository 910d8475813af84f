"""Jobs for the writer, and the bounded queue in which they wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from lexirec.serving.database.errors import OverloadedError, StorageUnavailableError

P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Write(Generic[P, T]):
    """A job for the writer.

    A job may be run again after a lost connection, so what it does twice must be what it does once.

    Attributes:
        run: Writes the payloads of one or more jobs and returns one result for each.
        payload: What this job writes.
        rows: Its size, for the limits of groups and of the queue.
        joins: Whether jobs with the same `run` may be run in one call.
        alone: Whether no other process may write meanwhile, and no other job be in the same transaction.
    """

    run: Callable[[Connection, Sequence[P]], Sequence[T]]
    payload: P
    rows: int = 1
    joins: bool = False
    alone: bool = False


def single(run: Callable[[Connection], T], rows: int = 1, *, alone: bool = False) -> Write[None, T]:
    """Return the job that calls one function with the connection."""
    return Write(lambda connection, _: [run(connection)], None, rows, alone=alone)


@dataclass(eq=False)
class Pending:
    """A job that waits, and what became of it."""

    job: Write[Any, Any]
    future: Future[Any]
    result: Any = None
    error: BaseException | None = None


class WriteQueue:
    """Jobs in the order of their arrival, bounded by their rows; many threads put, one takes."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows = 0
        self.refused = 0
        self.closed = False
        self._jobs: deque[Pending] = deque()
        self._condition = threading.Condition()

    def put(self, job: Write[P, T]) -> Future[T]:
        """Add a job.

        Raises:
            OverloadedError: its rows would be over the bound.
            StorageUnavailableError: the queue is closed.
        """
        future: Future[T] = Future()
        with self._condition:
            if self.closed:
                raise StorageUnavailableError("the database is being closed; nothing is written any more.")
            if self.rows + job.rows > self.capacity:
                self.refused += 1
                raise OverloadedError(
                    f"{self.rows:,} rows wait to be written and {job.rows:,} more would be over the {self.capacity:,}"
                    " that may; try again in a second."
                )
            self._jobs.append(Pending(job, future))
            self.rows += job.rows
            self._condition.notify()
        return future

    def wait(self, seconds: float) -> bool:
        """Wait for a job, or for the queue to be closed; return whether a job is there."""
        with self._condition:
            if not self._jobs and not self.closed:
                self._condition.wait(seconds)
            return bool(self._jobs)

    def take(self, rows: int, *, first: bool) -> list[Pending]:
        """Take jobs that have at most `rows` rows together; their callers can cancel them no more.

        Args:
            rows: Room in the group.
            first: Whether the group is empty: its first job may have any size, and may be one that runs alone.
        """
        taken: list[Pending] = []
        with self._condition:
            while self._jobs:
                job = self._jobs[0].job
                if not (first and not taken) and (job.rows > rows or job.alone):
                    break
                pending = self._jobs.popleft()
                self.rows -= job.rows
                if not pending.future.set_running_or_notify_cancel():
                    continue
                taken.append(pending)
                rows -= job.rows
                if job.alone:
                    break
        return taken

    def close(self) -> None:
        """Take no more jobs; those that wait stay."""
        with self._condition:
            self.closed = True
            self._condition.notify_all()

    def abandon(self, error: Exception) -> None:
        """Close, and tell everybody who waits that nothing was written."""
        self.close()
        for pending in self.take(self.capacity, first=True):
            pending.future.set_exception(error)


def neighbours(batch: Sequence[Pending]) -> Iterator[list[Pending]]:
    """Split jobs, in order, into runs of neighbours that may be run in one call."""
    run: list[Pending] = []
    for each in batch:
        if run and not (each.job.joins and run[-1].job.joins and each.job.run == run[-1].job.run):
            yield run
            run = []
        run.append(each)
    if run:
        yield run
