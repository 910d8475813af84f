"""Impressions: what was shown, written after the answer, and which events came of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, tuple_

from lexirec.serving.database.access import Access
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.events import EventStore, StoredEvent, stored
from lexirec.serving.database.identities import canonical, erased_among
from lexirec.serving.database.ids import possible_ids
from lexirec.serving.database.tables import events, impressions
from lexirec.serving.database.upserts import insert_if_new
from lexirec.serving.database.write_queue import Write, single

_log = logging.getLogger(__name__)
WAITING = 2_000
"""Impressions that may wait to be written; they are dropped beyond, so that events always have room in the queue."""
INFERRED_SECONDS = 86_400.0
"""How long after an impression an event without a `recommendation_id` may be put down to it."""
PURGED_AT_ONCE = 2_000
NEW_MARK = '"new": true'
"""What the JSON of a place with an item newer than the model holds, and of others does not."""


@dataclass(frozen=True)
class Impression:
    """An answer that was given.

    Attributes:
        recommendation_id: Its id.
        user_id: The user or session, or None for a newcomer.
        time: When, in seconds since 1970.
        variant: The variant of the traffic split.
        snapshot: Model and catalogue version that answered.
        items: The items, best first, each with at least `item_id`, and `new` where it is newer than the model.
        request: What was asked.
        scenario: The request's label, or None.
        fallback: Why a simpler model answered; None where the model did.
        details: What else was true of the answer, such as `used_events`.
    """

    recommendation_id: str
    user_id: str | None
    time: float
    variant: str
    snapshot: str
    items: Sequence[Mapping[str, Any]]
    request: Mapping[str, Any]
    scenario: str | None = None
    fallback: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """An event that came of an impression; `inferred` where the event does not name it."""

    event: StoredEvent
    inferred: bool


class ImpressionStore:
    """The impressions of a database.

    Attributes:
        dropped: Impressions that were not written, because too many waited or the database failed.
        on_drop: Called for each of them, in any thread; for metrics.
    """

    def __init__(self, access: Access, event_store: EventStore, *, waiting: int = WAITING) -> None:
        self.dropped = 0
        self.on_drop: Callable[[], None] | None = None
        self._access = access
        self._event_store = event_store  # its policy says how long tombstones count
        self._most = waiting
        self._waiting = 0
        self._lock = Lock()

    def log(self, impression: Impression) -> bool:
        """Write an impression some time soon, without waiting; return False where it was dropped at once.

        Impressions of erased users are not written.
        """
        with self._lock:
            full = self._waiting >= self._most
            self._waiting += not full
        if full:
            self._drop()
            return False
        since = self._access.clock() - self._event_store.policy.tombstone_seconds
        try:
            future = self._access.writer.submit(Write(_write, (impression, since), joins=True))
        except DatabaseError:
            self._settle(dropped=True)
            return False
        future.add_done_callback(self._written)
        return True

    @property
    def waiting(self) -> int:
        """Impressions that wait to be written."""
        return self._waiting

    def get(self, recommendation_id: str) -> Impression | None:
        """Return an impression, or None."""
        query = select(impressions).where(impressions.c.recommendation_id == recommendation_id)
        if not possible_ids([recommendation_id]):
            return None
        row = self._access.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _impression(row)

    def between(self, start: float, end: float) -> list[Impression]:
        """Return the impressions from a time on and before another, oldest first."""
        query = select(impressions).where(impressions.c.time >= start, impressions.c.time < end)
        ordered = query.order_by(impressions.c.time, impressions.c.recommendation_id)
        return self._access.read(lambda connection: [_impression(row) for row in connection.execute(ordered)])

    def outcomes(self, recommendation_id: str) -> list[Outcome]:
        """Return the events that came of an impression, oldest first.

        These are the events that name it, and those of the user within a day that name no recommendation, of an item
        that was shown then and not again before the event (inferred).
        """
        shown = self.get(recommendation_id)
        if shown is None:
            return []
        return self._access.read_at_once(lambda connection: _outcomes(connection, shown))

    def purge(self, before: float) -> int:
        """Remove the impressions before a time, in many small transactions; return how many."""
        oldest = select(impressions.c.recommendation_id).where(impressions.c.time < before).limit(PURGED_AT_ONCE)
        some = delete(impressions).where(impressions.c.recommendation_id.in_(oldest.scalar_subquery()))
        job = single(lambda connection: connection.execute(some).rowcount)
        total = 0
        while removed := self._access.writer.submit(job).result():
            total += removed
        return total

    def count(self) -> int:
        """Return the number of impressions."""
        query = select(func.count()).select_from(impressions)
        return self._access.read(lambda connection: connection.scalar(query) or 0)

    def _written(self, future: Future[None]) -> None:
        self._settle(dropped=future.cancelled() or future.exception() is not None)

    def _settle(self, *, dropped: bool) -> None:
        with self._lock:
            self._waiting -= 1
        if dropped:
            self._drop()

    def _drop(self) -> None:
        with self._lock:
            self.dropped += 1
        if self.on_drop is not None:
            self.on_drop()


def _write(connection: Connection, given: Sequence[tuple[Impression, float]]) -> list[None]:
    named = {each.user_id for each, _ in given if each.user_id is not None}
    erased = erased_among(connection, named, max(since for _, since in given)) if named else set()
    users = canonical(connection, named) if named else {}
    rows = [
        {
            "recommendation_id": each.recommendation_id,
            "user_id": None if each.user_id is None else users.get(each.user_id, each.user_id),
            "time": each.time,
            "variant": each.variant,
            "snapshot": each.snapshot,
            "scenario": each.scenario,
            "request": json.dumps(dict(each.request)),
            "items": json.dumps(list(map(dict, each.items))),
            "fallback": each.fallback,
            "details": json.dumps(dict(each.details)),
        }
        for each, _ in given
        if each.user_id not in erased
    ]
    insert_if_new(connection, impressions, rows)
    return [None] * len(given)


def _impression(row: Row[Any]) -> Impression:
    return Impression(
        row.recommendation_id,
        row.user_id,
        row.time,
        row.variant,
        row.snapshot,
        json.loads(row._mapping["items"]),
        json.loads(row.request),
        row.scenario,
        row.fallback,
        json.loads(row.details),
    )


def _outcomes(connection: Connection, shown: Impression) -> list[Outcome]:
    named = select(events).where(events.c.recommendation_id == shown.recommendation_id)
    outcomes = [Outcome(stored(row), inferred=False) for row in connection.execute(named)]
    if shown.user_id is not None:
        outcomes += _inferred(connection, shown, shown.user_id)
    return sorted(outcomes, key=lambda outcome: (outcome.event.time, outcome.event.seq))


def _inferred(connection: Connection, shown: Impression, user_id: str) -> list[Outcome]:
    end = shown.time + INFERRED_SECONDS
    since = select(events).where(events.c.user_id == user_id, events.c.time >= shown.time, events.c.time <= end)
    after = tuple_(impressions.c.time, impressions.c.recommendation_id) > tuple_(shown.time, shown.recommendation_id)
    later = select(impressions.c.time, impressions.c["items"].label("shown")).where(
        impressions.c.user_id == user_id, after, impressions.c.time <= end
    )
    again = [(row.time, {each["item_id"] for each in json.loads(row.shown)}) for row in connection.execute(later)]
    items = {each["item_id"] for each in shown.items}
    return [
        Outcome(stored(row), inferred=True)
        for row in connection.execute(since.where(events.c.recommendation_id.is_(None)))
        if row.item_id in items and not any(time <= row.time and row.item_id in ids for time, ids in again)
    ]
