"""Give shards to workers, start lost workers anew, and put aside shards that fail again and again.

An executor (`shards.processes`, `shards.ray_tasks`) starts workers and carries messages; which shard goes where is
decided here.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from lexirec.core.errors import ArtifactError
from lexirec.shards.plan import Shard

MOST_FAILURES = 3
"""Failed attempts after which a shard is put aside."""
MOST_LOST = 8
"""Workers lost over one shard, or one after the other before any is ready, after which this is no accident."""
_log = logging.getLogger(__name__)


class Message(NamedTuple):
    """What a worker says, or what became of it.

    `ready` once its state is loaded, then `done` or `failed` for each shard; `broken` where the state cannot be loaded,
    `lost` where the worker is gone; `text` says why.
    """

    kind: Literal["ready", "done", "failed", "broken", "lost"]
    text: str = ""


class Workers(Protocol):
    """An executor's workers, known by their numbers."""

    def start(self, worker: int) -> None:
        """Start a worker, which loads its state."""

    def give(self, worker: int, shard: int) -> None:
        """Let a worker that is ready make a part."""

    def wait(self) -> Sequence[tuple[int, Message]]:
        """Wait until at least one worker has something to say."""

    def stop(self) -> None:
        """End all workers."""


class Failure(NamedTuple):
    """A shard that was put aside."""

    shard: int
    error: str


class Scheduler:
    """Brings shards and workers together.

    Attributes:
        failures: Shards that were put aside.
    """

    def __init__(self, pending: Sequence[Shard], done: Callable[[Shard], None]) -> None:
        """Plan to make pending shards; `done` hears of each that is finished."""
        self.failures: list[Failure] = []
        self._queue, self._done = deque(pending), done
        self._attempts, self._losses = Counter[int](), Counter[int]()
        self._busy: dict[int, Shard | None] = {}
        self._idle: list[int] = []
        self._lost_early = 0

    def run(self, workers: Workers, count: int) -> None:
        """Run until every shard is made or put aside.

        Raises:
            ArtifactError: workers cannot load their state, or end again and again before they are ready.
        """
        for worker in range(min(count, len(self._queue))):
            self._start(workers, worker)
        while self._queue or any(shard is not None for shard in self._busy.values()):
            for worker, message in workers.wait():
                self._hear(workers, worker, message)
            while self._queue and self._idle:
                worker, shard = self._idle.pop(), self._queue.popleft()
                self._busy[worker] = shard
                workers.give(worker, shard.number)

    def _start(self, workers: Workers, worker: int) -> None:
        self._busy[worker] = None
        workers.start(worker)

    def _hear(self, workers: Workers, worker: int, message: Message) -> None:
        if message.kind == "broken":
            raise ArtifactError(message.text)
        shard = self._busy[worker]
        self._busy[worker] = None
        if message.kind == "lost":
            self._lose(worker, shard, message.text)
            if worker in self._idle:
                self._idle.remove(worker)
            if self._queue:
                self._start(workers, worker)
            return
        self._idle.append(worker)
        self._lost_early = 0
        if shard is not None and message.kind == "done":
            self._done(shard)
        elif shard is not None:
            self._attempts[shard.number] += 1
            self._again(shard, message.text, self._attempts[shard.number] >= MOST_FAILURES)

    def _lose(self, worker: int, shard: Shard | None, why: str) -> None:
        """Note that a worker is gone; its shard is not to blame at once, as the worker may have been killed."""
        _log.warning("worker %d is lost (%s); another takes its place", worker, why)
        if shard is None:
            self._lost_early += 1
            if self._lost_early >= MOST_LOST:
                raise ArtifactError(
                    f"{MOST_LOST} workers ended one after the other before they were ready (the last one: {why}); where"
                    " memory is short, use fewer workers"
                )
            return
        self._losses[shard.number] += 1
        self._again(shard, f"its worker is lost: {why}", self._losses[shard.number] >= MOST_LOST)

    def _again(self, shard: Shard, error: str, last: bool) -> None:
        if last:
            self.failures.append(Failure(shard.number, error))
            _log.error("shard %d is put aside: %s", shard.number, error)
        else:
            _log.warning("shard %d failed and is tried again: %s", shard.number, error)
            self._queue.append(shard)
