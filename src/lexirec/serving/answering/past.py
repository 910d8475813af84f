"""Reasons of a list that was answered before, computed anew by the model that answered, where it is still loaded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lexirec.core.errors import LexirecError
from lexirec.models.compiled_rules import Rules
from lexirec.serving.answering.compiling import RuleCompiler
from lexirec.serving.answering.engine import Engine
from lexirec.serving.answering.histories import GivenEvent
from lexirec.serving.answering.ranking import MODEL
from lexirec.serving.answering.snapshot import ModelIdentity, Snapshot
from lexirec.serving.answering.snapshots import Snapshots
from lexirec.serving.answering.tasks import Ranked, Task
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.recommend import RecommendRequest

NEWEST = 200
"""Stored events of a user that are read as history."""
WAIT_SECONDS = 10.0
_SAME_SCORE = 1e-3
_RECORDED = ("history", "history_mode", "boosts")
"""Fields of a recorded request that matter for the scores of given items."""


class PastList(NamedTuple):
    """A list that was answered.

    Attributes:
        model, catalog_version: What answered.
        source: Which of the snapshot's models scored the items.
        request: What was asked, as it was recorded.
        scores: The items, and the scores that they had.
        stored: Events of the user that were stored then, oldest first.
        used_events: Number of events that were read then; None where nobody recorded it.
    """

    model: ModelIdentity
    catalog_version: int
    source: str
    request: Mapping[str, Any]
    scores: Mapping[str, float]
    stored: Sequence[GivenEvent]
    used_events: int | None


class Reasons(NamedTuple):
    """Shares of events by item, and remarks; without shares where nothing can compute them."""

    shares: Mapping[str, tuple[tuple[str, float], ...]] | None
    remarks: tuple[str, ...] = ()


class PastReasons:
    """Computes reasons on the engine's thread, as those of new lists."""

    def __init__(self, snapshots: Snapshots, engine: Engine, compiler: RuleCompiler) -> None:
        """Use the snapshots that are loaded, the engine that runs their models, and the compiler of rules."""
        self._snapshots, self._engine, self._compiler = snapshots, engine, compiler

    async def of(self, past: PastList) -> Reasons:
        """Return the reasons of a list, or why there are none.

        Raises:
            ProblemError: too many requests wait, or the model does not answer in time.
        """
        if not past.scores:
            return Reasons({})
        snapshot = self._scored_by(past)
        if snapshot is None:
            return Reasons(None, (_gone(past),))
        try:
            task = self._task(past, snapshot)
        except LexirecError as error:
            return Reasons(None, (f"the request cannot be asked again: {error}",))
        result = await self._answer(task)
        if not isinstance(result, Ranked):
            return Reasons(None, ("the model failed; the log has the cause",))
        ids = snapshot.catalog.item_ids
        because = result.because or ((),) * len(result.items)
        shares = {ids[item]: because[place] for place, item in enumerate(result.items.tolist())}
        return Reasons(shares, tuple(_remarks(past, result, ids)))

    def _scored_by(self, past: PastList) -> Snapshot | None:
        """Return the snapshot that answered, with the model that scored the items as its only one."""
        for snapshot in self._snapshots.all:
            if snapshot.model != past.model or snapshot.catalog_version != past.catalog_version:
                continue
            models = {MODEL: snapshot.recommender} | {each.source: each.recommender for each in snapshot.simpler}
            if past.source in models and all(item in snapshot.numbers for item in past.scores):
                return replace(snapshot, recommender=models[past.source], simpler=())
        return None

    def _task(self, past: PastList, snapshot: Snapshot) -> Task:
        asked = {name: past.request[name] for name in _RECORDED if name in past.request}
        body = RecommendRequest.model_validate(asked)
        own = [
            GivenEvent(each) if isinstance(each, str) else GivenEvent(each.item_id, each.type) for each in body.history
        ]
        stored = () if body.history_mode == "replace" and own else past.stored
        allowed = np.zeros(len(snapshot.catalog), dtype=np.bool_)
        allowed[[snapshot.numbers[item] for item in past.scores]] = True
        now = time.monotonic()
        return Task(
            snapshot=snapshot,
            k=1,
            rules=Rules(allowed, self._compiler.rules(snapshot, body).rules.boosts),
            owner=None,
            given=(*stored, *own),
            exclude_seen=False,
            explain=True,
            arrived=now,
            deadline=now + WAIT_SECONDS,
            reply=lambda result: None,
            everything=True,
        )

    async def _answer(self, task: Task) -> Any:
        future: Future[Any] = Future()

        def reply(result: Any) -> None:
            if future.set_running_or_notify_cancel():
                future.set_result(result)

        task.reply = reply
        self._engine.submit(task)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise ProblemError(
                "deadline", f"the model did not answer within {WAIT_SECONDS:g} s; try again, or leave out explain"
            ) from None
        finally:
            task.dropped = True


def _gone(past: PastList) -> str:
    return (
        f"{past.model.name} of version {past.model.version} with version {past.catalog_version} of the catalogue is not"
        " loaded any more, so its reasons cannot be computed"
    )


def _remarks(past: PastList, result: Ranked, ids: Sequence[str]) -> list[str]:
    remarks = []
    used = len(result.history.items)
    if past.used_events is None:
        remarks.append("how many events were read then was not recorded; those of today's database were taken")
    elif used != past.used_events:
        remarks.append(
            f"{past.used_events} events were read then, {used} of them are known now (events came late, were"
            " deleted, or changed their owner); the reasons rest on the latter"
        )
    now = {ids[item]: float(score) for item, score in zip(result.items.tolist(), result.scores, strict=True)}
    moved = sum(abs(now.get(item, np.inf) - score) > _SAME_SCORE for item, score in past.scores.items())
    if moved and not remarks:
        remarks.append(f"{moved} scores are others now, as facts of items that boosts read have changed")
    return remarks
