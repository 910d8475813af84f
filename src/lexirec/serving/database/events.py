"""Events: taken once each however often they are sent, acknowledged after the commit, and paged newest first."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, tuple_
from sqlalchemy.dialects import postgresql

from lexirec.serving.database.access import Access, cursor_of, page_size, read_cursor
from lexirec.serving.database.connections import is_postgresql
from lexirec.serving.database.errors import BadValueError
from lexirec.serving.database.event_rows import EventPolicy, EventRow, NewEvent, Rejection, row_of
from lexirec.serving.database.identities import canonical, create_users, erased_among
from lexirec.serving.database.ids import possible_users
from lexirec.serving.database.tables import events
from lexirec.serving.database.write_queue import Write, single
from lexirec.serving.database.writer import QUEUE_ROWS

Result = Literal["accepted", "duplicate", "rejected", "undone"]
PURGED_AT_ONCE = 2_000
"""Old events that one transaction removes, so that new ones never wait long."""
_BODIES = select(events.c.key, events.c.body).where(events.c.key.in_(bindparam("keys", expanding=True)))
_INSERT = insert(events)
_INSERT_IF_NEW = postgresql.insert(events).on_conflict_do_nothing().returning(events.c.key)


@dataclass(frozen=True)
class EventsWritten:
    """What became of the events of one request.

    Attributes:
        results: One for each event, in the request's order; "undone" is an event that nothing is wrong with, in an
            atomic request with another that was rejected.
        rejected: Why events were rejected, in the request's order.
        unknown_items: Places of the accepted events whose item nobody knows yet.
    """

    results: tuple[Result, ...]
    rejected: tuple[Rejection, ...]
    unknown_items: tuple[int, ...]

    @property
    def accepted(self) -> int:
        """Number of new events."""
        return self.results.count("accepted")

    @property
    def duplicates(self) -> int:
        """Number of events that were there already."""
        return self.results.count("duplicate")


@dataclass(frozen=True)
class StoredEvent:
    """An event as it is stored; fields as in `NewEvent`, `received` is the time of arrival."""

    seq: int
    event_id: str | None
    user_id: str
    item_id: str
    type: str
    time: float
    value: float | None
    recommendation_id: str | None
    position: int | None
    properties: Mapping[str, Any] | None
    received: float


@dataclass(frozen=True)
class EventPage:
    """Events, newest first, and the cursor of the next page; None at the end."""

    events: list[StoredEvent]
    next_cursor: str | None


@dataclass(frozen=True)
class _Request:
    """The events of one call: rows to be written, and what is known of the others."""

    rows: Sequence[EventRow]
    rejected: Sequence[Rejection]
    unknown: Sequence[int]
    n_events: int
    erased_since: float


class EventStore:
    """The events of a database.

    Attributes:
        policy: Which events are taken; may be replaced while the service runs.
    """

    def __init__(self, access: Access, policy: EventPolicy | None = None) -> None:
        self._access = access
        self.policy = policy or EventPolicy()

    def ingest(
        self, new: Sequence[NewEvent], *, known: Container[str] | None = None, atomic: bool = False
    ) -> Future[EventsWritten]:
        """Write events; the future resolves after the commit.

        Args:
            new: At most `QUEUE_ROWS` events, in the order in which they arrived.
            known: Ids of the items that exist; None where all are taken as known.
            atomic: Write all of them or, where one is rejected, none.

        Raises:
            OverloadedError: too many rows wait.
            BadValueError: more events than any queue takes.
        """
        if len(new) > QUEUE_ROWS:
            raise BadValueError(f"{len(new):,} events in one call; allowed are {QUEUE_ROWS:,}: split them.")
        request = self._request(new, known)
        if not request.rows or (atomic and request.rejected):
            done: Future[EventsWritten] = Future()
            done.set_result(_answer(request, {}, request.rejected))
            return done
        run = write_atomically if atomic else write_events
        return self._access.writer.submit(Write(run, request, rows=len(request.rows), joins=not atomic))

    def page(self, user_id: str, *, limit: int = 100, cursor: str | None = None) -> EventPage:
        """Return events of a user, the newest first.

        Args:
            user_id: A user, a session's user id, or an id that was merged into another.
            limit: Size of the page, at most 1,000.
            cursor: `next_cursor` of the page before.

        Raises:
            BadCursorError, BadValueError: the cursor or limit is not allowed.
        """
        size = page_size(limit)
        last = None if cursor is None else read_cursor(cursor, float, int)

        def query(connection: Connection) -> Sequence[Row[Any]]:
            user = canonical(connection, [user_id]).get(user_id, user_id)
            found = select(events).where(events.c.user_id == user)
            if last is not None:
                found = found.where(tuple_(events.c.time, events.c.seq) < tuple_(*last))
            return connection.execute(found.order_by(events.c.time.desc(), events.c.seq.desc()).limit(size + 1)).all()

        rows = self._access.read(query) if possible_users([user_id]) else []
        following = cursor_of(rows[size - 1].time, rows[size - 1].seq) if len(rows) > size else None
        return EventPage([stored(row) for row in rows[:size]], following)

    def stored_before(self, user_id: str, received: float, *, newest: int) -> list[tuple[str, str]]:
        """Return item and type of a user's newest events that were stored at a time, oldest first."""
        found = select(events.c.item_id, events.c.type).where(events.c.received <= received)
        ordered = found.order_by(events.c.time.desc(), events.c.seq.desc()).limit(newest)

        def query(connection: Connection) -> list[tuple[str, str]]:
            user = canonical(connection, [user_id]).get(user_id, user_id)
            return [(row.item_id, row.type) for row in connection.execute(ordered.where(events.c.user_id == user))]

        return self._access.read(query)[::-1] if possible_users([user_id]) else []

    def count(self) -> int:
        """Return the number of events."""
        return self._access.read(lambda connection: connection.scalar(select(func.count()).select_from(events)) or 0)

    def purge(self, before: float) -> int:
        """Remove the events before a time, in many small transactions; return how many."""
        oldest = select(events.c.seq).where(events.c.time < before).limit(PURGED_AT_ONCE).scalar_subquery()
        some = delete(events).where(events.c.seq.in_(oldest))
        total = 0
        while removed := self._access.writer.submit(
            single(lambda connection: connection.execute(some).rowcount)
        ).result():
            total += removed
        return total

    def _request(self, new: Sequence[NewEvent], known: Container[str] | None) -> _Request:
        now, policy = self._access.clock(), self.policy
        rows, rejected, unknown = [], [], []
        for index, event in enumerate(new):
            row = row_of(event, index, now, policy)
            if isinstance(row, Rejection):
                rejected.append(row)
                continue
            if known is not None and event.item_id not in known:
                if policy.unknown_items == "reject":
                    detail = f"item '{event.item_id}' is unknown; add the item first, or keep events of unknown items"
                    rejected.append(Rejection(index, "unknown-item", detail))
                    continue
                unknown.append(index)
            rows.append(row)
        return _Request(rows, rejected, unknown, len(new), now - policy.tombstone_seconds)


