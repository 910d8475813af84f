"""Run a task over the pending shards of a plan: in this process, in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.files import write_json
from lexirec.core.progress import Progress
from lexirec.shards.making import Job, ShardTask, attempt
from lexirec.shards.plan import Shard, ShardPlan, Share
from lexirec.shards.scheduling import MOST_FAILURES, Failure, Message, Scheduler, Workers

Executor = Literal["this", "processes", "ray"]
Done = Callable[[Shard], None]


def run_shards(
    plan: ShardPlan,
    task: ShardTask,
    out: Path,
    *,
    executor: Executor = "this",
    workers: int = 1,
    share: Share | None = None,
) -> int:
    """Make the parts that are pending, each whole or not at all; a killed run carries on where it was.

    Every worker computes on one thread, but this process on all it has: a task whose parts shall not depend on that
    limits itself (`on_one_thread`). A worker that is lost is replaced, and its shard made anew. A shard that fails
    three times is put aside with its error in `_failed-NUMBER-KEY.json`; the next run tries it again.

    Args:
        plan: The shards.
        task: Makes the rows of a shard.
        out: Folder of the parts, which all workers see; it is created if needed.
        executor: "this" process; "processes", which `multiprocessing` spawns; or "ray", one task per CPU of a cluster.
        workers: Number of workers, where they are not this process.
        share: Shards of this process, where several runs share a plan; by default all.

    Returns:
        The number of parts that were made.

    Raises:
        SettingsError: there is no such executor, `workers` is below 1, or Ray is not installed.
        ArtifactError: the folder holds parts of another plan; the state cannot be loaded; or shards were put aside,
            whose numbers and first error the message gives.
    """
    if workers < 1:
        raise SettingsError(f"workers = {workers}: at least one is needed")
    if executor not in ("this", "processes", "ray"):
        raise SettingsError(f"executor '{executor}' is unknown; allowed are this, processes and ray")
    out.mkdir(parents=True, exist_ok=True)
    pending = plan.pending(out, share)
    if not pending:
        return 0
    for shard in pending:
        _failure_file(plan, out, shard.number).unlink(missing_ok=True)
    job, report = Job(plan, task, out), _Report(plan, pending, share)
    with report:
        failures = _run(job, pending, report.made, (executor, workers))
    for failure in failures:
        _put_aside(plan, out, failure)
    if failures:
        numbers = ", ".join(str(failure.shard) for failure in sorted(failures))
        raise ArtifactError(
            f"{len(failures):,} of {len(pending):,} shards failed {MOST_FAILURES} times and are put aside: {numbers} "
            f"({failures[0].error}); all others are done; run the same command again to try them again"
        )
    return len(pending)


def _run(job: Job, pending: Sequence[Shard], done: Done, how: tuple[Executor, int]) -> list[Failure]:
    executor, count = how
    scheduler = Scheduler(pending, done)
    if executor == "this":
        scheduler.run(_ThisProcess(job, job.task.setup()), 1)
        return scheduler.failures
    workers: Workers
    if executor == "ray":
        from lexirec.shards.ray_tasks import RayWorkers

        workers = RayWorkers(job)
    else:
        from lexirec.shards.processes import ProcessWorkers

        workers = ProcessWorkers(job)
    try:
        scheduler.run(workers, count)
    finally:
        workers.stop()
    return scheduler.failures


def _failure_file(plan: ShardPlan, out: Path, number: int) -> Path:
    return out / f"_failed-{number:05d}-{plan.key}.json"


def _put_aside(plan: ShardPlan, out: Path, failure: Failure) -> None:
    shard = plan.shard(failure.shard)
    rows = {"first_row": shard.start, "last_row": shard.stop - 1}
    write_json(_failure_file(plan, out, failure.shard), {"shard": failure.shard, **rows, "error": failure.error})


class _Report(Progress):
    """Progress in parts, with the rows per second and the time left by rows."""

    def __init__(self, plan: ShardPlan, pending: Sequence[Shard], share: Share | None) -> None:
        mine = len(plan) if share is None else len(range(share.number, len(plan), share.of))
        super().__init__("parts", mine)
        self._before, self._left_rows = mine - len(pending), sum(len(shard) for shard in pending)
        self._rows, self._begun = 0, time.monotonic()

    def made(self, shard: Shard) -> None:
        """Count a shard as done."""
        if self._before:
            self.advance(self._before)
            self._before = 0
        self._rows += len(shard)
        rate = self._rows / max(time.monotonic() - self._begun, 1e-9)
        self.done += 1  # before the text, which is logged with the count
        self.update(f"{rate:,.0f} rows/s", (self._left_rows - self._rows) / rate)
        self.done -= 1
        self.advance()


class _ThisProcess:
    """The one worker that is this process."""

    def __init__(self, job: Job, state: Any) -> None:
        self._job, self._state, self._said = job, state, list[Message]()

    def start(self, worker: int) -> None:
        self._said.append(Message("ready"))

    def give(self, worker: int, shard: int) -> None:
        self._said.append(attempt(self._job, shard, self._state))

    def wait(self) -> Sequence[tuple[int, Message]]:
        said, self._said = self._said, []
        return [(0, message) for message in said]

    def stop(self) -> None:
        pass
