"""Warm a snapshot up: batches of every size through the engine, so that the first users do not wait for first uses."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from lexirec.models.compiled_rules import Rules
from lexirec.serving.answering.engine import Engine
from lexirec.serving.answering.histories import GivenEvent
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.answering.tasks import Task
from lexirec.serving.problems import ProblemError

SIZES = (1, 2, 8)
_LONGEST_WAIT, _PAUSE = 600.0, 0.05


def warm_up(snapshot: Snapshot, engine: Engine, *, k: int = 10) -> None:
    """Answer questions of random histories, one alone and several at once, three rounds in all.

    Raises:
        Exception: the model fails; the service would fail on its first request.
    """
    random = np.random.default_rng(0)
    ids = snapshot.catalog.item_ids
    longest = max(1, min(snapshot.reads[0], len(ids)))
    for size in (min(size, engine.limit) for size in SIZES):
        done, results = threading.Semaphore(0), list[Any]()

        def reply(result: Any, done: threading.Semaphore = done, results: list[Any] = results) -> None:
            results.append(result)
            done.release()

        for _ in range(size):
            chosen = random.choice(len(ids), int(random.integers(1, longest + 1)), replace=True)
            given = tuple(GivenEvent(ids[number]) for number in chosen)
            now = time.monotonic()
            rules = Rules(allowed=snapshot.available)
            _submit(
                engine,
                Task(snapshot, min(k, len(ids)), rules, None, given, True, False, now, now + _LONGEST_WAIT, reply),
            )
        for _ in range(size):
            done.acquire()
        for result in results:
            if isinstance(result, Exception):
                raise result


def _submit(engine: Engine, task: Task) -> None:
    """Queue a task; while the queue is full of requests, wait for room."""
    while True:
        try:
            engine.submit(task)
        except ProblemError as error:
            if error.kind != "overloaded" or time.monotonic() > task.deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return