def stored(row: Row[Any]) -> StoredEvent:
    """Return a row of the table as an event."""
    values = {name: row._mapping[name] for name in StoredEvent.__dataclass_fields__}
    properties = values.pop("properties")
    return StoredEvent(**values, properties=None if properties is None else json.loads(properties))


# ----------------------------------------------------------------------------------------------- in the writer's thread


def write_atomically(connection: Connection, requests: Sequence[_Request]) -> list[EventsWritten]:
    """Write the events of each request, or none of them where one is rejected."""
    answers = []
    for request in requests:
        savepoint = connection.begin_nested()
        (answer,) = write_events(connection, [request])
        if answer.rejected:
            savepoint.rollback()
            answer = _answer(request, {}, answer.rejected)
        else:
            savepoint.commit()
        answers.append(answer)
    return answers


def write_events(connection: Connection, requests: Sequence[_Request]) -> list[EventsWritten]:
    """Write the events of several requests with a handful of statements."""
    rows = [row for request in requests for row in request.rows]
    named = {row.user_id for row in rows}
    erased = erased_among(connection, named, max(request.erased_since for request in requests))
    bodies = _bodies(connection, {row.key for row in rows})
    fresh: dict[bytes, EventRow] = {}
    for row in rows:
        if row.user_id not in erased and row.key not in bodies:
            fresh.setdefault(row.key, row)
    bodies |= _insert(connection, fresh)
    answers = []
    for request in requests:
        results: dict[int, Result] = {}
        rejected = list(request.rejected)
        for row in request.rows:
            if row.user_id in erased:
                rejected.append(
                    Rejection(row.index, "erased", "the user was erased; nothing is taken under this id yet")
                )
            elif fresh.get(row.key) is row:
                results[row.index] = "accepted"
            elif (bodies.get(row.key) or fresh[row.key].values["body"]) == row.values["body"]:
                results[row.index] = "duplicate"
            else:
                detail = f"event_id '{row.values['event_id']}' is taken by another event; use a new id for a new event"
                rejected.append(Rejection(row.index, "conflict", detail))
        answers.append(_answer(request, results, rejected))
    return answers


def _bodies(connection: Connection, keys: set[bytes]) -> dict[bytes, bytes]:
    return {bytes(key): bytes(body) for key, body in connection.execute(_BODIES, {"keys": list(keys)})}


def _insert(connection: Connection, fresh: dict[bytes, EventRow]) -> dict[bytes, bytes]:
    """Insert new events with their users; those that another process has just written leave `fresh`.

    Returns:
        The bodies of events that were there after all, by key.
    """
    if not fresh:
        return {}
    users = canonical(connection, {row.user_id for row in fresh.values()})
    values = [row.values | {"user_id": users.get(row.user_id, row.user_id)} for row in fresh.values()]
    create_users(connection, {value["user_id"] for value in values}, values[0]["received"])
    if not is_postgresql(connection):  # the writer holds SQLite's only lock since before it looked
        connection.execute(_INSERT, values)
        return {}
    new = connection.scalars(_INSERT_IF_NEW, values)
    raced = set(fresh) - {bytes(key) for key in new}
    for key in raced:
        del fresh[key]
    return _bodies(connection, raced) if raced else {}


def _answer(request: _Request, results: Mapping[int, Result], rejected: Sequence[Rejection]) -> EventsWritten:
    refused = {each.index for each in rejected}
    every: list[Result] = [
        "rejected" if index in refused else results.get(index, "undone") for index in range(request.n_events)
    ]
    unknown = tuple(index for index in request.unknown if every[index] == "accepted")
    return EventsWritten(tuple(every), tuple(sorted(rejected)), unknown)
