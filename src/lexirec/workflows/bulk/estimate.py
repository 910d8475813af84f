"""What a run will take, by a probe of a few users."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.shards.making import on_one_thread
from lexirec.shards.plan import Shard
from lexirec.workflows.bulk.answering import Answering
from lexirec.workflows.bulk.inputs import Inputs

PROBE = 200
"""Users of a probe."""
_WARM_UP = 16
_REPEATS, _LONGEST = 5, 3.0
"""Times that a quick probe is repeated, as other processes disturb a short measurement, and seconds that suffice."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        users: Of the shards that are pending.
        ranked: Of these, users whose lists are computed one by one.
        newcomers: Users without events, who share one list.
        copied: Users whose lists are taken over from an earlier run.
        parts: Shards that are pending.
        workers: Number of workers, one thread each.
        users_per_second: Of one worker, in the probe; 0 where nobody is ranked.
        load_seconds: Until a worker is ready.
        seconds: Of the whole run.
        bytes: Of the parts on disk.
    """

    users: int
    ranked: int
    newcomers: int
    copied: int
    parts: int
    workers: int
    users_per_second: float
    load_seconds: float
    seconds: float
    bytes: int


def estimate(
    state: Answering, pending: Sequence[Shard], workers: int, load_seconds: float, probe: int = PROBE
) -> Estimate:
    """Measure the lists of some users, spread over all, and return what the pending shards will take.

    Args:
        state: The model and the inputs.
        pending: Shards that are to be made.
        workers: Number of workers.
        load_seconds: What loading the model took.
        probe: Users of the probe, at most.
    """
    rows = (
        np.concatenate([np.arange(shard.start, shard.stop) for shard in pending]) if pending else np.empty(0, np.int64)
    )
    copied, newcomers = _kinds(state.inputs, rows)
    ranked = rows[~copied & ~newcomers]
    rate, row_bytes = _measured(state, ranked, probe)
    workers = max(1, min(workers, len(pending)))
    seconds = len(ranked) / rate / workers if rate else 0.0
    return Estimate(
        users=len(rows),
        ranked=len(ranked),
        newcomers=int(newcomers.sum()),
        copied=int(copied.sum()),
        parts=len(pending),
        workers=workers,
        users_per_second=rate,
        load_seconds=load_seconds,
        seconds=load_seconds + seconds,
        bytes=round(row_bytes * len(rows)),
    )


def _kinds(inputs: Inputs, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whose lists are copied, and who else has no event."""
    copied = np.zeros(len(rows), dtype=np.bool_) if inputs.copied is None else np.asarray(inputs.copied[rows]) >= 0
    events = sum(each.lengths[rows] for each in (inputs.history, inputs.seen, inputs.never) if each is not None)
    return copied, (np.asarray(events) == 0) & ~copied


def _measured(state: Answering, rows: NDArray[np.int64], probe: int) -> tuple[float, float]:
    """Return the users per second of one worker, and the bytes of a user on disk."""
    if not len(rows):
        return 0.0, 0.0
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(probe, len(rows))).astype(np.int64))]
    with on_one_thread():
        table = state.lists(chosen[:_WARM_UP])
        seconds = list[float]()
        while len(seconds) < _REPEATS and sum(seconds) < _LONGEST:
            begun = time.perf_counter()
            table = state.lists(chosen)
            seconds.append(time.perf_counter() - begun)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return len(chosen) / statistics.median(seconds), sink.tell() / len(chosen)
