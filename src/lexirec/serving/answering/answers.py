"""Answers to requests for lists: compile the rules, ask the engine, fall back to simpler models, build the answer."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lexirec.decoding.recording import BeamRecorder
from lexirec.serving.answering.compiling import Compiled, RuleCompiler
from lexirec.serving.answering.engine import Engine
from lexirec.serving.answering.histories import GivenEvent, StoredEvents, owner_of, understand
from lexirec.serving.answering.ranking import answer_simply
from lexirec.serving.answering.similar import find_similar
from lexirec.serving.answering.snapshots import Routed, Snapshots
from lexirec.serving.answering.tasks import Ranked, Task
from lexirec.serving.database.clock import SteadyClock
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.event_rules import EventRules
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.recommend import (
    HistoryItem,
    RankRequest,
    Recommendation,
    RecommendRequest,
    SimilarAnswer,
    SimilarRequest,
)

_log = logging.getLogger(__name__)
_clock = SteadyClock()
Observe = Callable[[RecommendRequest | RankRequest, Recommendation, int, Sequence[int]], None]

MOST_HELPED = 32
"""Requests that may wait for a simpler model; the next one is refused, as its answer would be late, too."""


@dataclass(frozen=True)
class Reading:
    """How stored events are found and what they mean.

    Attributes:
        stored: Reads them.
        meaning: Of the types.
    """

    stored: StoredEvents
    meaning: EventRules = field(default=EventRules())


class Answers:
    """Answers requests on the event loop; models run on the engine's thread, simpler ones on one of their own.

    Attributes:
        reading: How stored events are found and what they mean.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        engine: Engine,
        compiler: RuleCompiler,
        reading: Reading,
        *,
        fallback: bool = True,
        observe: Observe | None = None,
    ) -> None:
        """Combine the parts.

        Args:
            snapshots: that answer.
            engine: that runs the model.
            compiler: of rules.
            reading: of stored events.
            fallback: whether simpler models answer where the model does not in time, or fails.
            observe: hears of every answer, of how many of its items were not legal, and of the ranks of those that are
                newer than the model, on the event loop.
        """
        self._snapshots, self._engine, self._compiler, self.reading = snapshots, engine, compiler, reading
        self._fallback, self._observe = fallback, observe
        self._simple = ThreadPoolExecutor(1, thread_name_prefix="lexirec-simple")
        self._helped = 0

    def close(self) -> None:
        """End the thread of the simpler models."""
        self._simple.shutdown(wait=False, cancel_futures=True)

    async def recommend(
        self, body: RecommendRequest | RankRequest, *, recorder: BeamRecorder | None = None
    ) -> Recommendation:
        """Answer a request for a list.

        Args:
            body: the request.
            recorder: takes down the beam search. Such an answer is a preview: nobody is shown it, so it is not counted.

        Raises:
            ProblemError: a value cannot be used, too many requests wait, or nothing answers.
        """
        arrived = time.monotonic()
        if body.min_catalog_version is not None:
            await self._snapshots.reached(body.model, body.min_catalog_version, body.timeout_ms / 1000)
        routed = self._snapshots.route(body.model, body.catalog_version, owner_of(body.user_id, body.session_id))
        compiled = self._compiler.rules(routed.snapshot, body)
        task = make_task(body, routed, compiled, arrived)
        task.recorder = recorder
        ranked = await self._ranked(task)
        unknown = (*ranked.history.unknown, *compiled.unknown)
        if unknown and body.on_unknown == "error":
            raise ProblemError(
                "unknown-item", f"{_listed(unknown)} not in the catalogue; send such items first, or skip them"
            )
        answer = _answer(body, task, ranked, (unknown, compiled.remarks))
        if self._observe is not None and recorder is None:
            self._observe(body, answer, invalid_items(task, ranked), new_ranks(task, ranked))
        return answer

    def similar(self, body: SimilarRequest) -> SimilarAnswer:
        """Answer a request for similar items.

        Raises:
            ProblemError: none of the items is known, or a filter cannot be used.
        """
        snapshot = self._snapshots.pick(None, None)
        return find_similar(snapshot, body, self._compiler.rules(snapshot, body))

    async def _ranked(self, task: Task) -> Ranked:
        """Ask the engine; on a deadline or an error of the model, a simpler one."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any) -> None:
            if not future.done():
                future.set_result(result)

        task.reply = lambda result: _call_soon(loop, settle, result)
        self._engine.submit(task)
        try:
            async with asyncio.timeout_at(loop.time() + task.deadline - time.monotonic()):
                result = await future
        except TimeoutError:
            return await self._simpler(task, "deadline")
        finally:
            task.dropped = True  # nobody waits any more: it has answered, is too late, or the client has left
        if isinstance(result, ProblemError | DatabaseError):  # what a user must not see again is unknown, too
            raise result
        if isinstance(result, Exception):
            return await self._simpler(task, "model-error")
        assert isinstance(result, Ranked), "the engine replies with a list or an error"
        return result

    async def _simpler(self, task: Task, reason: str) -> Ranked:
        if not self._fallback or not task.snapshot.simpler:
            if reason == "deadline":
                raise ProblemError("deadline", "the model did not answer within timeout_ms; raise it, or try again")
            raise ProblemError("internal", "the model failed; the log has the cause")
        if self._helped >= MOST_HELPED:
            raise ProblemError("overloaded", f"{MOST_HELPED} requests wait for a simpler model; try again in a second")
        self._helped += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._simple, self._answer_simply, task, reason)
        finally:
            self._helped -= 1

    def _answer_simply(self, task: Task, reason: str) -> Ranked:
        """Answer with the first simpler model that can: the last one needs no history."""
        if task.history is None:
            stored = self.reading.stored([task.owner]).get(task.owner) if task.owner is not None else None
            task.history = understand(stored, task.given, self.reading.meaning, task.snapshot.numbers.get)
        models = task.snapshot.simpler if task.history.items.size else task.snapshot.simpler[-1:]
        for simpler in models[:-1]:
            try:
                return answer_simply(task, simpler, reason)
            except Exception as error:
                _log.error("the simpler model '%s' failed", simpler.source, exc_info=error)
        return answer_simply(task, models[-1], reason)


def make_task(body: RecommendRequest | RankRequest, routed: Routed, compiled: Compiled, arrived: float) -> Task:
    """Return the task of a request, whose answer nobody hears of yet."""
    replace = body.history_mode == "replace" and bool(body.history)
    return Task(
        snapshot=routed.snapshot,
        k=1 if isinstance(body, RankRequest) else min(body.k, len(routed.snapshot.catalog)),
        rules=compiled.rules,
        owner=None if replace else owner_of(body.user_id, body.session_id),
        given=tuple(map(_given, body.history)),
        exclude_seen=body.exclude_seen,
        explain=body.explain,
        arrived=arrived,
        deadline=arrived + body.timeout_ms / 1000,
        reply=lambda result: None,
        everything=isinstance(body, RankRequest),
        variant=routed.variant,
    )


def invalid_items(task: Task, ranked: Ranked) -> int:
    """Return how many items of a list were not legal, by the rules and not by what the model made of them."""
    forbidden = set(ranked.history.forbidden(task.exclude_seen).tolist())
    allowed = task.rules.allowed
    return sum(item in forbidden or (allowed is not None and not allowed[item]) for item in ranked.items.tolist())


def new_ranks(task: Task, ranked: Ranked) -> tuple[int, ...]:
    """Return the ranks of the items of a list that are newer than the model."""
    newer = task.snapshot.newer
    return () if newer is None else tuple((np.flatnonzero(newer[ranked.items]) + 1).tolist())


def _call_soon(loop: asyncio.AbstractEventLoop, settle: Callable[[Any], None], result: Any) -> None:
    try:
        loop.call_soon_threadsafe(settle, result)
    except RuntimeError:  # the loop has ended; nobody waits
        _log.debug("an answer came after the end of the loop")


def _given(event: HistoryItem | str) -> GivenEvent:
    return GivenEvent(event) if isinstance(event, str) else GivenEvent(event.item_id, event.type)


def _answer(
    body: RecommendRequest | RankRequest,
    task: Task,
    ranked: Ranked,
    found: tuple[Sequence[str], Sequence[str]],
) -> Recommendation:
    snapshot, (unknown, remarks) = task.snapshot, found
    ids = snapshot.catalog.item_ids
    fields = snapshot.fields(body.return_fields, ranked.items) if body.return_fields else None
    items = [
        {
            "item_id": ids[item],
            "rank": place + 1,
            "score": round(score, 6),
            "source": ranked.source,
            "fields": fields[place] if fields is not None else None,
            "because": _because(ranked, place) if body.explain else None,
        }
        for place, (item, score) in enumerate(zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True))
    ]
    seconds = zip(("queue", "model", "total"), (*ranked.seconds, time.monotonic() - task.arrived), strict=True)
    values = {
        "recommendation_id": new_id(),
        "user_id": body.user_id,
        "session_id": body.session_id,
        "model": {"name": snapshot.model.name, "version": snapshot.model.version},
        "catalog_version": snapshot.catalog_version,
        "variant": task.variant,
        "items": items,
        "complete": ranked.complete,
        "exact": ranked.exact,
        "legal_items": ranked.legal,
        "fallback": ranked.fallback,
        "used_events": len(ranked.history.items),
        "unknown_items": unknown,
        "remarks": remarks,
        "took_ms": {name: round(1000 * each, 2) for name, each in seconds},
    }
    return Recommendation.model_validate(values)  # one call: a third of the time of constructing every part in Python


def _because(ranked: Ranked, place: int) -> list[dict[str, Any]]:
    shares = ranked.because[place] if ranked.because else ()
    return [{"item_id": item_id, "share": round(share, 4)} for item_id, share in shares]


def _listed(ids: Sequence[str]) -> str:
    named = ", ".join(f"'{each}'" for each in ids[:3])
    return f"{named} and {len(ids) - 3:,} more are" if len(ids) > 3 else f"{named} {'is' if len(ids) == 1 else 'are'}"


def new_id() -> str:
    """Return an id that grows with time (as version 7 of UUIDs): 32 hexadecimal digits."""
    return f"{int(1000 * _clock()):012x}{random.getrandbits(80):020x}"
