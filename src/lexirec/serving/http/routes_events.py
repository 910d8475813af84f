"""The route that takes events: one object, a list, or NDJSON; answered after the commit."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from lexirec.serving.database.event_rows import NewEvent as EventToStore
from lexirec.serving.database.events import EventsWritten
from lexirec.serving.database.ids import session_user
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.bodies import LINES, listed_rows
from lexirec.serving.http.errors import DATABASE_KINDS, check_body
from lexirec.serving.http.openapi import SECURITY, body_of, problems
from lexirec.serving.problems import KINDS, ProblemError
from lexirec.serving.schemas.events import EventsAnswer, NewEvent, RejectedRow

router = APIRouter(prefix="/v1", tags=["events"])
Writer = Annotated[KeyHolder, Depends(needs("write"))]
_JSON = "application/json"


@router.post(
    "/events",
    response_model=EventsAnswer,
    responses=problems("conflict", "overloaded", "unsupported-media-type", "storage-full"),
    openapi_extra={"security": SECURITY, **body_of(NewEvent, LINES)},
    summary="Store what users did",
)
async def events(
    request: Request,
    key: Writer,
    atomic: Annotated[bool, Query(description="Store all events, or none where one is rejected.")] = False,
) -> Response:
    """Store events; the answer comes after they are on disk.

    The body is one event, `{"events": [...]}`, or one event a line (application/x-ndjson). A repeated event
    counts once: by its `event_id`, else by user, item, type, time and value. Where nothing was taken, it is a 422.
    """
    service = request.app.state.service
    rows = listed_rows(request, await request.body(), "events")
    most = service.settings.limits.rows
    if len(rows) > most:
        raise ProblemError(
            "too-large", f"{len(rows):,} events in one request; at most {most:,} are taken, so split them"
        )
    parsed, rejected = list[tuple[int, NewEvent]](), dict[int, ProblemError]()
    for index, row in enumerate(rows):
        try:
            parsed.append((index, check_body(NewEvent, row)))
        except ProblemError as error:
            rejected[index] = error
    written: EventsWritten | None = None
    if parsed and not (atomic and rejected):
        known = service.snapshots.active.numbers
        to_store = [_to_store(event) for _, event in parsed]
        stored: EventsWritten = await asyncio.wrap_future(
            service.database.events.ingest(to_store, known=known, atomic=atomic)
        )
        written = stored
        for each in stored.rejected:
            kind = DATABASE_KINDS.get(each.kind, "rejected")
            rejected[parsed[each.index][0]] = ProblemError(kind, each.detail)
    answer = _answer(request, written, rejected)
    service.count_events(answer)
    if not answer.accepted and not answer.duplicates:
        raise _nothing_taken(rejected)
    return Response(answer.model_dump_json(exclude_none=True), media_type=_JSON)


def _to_store(event: NewEvent) -> EventToStore:
    owner = event.user_id if event.user_id is not None else session_user(event.session_id or "")
    return EventToStore(
        owner,
        event.item_id,
        event.type,
        event.time,
        event.value,
        event.event_id,
        event.recommendation_id,
        event.position,
        event.properties or None,
    )


def _answer(request: Request, written: EventsWritten | None, rejected: dict[int, ProblemError]) -> EventsAnswer:
    instance = request.state.request.id
    return EventsAnswer(
        accepted=written.accepted if written is not None else 0,
        duplicates=written.duplicates if written is not None else 0,
        rejected=tuple(RejectedRow(index=index, problem=rejected[index].body(instance)) for index in sorted(rejected)),
    )


def _nothing_taken(rejected: dict[int, ProblemError]) -> ProblemError:
    """Return the problem of a request of which nothing was taken: that of its only event, else a list of all."""
    first = rejected[min(rejected)]
    places = [
        (f"/events/{index}{place}", detail)
        for index, error in sorted(rejected.items())
        for place, detail in _places(error)
    ]
    if len({error.kind for error in rejected.values()}) == 1 and KINDS[first.kind].status in (409, 422):
        kind = first.kind
    else:
        kind = "rejected"
    more = f" ({len(rejected) - 1} more events were rejected)" if len(rejected) > 1 else ""
    return ProblemError(kind, f"{first.detail}{more}", places[:100] if len(rejected) > 1 else first.places)


def _places(error: ProblemError) -> list[tuple[str, str]]:
    return list(error.places) or [("", error.detail)]
