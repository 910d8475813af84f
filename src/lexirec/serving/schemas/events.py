"""Requests and answers about events and users."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from lexirec.serving.schemas.common import Answer, Body, Id, Number, Page, Time, Whole
from lexirec.serving.schemas.problem import ProblemBody

PROPERTIES_BYTES = 1024
ATTRIBUTES_BYTES = 16_384
MOST_EVENTS = 10_000


def _within(limit: int) -> AfterValidator:
    def check(value: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8"))
        except (ValueError, RecursionError):
            raise ValueError(
                "holds NaN, infinity, half a character or tables that are too deep; send plain JSON"
            ) from None
        if size > limit:
            raise ValueError(f"takes {size:,} bytes as JSON; at most {limit:,} are kept")
        return value

    return AfterValidator(check)


class NewEvent(Body):
    """What a user did with an item."""

    item_id: Id
    user_id: Id | None = None
    session_id: Id | None = None
    event_id: Id | None = None
    """Makes a repeated request count once; without it, equal events (user, item, type, time, value) count once."""
    type: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.:-]+$")] = "interaction"
    time: Time | None = None
    """By default the time of arrival."""
    value: Number | None = None
    recommendation_id: Id | None = None
    """The list from which the event came."""
    position: Annotated[Whole, Field(ge=1, le=1_000)] | None = None
    """The place in that list."""
    properties: Annotated[dict[str, Any], _within(PROPERTIES_BYTES)] = Field(default_factory=dict)
    """Anything else, at most 1 KB as JSON."""

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("user_id and session_id are missing; give one of them")
        return self


class EventList(Body):
    """Several events."""

    events: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=MOST_EVENTS)]


class RejectedRow(Answer):
    """A row that was not taken, and why."""

    index: int
    """Its place in the request, from 0."""
    problem: ProblemBody


class EventsAnswer(Answer):
    """What became of the events: all of them are stored when this answer comes."""

    accepted: int
    duplicates: int
    """Events that were stored before."""
    rejected: tuple[RejectedRow, ...] = ()


class StoredEvent(Answer):
    """An event of a user."""

    event_id: str | None
    item_id: str
    type: str
    time: Time
    value: float | None = None
    recommendation_id: str | None = None
    position: int | None = None
    properties: dict[str, Any] = Field(default_factory=dict)
    received: Time
    unknown_item: bool = False


class EventPage(Page):
    """Events, the newest first."""

    events: tuple[StoredEvent, ...]


class UserBody(Body):
    """Attributes of a user."""

    attributes: Annotated[dict[str, Any], _within(ATTRIBUTES_BYTES)] = Field(default_factory=dict)


class UserAnswer(Answer):
    """A user: attributes and counts."""

    user_id: str
    attributes: dict[str, Any]
    events: int
    event_types: dict[str, int] = Field(default_factory=dict)
    """Events by type."""
    first_event: Time | None = None
    last_event: Time | None = None
    created: Time
    merged: tuple[str, ...] = ()
    """Other ids whose events are this user's; sessions begin with `session:`."""


class ListedUser(Answer):
    """A user in a list."""

    user_id: str
    events: int


class UserPage(Page):
    """Users by id, without sessions."""

    items: tuple[ListedUser, ...]


class MergeBody(Body):
    """The user or session whose events become another user's."""

    from_: Annotated[Id | None, Field(alias="from")] = None
    """A user id."""
    from_session: Id | None = None
    """A session id."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.from_ is None) == (self.from_session is None):
            raise ValueError("give from (a user id) or from_session (a session id), and only one of them")
        return self


class MergeAnswer(Answer):
    """How many events changed their owner."""

    user_id: str
    moved: int


class ErasedAnswer(Answer):
    """What was erased."""

    user_id: str
    events: int
    impressions: int
