"""Routes that answer with items: recommend, batches, rank, similar, and what was recommended before."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from lexirec.serving.answering.answers import Answers
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.direct import DirectRoute
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.http.requests import RequestState
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.recommend import (
    BatchAnswer,
    BatchRequest,
    RankRequest,
    Recommendation,
    RecommendRequest,
    SimilarAnswer,
    SimilarRequest,
)

router = APIRouter(prefix="/v1", tags=["recommend"], route_class=DirectRoute)
Reader = Annotated[KeyHolder, Depends(needs("read"))]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"


def _answers(request: Request) -> Answers:
    answers: Answers = request.app.state.service.answers
    return answers


def _said(request: Request, answer: Recommendation) -> None:
    """Leave timing and fields for the headers and the log."""
    state: RequestState = request.state.request
    state.timing |= {"queue": answer.took_ms.queue, "model": answer.took_ms.model}
    users = request.app.state.service.user_names
    state.fields |= {
        "user": users.of(answer.user_id or answer.session_id),
        "rows": len(answer.items),
        "model": answer.model.name,
        "catalog_version": answer.catalog_version,
    }
    if answer.fallback is not None:
        state.fields["fallback"] = answer.fallback


@router.post(
    "/recommend",
    response_model=Recommendation,
    responses=problems("conflict", "not-found", "overloaded", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Recommend items to a user, a session or for a history",
)
async def recommend(request: Request, body: RecommendRequest, key: Reader) -> Response:
    """Return the best k legal items.

    The list has as many items as are legal, at most k, unless a quota forbids more.
    """
    answer = await _answers(request).recommend(body)
    _said(request, answer)
    return Response(answer.model_dump_json(), media_type=_JSON)


@router.post(
    "/rank",
    response_model=Recommendation,
    responses=problems("conflict", "not-found", "overloaded", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Rank given items",
)
async def rank(request: Request, body: RankRequest, key: Reader) -> Response:
    """Return all candidates that are known and legal, with their scores."""
    answer = await _answers(request).recommend(body)
    _said(request, answer)
    return Response(answer.model_dump_json(), media_type=_JSON)


@router.post(
    "/recommend/batch",
    response_model=BatchAnswer,
    responses=problems("overloaded", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Several requests in one",
)
async def batch(request: Request, body: BatchRequest, key: Reader) -> Response:
    """Answer up to 64 requests in their order; one that fails is a problem in its place."""
    answers, state = _answers(request), request.state.request

    async def one(each: RecommendRequest) -> str:
        try:
            return (await answers.recommend(each)).model_dump_json()
        except ProblemError as error:
            return error.body(state.id).model_dump_json(exclude_none=True)

    parts = await asyncio.gather(*map(one, body.requests))
    state.fields["rows"] = len(parts)
    return Response(f'{{"responses":[{",".join(parts)}]}}', media_type=_JSON)


@router.post(
    "/similar",
    response_model=SimilarAnswer,
    responses=problems("unknown-item", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Items like others",
)
async def similar(request: Request, body: SimilarRequest, key: Reader) -> Response:
    """Return the items nearest to one or several others; `by` says by what."""
    answer = await asyncio.to_thread(_answers(request).similar, body)
    return Response(answer.model_dump_json(), media_type=_JSON)
