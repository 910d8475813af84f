"""Routes about what was shown and what came of it: a recorded list, and figures of many."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from lexirec.serving.answering.online_evaluation import Asked
from lexirec.serving.answering.past import NEWEST
from lexirec.serving.answering.past_lists import past_answer, past_list
from lexirec.serving.database.opening import Database
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.common import LONGEST_ID, Day
from lexirec.serving.schemas.evaluation import EvaluationAnswer, PastRecommendation, Variant
from lexirec.serving.schemas.recommend import MOST_PLACES

router = APIRouter(prefix="/v1", tags=["evaluation"])
Reader = Annotated[KeyHolder, Depends(needs("read"))]
Admin = Annotated[KeyHolder, Depends(needs("admin"))]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"
MOST_DAYS = 366


@router.get(
    "/recommendations/{recommendation_id}",
    response_model=PastRecommendation,
    responses=problems("not-found", "overloaded", "deadline"),
    openapi_extra=_EXTRA,
    summary="A list that was answered, and what came of it",
)
async def recommendation(
    request: Request,
    recommendation_id: Annotated[str, Path(min_length=1, max_length=LONGEST_ID, description="Of the answer.")],
    key: Admin,
    explain: Annotated[bool, Query(description="Compute the reasons anew.")] = False,
) -> Response:
    """Return what was asked, which snapshot answered, what it answered, and which events came of it."""
    service = request.app.state.service
    database: Database = service.database
    impressions, events = database.impressions, database.events
    shown = await asyncio.to_thread(impressions.get, recommendation_id)
    if shown is None:
        raise ProblemError(
            "not-found",
            f"no list '{recommendation_id}' is recorded; lists are kept for impressions.keep_days, and only those of "
            "impressions.share of the users",
        )
    reasons = None
    if explain:
        owner = shown.user_id
        stored = (
            [] if owner is None else await asyncio.to_thread(events.stored_before, owner, shown.time, newest=NEWEST)
        )
        reasons = await service.past_reasons.of(past_list(shown, stored))
    outcomes = await asyncio.to_thread(impressions.outcomes, recommendation_id)
    return Response(past_answer(shown, outcomes, reasons).model_dump_json(), media_type=_JSON)


@router.get(
    "/evaluation",
    response_model=EvaluationAnswer,
    responses=problems("overloaded"),
    openapi_extra=_EXTRA,
    summary="Online figures by variant and day",
)
async def evaluation(
    request: Request,
    key: Reader,
    variant: Annotated[Variant | None, Query(description="Only this variant of the traffic split.")] = None,
    days: Annotated[int, Query(ge=1, le=MOST_DAYS, description="Days before now.")] = 7,
    k: Annotated[int, Query(ge=1, le=MOST_PLACES, description="Places of a list that count.")] = 10,
    since: Annotated[Day | None, Query(description="First day, in UTC, in place of `days`.")] = None,
) -> Response:
    """Return clicks, conversions, coverage and fallbacks of the lists that were answered, with 95 % intervals.

    It takes seconds where hundreds of thousands of lists are recorded. With two variants it says how they differ, and
    which difference is too small for this sample. The verdict may be looked at every day, if `since` stays the same.
    """
    found = await request.app.state.service.evaluation.answer(Asked(variant, days, k, since))
    return Response(found.model_dump_json(), media_type=_JSON)
