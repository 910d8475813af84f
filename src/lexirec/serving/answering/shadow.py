"""A second model that computes beside the active one: its lists are compared with the answers and reach nobody.

It works after the answer, one list at a time, and only while the engine has nothing else to do.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from lexirec.core.errors import LexirecError
from lexirec.serving.answering.answers import make_task
from lexirec.serving.answering.compiling import RuleCompiler
from lexirec.serving.answering.engine import Engine
from lexirec.serving.answering.histories import owner_of
from lexirec.serving.answering.snapshots import Routed, Snapshots
from lexirec.serving.answering.tasks import Ranked
from lexirec.serving.schemas.recommend import Recommendation, RecommendRequest

_log = logging.getLogger(__name__)
WAITING = 8
"""Answers that may wait for their comparison; further ones are dropped."""
PAUSE_SECONDS = 0.005
"""Time for the answer to leave before the engine computes again."""
_LONGEST_SECONDS = 10.0
Count = Callable[[str, float | None], None]
"""Takes `done`, `dropped` or `failed`, and the overlap of a comparison that is done."""


class _Given(NamedTuple):
    body: RecommendRequest
    answer: Recommendation


class Shadow:
    """Compares answers with the candidate's lists, on a thread of its own."""

    def __init__(self, snapshots: Snapshots, engine: Engine, compiler: RuleCompiler, count: Count) -> None:
        """Prepare; `start` starts the thread.

        Args:
            snapshots: that answer, the candidate among them.
            engine: that computes.
            compiler: of rules.
            count: hears of every comparison.
        """
        self._snapshots, self._engine, self._compiler, self._count = snapshots, engine, compiler, count
        self._given: queue.Queue[_Given] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="lexirec-shadow", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Start the thread, where there is something to compare with."""
        if self._snapshots.split.shadow:
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the comparison that runs."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join(_LONGEST_SECONDS)

    def offer(self, body: Any, answer: Recommendation) -> None:
        """Compare an answer later, if its user is one of the candidate's and there is time; never waits."""
        split = self._snapshots.split
        if not split.shadow or not isinstance(body, RecommendRequest) or answer.variant != "active":
            return
        owner = owner_of(body.user_id, body.session_id)
        if self._snapshots.candidate is None or answer.fallback is not None or not split.takes(owner):
            return
        if self._engine.waiting:
            self._count("dropped", None)
            return
        try:
            self._given.put_nowait(_Given(body, answer))
        except queue.Full:
            self._count("dropped", None)

    def _run(self) -> None:
        while not self._stopping:
            try:
                given = self._given.get(timeout=1.0)
            except queue.Empty:
                continue
            time.sleep(PAUSE_SECONDS)
            candidate = self._snapshots.candidate
            if candidate is None or self._engine.waiting:
                self._count("dropped", None)
                continue
            try:
                overlap = self._compare(given, Routed(candidate, "candidate"))
            except Exception as error:
                if not isinstance(error, LexirecError):
                    _log.error("the candidate failed beside an answer", exc_info=error)
                self._count("failed", None)
                continue
            self._count("done", overlap)
            fields = {
                "recommendation_id": given.answer.recommendation_id,
                "candidate": candidate.model.reference,
                "k": given.body.k,
                "overlap": round(overlap, 4),
            }
            _log.info("compared with the candidate", extra={"fields": fields})

    def _compare(self, given: _Given, routed: Routed) -> float:
        """Return the number of items that both lists hold, as a share of the longer one."""
        body = given.body.model_copy(update={"explain": False, "return_fields": ()})
        now, done, results = time.monotonic(), threading.Event(), list[Any]()

        def reply(result: Any) -> None:
            results.append(result)
            done.set()

        task = make_task(body, routed, self._compiler.rules(routed.snapshot, body), now)
        task.reply, task.deadline = reply, now + _LONGEST_SECONDS
        self._engine.submit(task)
        if not done.wait(_LONGEST_SECONDS):
            task.dropped = True
            raise TimeoutError("the candidate did not answer")
        found = results[0]
        if not isinstance(found, Ranked):
            raise found
        ids = routed.snapshot.catalog.item_ids
        theirs = {ids[number] for number in found.items.tolist()}
        answered = [item.item_id for item in given.answer.items]
        return sum(item in theirs for item in answered) / max(1, len(answered), len(theirs))
