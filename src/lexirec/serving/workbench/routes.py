"""Routes that the pages of the workbench need: the process at a glance, previews, identifiers, reports."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.common import LONGEST_ID
from lexirec.serving.schemas.recommend import RecommendRequest
from lexirec.serving.schemas.workbench import (
    IdentifierItemAnswer,
    IdentifierNodeAnswer,
    OverviewAnswer,
    PreviewAnswer,
    ReportsAnswer,
)
from lexirec.serving.workbench.identifier_answers import item_answer, node_answer
from lexirec.serving.workbench.identifier_tree import IdentifierTree
from lexirec.serving.workbench.overview import overview
from lexirec.serving.workbench.preview import preview
from lexirec.serving.workbench.reports import MEDIA
from lexirec.serving.workbench.state import Workbench

router = APIRouter(prefix="/v1", tags=["workbench"])
Reader = Annotated[KeyHolder, Depends(needs("read"))]
ItemId = Annotated[str, Path(min_length=1, max_length=LONGEST_ID, description="Percent-encoded, without '/'.")]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"
FRAMED = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""Policy of a report's files: no scripts, nothing from elsewhere, no origin of its own."""


def _workbench(request: Request) -> Workbench:
    found: Workbench = request.app.state.workbench
    return found


def _tree(request: Request, model: str | None) -> tuple[Snapshot, IdentifierTree]:
    snapshot = request.app.state.service.snapshots.pick(model, None)
    return snapshot, _workbench(request).trees.of(snapshot)


Model = Annotated[str | None, Query(max_length=256, description="A loaded model; by default the active one.")]


@router.get(
    "/overview", response_model=OverviewAnswer, responses=problems(), openapi_extra=_EXTRA, summary="At a glance"
)
async def glance(request: Request, key: Reader) -> Response:
    """Return health, what answers, percentiles and fallbacks of this process, and its last quarter of an hour."""
    found = await asyncio.to_thread(overview, request.app.state.service)
    return Response(found.model_dump_json(), media_type=_JSON)


@router.post(
    "/preview",
    response_model=PreviewAnswer,
    responses=problems("conflict", "not-found", "overloaded", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="The list that a request would get, and how it comes about",
)
async def preview_list(
    request: Request,
    body: RecommendRequest,
    key: Reader,
    beam: Annotated[bool, Query(description="Tell how the beam search found the list.")] = False,
) -> Response:
    """Answer as `/v1/recommend` does, but neither record nor count the list; say what each filter leaves."""
    found = await preview(request.app.state.service, _workbench(request).trees, body, beam=beam)
    return Response(found.model_dump_json(), media_type=_JSON)


@router.get(
    "/identifiers",
    response_model=IdentifierNodeAnswer,
    responses=problems("conflict", "not-found"),
    openapi_extra=_EXTRA,
    summary="A node of the tree of identifiers",
)
async def identifiers(
    request: Request,
    key: Reader,
    node: Annotated[int, Query(ge=0, le=2**31, description="Number of the node; 0 is the root.")] = 0,
    by: Annotated[str | None, Query(max_length=256, description="Field of the purity of children.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Children of a page.")] = 200,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
    model: Model = None,
) -> Response:
    """Return a node with its children: how many items lie below, how much alike they are, which collide."""
    found = await asyncio.to_thread(lambda: node_answer(_tree(request, model)[1], node, by, (cursor, limit)))
    return Response(found.model_dump_json(), media_type=_JSON)


@router.get(
    "/identifiers/{item_id}",
    response_model=IdentifierItemAnswer,
    responses=problems("conflict", "not-found"),
    openapi_extra=_EXTRA,
    summary="Where an item sits in the tree of identifiers",
)
async def identifier(request: Request, item_id: ItemId, key: Reader, model: Model = None) -> Response:
    """Return the words of an item's identifier, which of its texts hold them, and the items next to it."""

    def work() -> IdentifierItemAnswer:
        snapshot, tree = _tree(request, model)
        number = snapshot.numbers.get(item_id)
        if number is None:
            raise ProblemError("not-found", f"the model knows no item '{item_id}'.{snapshot.catalog.suggest(item_id)}")
        return item_answer(tree, number)

    found = await asyncio.to_thread(work)
    return Response(found.model_dump_json(), media_type=_JSON)


@router.get(
    "/reports",
    response_model=ReportsAnswer,
    responses=problems(),
    openapi_extra=_EXTRA,
    summary="Offline reports of the store",
)
async def reports(request: Request, key: Reader) -> Response:
    """Return the reports of the store's experiments and studies, with addresses of their files."""
    found = _workbench(request).reports
    items = await asyncio.to_thread(lambda: tuple(found.all()) if found is not None else ())
    return Response(ReportsAnswer(items=items).model_dump_json(), media_type=_JSON)


@router.get(
    "/reports/{kind}/{name}/{file}",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {media: {} for media in MEDIA.values()}},
        **problems("not-found"),
    },
    openapi_extra=_EXTRA,
    summary="A file of a report",
)
async def report_file(
    request: Request,
    kind: Literal["run", "study"],
    name: Annotated[str, Path(min_length=1, max_length=256)],
    file: Annotated[str, Path(min_length=1, max_length=256)],
    ticket: Annotated[str | None, Query(max_length=64, description="Of the list of reports; stands for a key.")] = None,
) -> Response:
    """Return a page, a text or a figure, which a browser shows without scripts and without rights."""
    workbench = _workbench(request)
    if not workbench.tickets.holds(f"{kind}/{name}/{file}", ticket):
        await needs("read")(request, request.headers.get("authorization"), request.headers.get("x-api-key"))
    if workbench.reports is None:
        raise ProblemError("not-found", "this service has no store, and so no reports")
    content, media = await asyncio.to_thread(workbench.reports.file, kind, name, file)
    headers = {"content-security-policy": FRAMED}
    return Response(content, headers=headers, media_type=media)
