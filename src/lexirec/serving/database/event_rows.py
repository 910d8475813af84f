"""Events as they arrive: checked one by one, and given the key by which a retry is known.

The key is the `event_id` where there is one, else the content: SHA-256 over user, item, type, time and value. An event
without both an id and a time is always a new one, since its time is that of its arrival.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from lexirec.serving.database.ids import id_problem, user_problem

INTERACTION = "interaction"
EARLIEST = 631_152_000
"""Start of 1990: the reader of tables refuses earlier times, so an export of such events could not be read."""
MAX_PROPERTIES = 1024
MAX_TYPE = 64
_LARGEST_INT = 2**31 - 1
_DIGITS = 1e11
"""Times from here on are no seconds but milliseconds."""


@dataclass(frozen=True)
class NewEvent:
    """An event as a client sends it.

    Attributes:
        user_id: The user, or `ids.session_user(...)` of a session.
        item_id: The item.
        type: What happened, such as "purchase".
        time: Seconds since 1970; None is the time of arrival.
        value: A number that belongs to it, such as a rating or price.
        event_id: The client's own id of the event, which makes a retry safe whatever else it holds.
        recommendation_id: The answer that led to it.
        position: The item's place in that answer.
        properties: Anything else, at most 1 KB of JSON.
    """

    user_id: str
    item_id: str
    type: str = INTERACTION
    time: float | None = None
    value: float | None = None
    event_id: str | None = None
    recommendation_id: str | None = None
    position: int | None = None
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class EventPolicy:
    """Which events are taken.

    Attributes:
        unknown_items: Whether events of items that nobody knows are kept (an item may arrive later) or rejected.
        future_seconds: How far a time may be ahead of the clock.
        keep_seconds: How long events are kept; older ones are rejected. None keeps all.
        tombstone_seconds: How long nothing is taken for an erased user.
    """

    unknown_items: Literal["keep", "reject"] = "keep"
    future_seconds: float = 3600.0
    keep_seconds: float | None = None
    tombstone_seconds: float = 30 * 86400.0


@dataclass(frozen=True, order=True)
class Rejection:
    """Why an event was not taken: its place in the request, the kind of problem, and one line."""

    index: int
    kind: str
    detail: str


@dataclass(frozen=True)
class EventRow:
    """A checked event: what is stored, and its place in the request."""

    index: int
    values: dict[str, Any] = field(repr=False)

    @property
    def key(self) -> bytes:
        """What a retry has in common with the first try."""
        key: bytes = self.values["key"]
        return key

    @property
    def user_id(self) -> str:
        """The user as the client names them."""
        user_id: str = self.values["user_id"]
        return user_id


def row_of(event: NewEvent, index: int, now: float, policy: EventPolicy) -> EventRow | Rejection:
    """Return what is stored of an event, or why it is not taken."""
    problem = _problem(event, now, policy)
    if problem is not None:
        kind, detail = problem
        return Rejection(index, kind, detail)
    properties = None if event.properties is None else _json(event.properties)
    time = now if event.time is None else float(event.time) + 0.0
    value = None if event.value is None else float(event.value) + 0.0  # one zero
    content = [event.user_id, event.item_id, event.type, None if event.time is None else time, value]
    body = _digest("body", [*content, event.recommendation_id, event.position, properties])
    named = event.event_id is not None
    key = _digest("id", [event.event_id]) if named else _digest("content", [*content[:3], time, value])
    return EventRow(
        index,
        {
            "key": key,
            "body": body if named else key,  # without an id, equal content is the same event whatever else it holds
            "event_id": event.event_id,
            "user_id": event.user_id,
            "item_id": event.item_id,
            "type": event.type,
            "time": time,
            "value": value,
            "recommendation_id": event.recommendation_id,
            "position": event.position,
            "properties": properties,
            "received": now,
        },
    )


def _problem(event: NewEvent, now: float, policy: EventPolicy) -> tuple[str, str] | None:
    problem = user_problem(event.user_id) or id_problem("item_id", event.item_id)
    problem = problem or id_problem("type", event.type, MAX_TYPE)
    for name in ("event_id", "recommendation_id"):
        value = getattr(event, name)
        problem = problem or (None if value is None else id_problem(name, value))
    problem = problem or _value_problem(event)
    if problem is not None:
        return "bad-value", problem
    return None if event.time is None else _time_problem(event.time, now, policy)


def _value_problem(event: NewEvent) -> str | None:
    if event.time is not None and not _is_number(event.time):
        return f"time is {event.time!r}; allowed are seconds since 1970"
    if event.value is not None and not _is_number(event.value):
        return f"value is {event.value!r}; allowed are finite numbers"
    position = event.position
    if position is not None and (type(position) is not int or not 0 <= position <= _LARGEST_INT):
        return f"position is {position!r}; allowed are whole numbers from 0"
    if event.properties is None:
        return None
    try:
        size = len(_json(event.properties))
    except (TypeError, ValueError, RecursionError):
        return "properties are no JSON; allowed is an object of texts, numbers, true, false, null, lists and objects"
    return f"properties have {size:,} bytes; allowed are {MAX_PROPERTIES:,}" if size > MAX_PROPERTIES else None


def _time_problem(time: float, now: float, policy: EventPolicy) -> tuple[str, str] | None:
    if time >= _DIGITS:
        return "bad-time", f"time is {time:.0f}, which is no time in seconds since 1970; divide milliseconds by 1000"
    if time > now + policy.future_seconds:
        ahead = f"{time - now:,.0f} seconds ahead of this service's clock"
        return "time-in-future", f"time is {ahead}; allowed are {policy.future_seconds:,.0f}: set the client's clock"
    if time < EARLIEST:
        return "bad-time", f"time is {time:.0f}, before 1990; allowed are seconds since 1970"
    if policy.keep_seconds is not None and time < now - policy.keep_seconds:
        days = policy.keep_seconds / 86400
        return "too-old", f"time is {(now - time) / 86400:,.1f} days ago; events are kept for {days:,.1f} days"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that is no float
        return False


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(kind: str, parts: list[Any]) -> bytes:
    """Return SHA-256 of parts in a form that has one spelling: JSON, in which 1 and 1.0 were made equal before."""
    return sha256(json.dumps([kind, *parts], separators=(",", ":")).encode()).digest()
