"""Making one part: what a task is, and one attempt at a shard, the same on every executor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lexirec.core.errors import ArtifactError, LexirecError
from lexirec.shards.parts import write_part
from lexirec.shards.plan import Shard, ShardPlan
from lexirec.shards.scheduling import Message

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables of the number of threads; a worker has one, so that parts are the same with any number of workers."""


class ShardTask(Protocol):
    """What makes the parts of a plan; it travels to workers, so it holds paths and settings, no models or tables."""

    def setup(self) -> Any:
        """Load what all shards need, once in every worker.

        Raises:
            LexirecError: it cannot be loaded; the whole run ends with this line.
        """

    def run(self, shard: Shard, state: Any) -> pa.Table:
        """Return the rows of a shard, one per row of the plan; the same whoever makes them, and in which order."""


@dataclass(frozen=True)
class Job:
    """A task over a plan, and the folder of its parts."""

    plan: ShardPlan
    task: ShardTask
    out: Path

    def make(self, number: int, state: Any) -> None:
        """Make a part, unless it is there.

        Raises:
            ArtifactError: the task returns another number of rows, or the disk is full.
        """
        path, shard = self.plan.part(self.out, number), self.plan.shard(number)
        if path.exists():
            return
        table = self.task.run(shard, state)
        if table.num_rows != len(shard):
            raise ArtifactError(f"shard {number} has {len(shard):,} rows, but {table.num_rows:,} came back")
        write_part(path, table)


def attempt(job: Job, shard: int, state: Any) -> Message:
    """Make a part once; return what a worker says about it."""
    try:
        job.make(shard, state)
    except Exception as error:
        return Message("failed", one_line(error))
    return Message("done")


def one_line(error: BaseException) -> str:
    """Return what went wrong in one line: the message of our own errors, kind and message of others."""
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, LexirecError) else f"{type(error).__name__}: {text}"


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Compute on one thread, as workers do, while the block runs."""
    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else None
    with threadpool_limits(1):
        if torch is not None:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)
