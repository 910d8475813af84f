"""The engine: one thread that owns the model, joins waiting tasks into batches, and never waits while something does.

A batch begins as soon as the thread is idle and a task waits; what arrives meanwhile makes the next one. Stored events
of all users of a batch are read with one query. Tasks whose client left, or whose deadline passed while they waited,
are dropped before the model sees them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lexirec.core.progress import quiet
from lexirec.serving.answering.histories import StoredEvents, understand
from lexirec.serving.answering.ranking import answer_tasks, explain_task
from lexirec.serving.answering.tasks import Ranked, Task
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.event_rules import EventRules
from lexirec.serving.problems import ProblemError
from lexirec.serving.settings import BatchingSettings

_log = logging.getLogger(__name__)
BEAT_SECONDS = 1.0
"""The thread wakes at least this often, to say that it lives."""

WAIT_SHARE = 0.8
"""Share of a request's time in which its answer must be expected, where whole batches wait before it."""
NEWEST_SHARE = 0.3
"""Weight of the newest round in what is expected of the next ones."""


class EngineObserver(Protocol):
    """Hears of batches, for metrics; called on the engine's thread."""

    def batch(self, requests: int, tokens: int) -> None:
        """A batch was answered."""

    def ran(self, stage: str, seconds: float) -> None:
        """A stage of the model took so long for a batch: `search`, `score` or `explain`."""

    def failed(self, error: BaseException) -> None:
        """The model raised an error."""


@dataclass(frozen=True)
class _Silent:
    def batch(self, requests: int, tokens: int) -> None:
        """Hear nothing."""

    def ran(self, stage: str, seconds: float) -> None:
        """Hear nothing."""

    def failed(self, error: BaseException) -> None:
        """Hear nothing."""


class Engine:
    """Answers tasks in batches on a thread of its own.

    Attributes:
        beat: `time.monotonic` of the thread's last sign of life.
        limit: Number of tasks that may wait.
        meaning: Of the types of events.
    """

    def __init__(
        self,
        batching: BatchingSettings,
        waiting: int,
        stored: StoredEvents,
        meaning: EventRules,
        observer: EngineObserver | None = None,
    ) -> None:
        """Prepare an engine; `start` starts its thread.

        Args:
            batching: limits of a batch.
            waiting: tasks that may wait.
            stored: reads the stored events of users.
            meaning: of the types of events.
            observer: hears of batches.
        """
        self._batching, self.limit = batching, waiting
        self._stored, self.meaning, self._observer = stored, meaning, observer or _Silent()
        self._tasks: deque[Task] = deque()
        self._ready = threading.Condition()
        self._stopping = False
        self._round = 0.0  # seconds of a round, smoothed
        self._thread = threading.Thread(target=self._run, name="lexirec-engine", daemon=True)
        self.beat = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Answer what waits, then end the thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Number of tasks that wait."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """Queue a task.

        Raises:
            ProblemError: too many tasks wait (`overloaded`), or the engine stops (`not-ready`).
        """
        with self._ready:
            if self._stopping:
                raise ProblemError("not-ready", "the service is stopping; ask another replica")
            if len(self._tasks) >= self.limit:
                raise ProblemError(
                    "overloaded", f"{len(self._tasks)} requests wait, at most {self.limit} may; try again in a second"
                )
            if self._too_late(task):
                raise ProblemError(
                    "overloaded",
                    f"{len(self._tasks)} requests wait, too many for timeout_ms; try again in a second",
                )
            self._tasks.append(task)
            self._ready.notify()

    def _too_late(self, task: Task) -> bool:
        """Say whether a task would probably not be answered in time: refused at once, it costs others nothing."""
        rounds = len(self._tasks) // self._batching.max_batch_requests
        expected = (rounds + 2) * self._round  # the one that runs, those before, and its own
        return rounds > 0 and expected > WAIT_SHARE * (task.deadline - time.monotonic())

    # ------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        with quiet():  # no progress bars of searches
            while (tasks := self._take()) is not None:
                if tasks:
                    started = time.monotonic()
                    self._answer(tasks)
                    self._round += NEWEST_SHARE * (time.monotonic() - started - self._round)

    def _take(self) -> list[Task] | None:
        """Return the tasks of the next round, none after a second without any; None at the end."""
        with self._ready:
            if not self._tasks and not self._stopping:
                self._ready.wait(BEAT_SECONDS)
            self.beat = time.monotonic()
            if not self._tasks:
                return None if self._stopping else []
            most = min(len(self._tasks), self._batching.max_batch_requests)
            tasks = [self._tasks.popleft() for _ in range(most)]
        return [task for task in tasks if not task.dropped and task.deadline > self.beat]

    def _answer(self, tasks: list[Task]) -> None:
        try:
            tasks = self._read(tasks)
        except Exception as error:
            self._fail(tasks, error)
            return
        for batch in self._batches(tasks):
            started = time.monotonic()
            try:
                results = answer_tasks(batch, self._observer.ran)
            except Exception as error:
                self._fail(batch, error)
                continue
            seconds = time.monotonic() - started
            self._observer.batch(len(batch), sum(map(_tokens, batch)))
            for task, result in zip(batch, results, strict=True):
                self._reply(task, result, (started - task.arrived, seconds))
            self.beat = time.monotonic()

    def _reply(self, task: Task, result: Ranked, seconds: tuple[float, float]) -> None:
        if task.explain and len(result.items) and not task.dropped:
            started = time.monotonic()
            try:
                result = result._replace(because=explain_task(task, result))
            except Exception as error:
                self._fail([task], error)
                return
            self._observer.ran("explain", time.monotonic() - started)
        task.reply(result._replace(seconds=seconds))

    def _read(self, tasks: list[Task]) -> list[Task]:
        """Give every task its history; return those that have one, without users whom the database does not tell."""
        owners = list({task.owner for task in tasks if task.owner is not None})
        try:
            stored = self._stored(owners) if owners else {}
        except DatabaseError as error:
            _log.warning("the events of %d users cannot be read: %s", len(owners), error)
            for task in tasks:
                if task.owner is not None:
                    task.reply(error)
            tasks, stored = [task for task in tasks if task.owner is None], {}
        for task in tasks:
            events = stored.get(task.owner) if task.owner is not None else None
            task.history = understand(events, task.given, self.meaning, task.snapshot.numbers.get)
        return tasks

    def _batches(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Yield batches of one snapshot each, within the limit on tokens, in the order of arrival.

        A task whose search is recorded is a batch of its own.
        """
        by_snapshot: dict[tuple[int, int], list[Task]] = {}
        for task in tasks:
            by_snapshot.setdefault((id(task.snapshot), id(task.recorder)), []).append(task)
        for group in by_snapshot.values():
            batch, tokens = list[Task](), 0
            for task in group:
                more = _tokens(task)
                if batch and tokens + more > self._batching.max_batch_tokens:
                    yield batch
                    batch, tokens = [], 0
                batch.append(task)
                tokens += more
            yield batch

    def _fail(self, tasks: Sequence[Task], error: Exception) -> None:
        """Tell every task of an error; its caller answers with a simpler model."""
        _log.error("the model failed on %d requests", len(tasks), exc_info=error)
        self._observer.failed(error)
        for task in tasks:
            task.reply(error)


def _tokens(task: Task) -> int:
    """Return the tokens that the model reads of a task's history."""
    assert task.history is not None, "histories are read before batches are made"
    longest, each = task.snapshot.reads
    return (min(len(task.history.items), longest) + 1) * each
