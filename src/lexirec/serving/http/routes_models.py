"""Routes about models: what is loaded, load another one, let it answer, go back."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.http.service import Service
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.catalog import JobAnswer
from lexirec.serving.schemas.models import ModelBody
from lexirec.serving.schemas.service import ModelAnswer, ModelsAnswer
from lexirec.serving.upkeep import model_changes

router = APIRouter(prefix="/v1/models", tags=["models"])
Reader = Annotated[KeyHolder, Depends(needs("read"))]
Admin = Annotated[KeyHolder, Depends(needs("admin"))]
Name = Annotated[str, Path(min_length=1, max_length=256, description="`NAME`, or `NAME@VERSION` of one of several.")]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"


def model_answer(service: Service, snapshot: Snapshot) -> ModelAnswer:
    """Return what is to be said about a loaded model."""
    loaded, models = service.models.get(snapshot.model), service.models
    previous, candidate = models.previous, service.snapshots.candidate
    card = loaded.card if loaded is not None else None
    return ModelAnswer(
        name=snapshot.model.name,
        version=snapshot.model.version,
        reference=snapshot.model.reference,
        active=snapshot.model == service.snapshots.active.model,
        previous=previous is not None and previous.model == snapshot.model,
        candidate=candidate is not None and candidate.model == snapshot.model,
        items=len(snapshot.catalog),
        catalog_version=snapshot.catalog_version,
        protocol=snapshot.recommender.protocol,
        finished=card.finished if card is not None else None,
        metrics={seen: dict(values) for seen, values in card.metrics.items()} if card is not None else {},
    )


@router.get("", response_model=ModelsAnswer, responses=problems(), openapi_extra=_EXTRA, summary="Loaded models")
async def models(request: Request, key: Reader) -> Response:
    """Return the loaded models, the active one first, with how they make lists and what their runs measured."""
    service: Service = request.app.state.service
    answer = ModelsAnswer(items=tuple(model_answer(service, each) for each in service.snapshots.all))
    return Response(answer.model_dump_json(), media_type=_JSON)


@router.post(
    "",
    status_code=202,
    response_model=JobAnswer,
    responses=problems("conflict", "not-found", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Load a model",
)
async def load(request: Request, body: ModelBody, key: Admin) -> Response:
    """Start a job that loads a model beside the others and warms it up; it answers once it is activated."""
    service: Service = request.app.state.service
    if service.served is None:
        raise ProblemError("conflict", "this service cannot load models")
    source = await asyncio.to_thread(service.served.finder.find, body.name)
    job = service.jobs.start("load", lambda: model_changes.load(service, source, activate_it=body.activate))
    return Response(job.model_dump_json(), 202, media_type=_JSON)


@router.post(
    "/rollback",
    response_model=ModelAnswer,
    responses=problems("conflict", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Go back to the model before",
)
async def rollback(request: Request, key: Admin) -> Response:
    """Let the model answer that did before the active one; done twice, the active one answers again."""
    service: Service = request.app.state.service
    await asyncio.to_thread(model_changes.roll_back, service)
    return Response(model_answer(service, service.snapshots.active).model_dump_json(), media_type=_JSON)


@router.post(
    "/{name}/activate",
    response_model=ModelAnswer,
    responses=problems("conflict", "not-found", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Let a loaded model answer",
)
async def activate(request: Request, name: Name, key: Admin) -> Response:
    """Let a loaded model answer, with the shop's present facts; requests that run end with the one before."""
    service: Service = request.app.state.service
    await asyncio.to_thread(model_changes.activate, service, name)
    return Response(model_answer(service, service.snapshots.active).model_dump_json(), media_type=_JSON)
