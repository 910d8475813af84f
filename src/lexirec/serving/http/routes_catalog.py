"""Routes about the catalogue as a whole: its versions, publishing, going back, and jobs."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from lexirec.models.living_catalog import Version
from lexirec.serving.answering.living import LivingSnapshots
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.catalog import DifferenceAnswer, JobAnswer, RollbackBody, VersionAnswer, VersionsAnswer
from lexirec.serving.schemas.service import CatalogAnswer

router = APIRouter(prefix="/v1", tags=["catalog"])
Reader = Annotated[KeyHolder, Depends(needs("read"))]
Admin = Annotated[KeyHolder, Depends(needs("admin"))]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"


def living_of(request: Request) -> LivingSnapshots:
    """Return the living catalogue of the service.

    Raises:
        ProblemError: it serves a folder, whose catalogue does not change.
    """
    living: LivingSnapshots | None = request.app.state.service.living
    if living is None:
        raise ProblemError(
            "conflict", "the service serves a folder, whose catalogue cannot change; serve an experiment"
        )
    return living


def _version(version: Version, active: int) -> VersionAnswer:
    return VersionAnswer(
        version=version.number,
        active=version.number == active,
        parent=version.parent,
        created=version.created,
        counts=dict(version.counts),
        seconds=version.seconds,
    )


@router.get(
    "/catalog", response_model=CatalogAnswer, responses=problems(), openapi_extra=_EXTRA, summary="The catalogue"
)
async def catalog(request: Request, key: Reader) -> Response:
    """Return the version of the catalogue that answers, with counts."""
    service = request.app.state.service
    return Response(service.catalog_answer(service.snapshots.active).model_dump_json(), media_type=_JSON)


@router.get(
    "/catalog/versions",
    response_model=VersionsAnswer,
    responses=problems("conflict"),
    openapi_extra=_EXTRA,
    summary="Versions of the catalogue",
)
async def versions(request: Request, key: Reader) -> Response:
    """Return the versions that are kept, oldest first; 0 is the catalogue of training."""
    state = await asyncio.to_thread(lambda: living_of(request).catalog.state)
    answer = VersionsAnswer(items=tuple(_version(each, state.active) for each in state.versions))
    return Response(answer.model_dump_json(), media_type=_JSON)


@router.get(
    "/catalog/diff",
    response_model=DifferenceAnswer,
    responses=problems("conflict", "not-found"),
    openapi_extra=_EXTRA,
    summary="How two versions differ",
)
async def diff(
    request: Request,
    key: Reader,
    first: Annotated[int, Query(alias="from", ge=0, le=2**31, description="The earlier version.")],
    second: Annotated[int, Query(alias="to", ge=0, le=2**31, description="The later version.")],
) -> Response:
    """Return the items that were added, removed or renamed from one version to another."""
    living = living_of(request)
    known = {each.number for each in living.catalog.state.versions}
    for number in (first, second):
        if number not in known:
            kept = ", ".join(map(str, sorted(known)))
            raise ProblemError("not-found", f"there is no version {number} of the catalogue; kept are {kept}")
    found = await asyncio.to_thread(living.catalog.difference, first, second)
    answer = DifferenceAnswer(
        added=found.added, removed=found.removed, renamed=found.renamed, moved_identifiers=found.moved
    )
    return Response(answer.model_dump_json(), media_type=_JSON)


@router.post(
    "/catalog/publish",
    status_code=202,
    response_model=JobAnswer,
    responses=problems("conflict"),
    openapi_extra=_EXTRA,
    summary="Make a version of the staged changes",
)
async def publish(request: Request, key: Admin) -> Response:
    """Start a job that makes, checks and activates a version; a failure changes nothing."""
    living_of(request)
    job = request.app.state.service.publisher.start_job()
    return Response(job.model_dump_json(), 202, media_type=_JSON)


@router.post(
    "/catalog/rollback",
    response_model=VersionAnswer,
    responses=problems("conflict", "not-found", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Go back to an earlier version",
)
async def rollback(request: Request, key: Admin, body: RollbackBody) -> Response:
    """Make an earlier version active; staged changes stay staged."""
    living, service = living_of(request), request.app.state.service
    number = body.version
    if number is not None and number not in {each.number for each in living.catalog.state.versions}:
        raise ProblemError(
            "not-found", f"there is no version {number} of the catalogue; /v1/catalog/versions lists them"
        )
    version = await asyncio.to_thread(service.publisher.roll_back, number)
    return Response(_version(version, version.number).model_dump_json(), media_type=_JSON)


@router.get(
    "/jobs/{job_id}", response_model=JobAnswer, responses=problems("not-found"), openapi_extra=_EXTRA, summary="A job"
)
async def job(request: Request, job_id: str, key: Reader) -> Response:
    """Return what became of a job."""
    return Response(request.app.state.service.jobs.get(job_id).model_dump_json(), media_type=_JSON)
