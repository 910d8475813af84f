"""Routes about users: attributes and counts, their events, merging a session into a user, erasure."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from lexirec.serving.database.access import cursor_of, read_cursor
from lexirec.serving.database.ids import session_user
from lexirec.serving.database.users import User
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.common import LONGEST_ID
from lexirec.serving.schemas.events import (
    ErasedAnswer,
    EventPage,
    ListedUser,
    MergeAnswer,
    MergeBody,
    StoredEvent,
    UserAnswer,
    UserBody,
    UserPage,
)

router = APIRouter(prefix="/v1/users", tags=["users"])
Reader = Annotated[KeyHolder, Depends(needs("read"))]
Writer = Annotated[KeyHolder, Depends(needs("write"))]
UserId = Annotated[str, Path(min_length=1, max_length=LONGEST_ID, description="Percent-encoded, without '/'.")]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"


def _found(user: User | None, user_id: str) -> UserAnswer:
    if user is None:
        raise ProblemError("not-found", f"there is no user '{user_id}'; users come with their first event")
    return UserAnswer(
        user_id=user.user_id,
        attributes=dict(user.attributes),
        events=sum(user.events.values()),
        event_types=dict(user.events),
        first_event=user.first_time,
        last_event=user.last_time,
        created=user.created,
        merged=user.merged,
    )


@router.get("", response_model=UserPage, responses=problems(), openapi_extra=_EXTRA, summary="Users, page by page")
async def list_users(
    request: Request,
    key: Reader,
    q: Annotated[str, Query(max_length=LONGEST_ID, description="First part of the ids.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="Users of a page.")] = 100,
    cursor: Annotated[str | None, Query(max_length=2048, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """Return users by id, without sessions."""
    users = request.app.state.service.database.users
    after = read_cursor(cursor, str)[0] if cursor is not None else ""
    found = await asyncio.to_thread(users.find, q if q.isprintable() else "\ufffd", after, limit + 1)
    items = tuple(ListedUser(user_id=user, events=count) for user, count in found[:limit])
    more = cursor_of(items[-1].user_id) if len(found) > limit else None
    return Response(UserPage(items=items, next_cursor=more).model_dump_json(), media_type=_JSON)


@router.get(
    "/{user_id}", response_model=UserAnswer, responses=problems("not-found"), openapi_extra=_EXTRA, summary="A user"
)
async def user(request: Request, user_id: UserId, key: Reader) -> Response:
    """Return a user's attributes and counts of events."""
    found = await asyncio.to_thread(request.app.state.service.database.users.get, user_id)
    return Response(_found(found, user_id).model_dump_json(), media_type=_JSON)


@router.put(
    "/{user_id}",
    response_model=UserAnswer,
    responses=problems("not-found", "overloaded", "unsupported-media-type", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Set a user's attributes",
)
async def set_user(request: Request, user_id: UserId, body: UserBody, key: Writer) -> Response:
    """Set a user's attributes in place of the earlier ones; the user is created where there is none."""
    users = request.app.state.service.database.users
    await asyncio.wrap_future(users.put(user_id, body.attributes))
    found = await asyncio.to_thread(users.get, user_id)
    return Response(_found(found, user_id).model_dump_json(), media_type=_JSON)


@router.delete(
    "/{user_id}",
    response_model=ErasedAnswer,
    responses=problems("overloaded", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Erase a user",
)
async def erase_user(request: Request, user_id: UserId, key: Writer) -> Response:
    """Erase a user's events, attributes and recorded answers; late retries are refused for 30 days."""
    erased = await asyncio.wrap_future(request.app.state.service.database.users.erase(user_id))
    answer = ErasedAnswer(user_id=user_id, events=erased.events, impressions=erased.impressions)
    return Response(answer.model_dump_json(), media_type=_JSON)


@router.get(
    "/{user_id}/events",
    response_model=EventPage,
    responses=problems("not-found"),
    openapi_extra=_EXTRA,
    summary="A user's events",
)
async def user_events(
    request: Request,
    user_id: UserId,
    key: Reader,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events of a page.")] = 100,
    cursor: Annotated[str | None, Query(max_length=1024, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """Return a page of a user's events, the newest first."""
    service = request.app.state.service
    page = await asyncio.to_thread(service.database.events.page, user_id, limit=limit, cursor=cursor)
    if not page.events and cursor is None:
        _found(await asyncio.to_thread(service.database.users.get, user_id), user_id)
    known = service.snapshots.active.numbers
    rows = tuple(
        StoredEvent(
            event_id=event.event_id,
            item_id=event.item_id,
            type=event.type,
            time=event.time,
            value=event.value,
            recommendation_id=event.recommendation_id,
            position=event.position,
            properties=dict(event.properties or {}),
            received=event.received,
            unknown_item=event.item_id not in known,
        )
        for event in page.events
    )
    return Response(EventPage(events=rows, next_cursor=page.next_cursor).model_dump_json(), media_type=_JSON)


@router.post(
    "/{user_id}/merge",
    response_model=MergeAnswer,
    responses=problems("conflict", "overloaded", "unsupported-media-type", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Give the events of a session to a user",
)
async def merge(request: Request, user_id: UserId, body: MergeBody, key: Writer) -> Response:
    """Give a session's or another user's events to this user; later events of the old id go there, too."""
    source = body.from_ if body.from_ is not None else session_user(body.from_session or "")
    merged = await asyncio.wrap_future(request.app.state.service.database.users.merge(source, user_id))
    answer = MergeAnswer(user_id=merged.user_id, moved=merged.events)
    return Response(answer.model_dump_json(), media_type=_JSON)
