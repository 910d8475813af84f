"""Routes about items: facts change at once, new items and texts with the next version of the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from lexirec.serving.answering.living import LivingSnapshots
from lexirec.serving.answering.models import Models
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.bodies import LINES, listed_rows
from lexirec.serving.http.errors import check_body
from lexirec.serving.http.openapi import SECURITY, body_of, problems
from lexirec.serving.http.routes_catalog import living_of
from lexirec.serving.items.views import ItemView, start_of
from lexirec.serving.items.writes import as_table, check_columns, check_ids, replace_row, write_rows
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.catalog import (
    ItemAnswer,
    ItemIds,
    ItemPage,
    ItemPatch,
    ItemRows,
    ItemsChanged,
    ItemState,
    ItemsWritten,
)
from lexirec.serving.schemas.common import LONGEST_ID

router = APIRouter(prefix="/v1/items", tags=["items"])
Reader = Annotated[KeyHolder, Depends(needs("read"))]
Writer = Annotated[KeyHolder, Depends(needs("write"))]
ItemId = Annotated[str, Path(min_length=1, max_length=LONGEST_ID, description="Percent-encoded, without '/'.")]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"


@router.post(
    "",
    response_model=ItemsWritten,
    responses=problems("conflict", "unsupported-media-type", "storage-full"),
    openapi_extra=_EXTRA | body_of(ItemRows, LINES),
    summary="Add and change items",
)
async def write_items(request: Request, key: Writer) -> Response:
    """Add new items and change known ones: columns without text at once, the rest with the next version.

    The body is one item, `{"items": [...]}`, or one item a line (application/x-ndjson).
    """
    rows = listed_rows(request, await request.body(), "items")
    items = check_body(ItemRows, {"items": rows}).items
    most = request.app.state.service.settings.limits.rows
    if len(items) > most:
        raise ProblemError("too-large", f"{len(items):,} items in one request; at most {most:,} are taken; split them")
    check_ids(items)

    def work() -> ItemsWritten:
        with _changing(request) as living:
            return write_rows(living.catalog, items)

    written = await asyncio.to_thread(work)
    return Response(written.model_dump_json(), media_type=_JSON)


@router.post(
    "/get",
    response_model=ItemPage,
    responses=problems("conflict", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Items by their ids",
)
async def get_items(request: Request, body: ItemIds, key: Reader) -> Response:
    """Return items by their ids; unknown ones are left out."""
    view = _view(request)
    found = await asyncio.to_thread(view.answers, list(dict.fromkeys(body.item_ids)))
    return Response(ItemPage(items=tuple(found)).model_dump_json(), media_type=_JSON)


@router.get(
    "", response_model=ItemPage, responses=problems("conflict"), openapi_extra=_EXTRA, summary="Items, page by page"
)
async def list_items(
    request: Request,
    key: Reader,
    limit: Annotated[int, Query(ge=1, le=1000, description="Items of a page.")] = 100,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
    q: Annotated[str | None, Query(max_length=256, description="Part of an id or a title.")] = None,
    state: Annotated[ItemState | None, Query(description="Only items in this state.")] = None,
) -> Response:
    """Return items in the order of the catalogue, staged ones at the end."""
    view, start = _view(request), start_of(cursor)
    page = await asyncio.to_thread(view.page, q, state, start, limit)
    return Response(page.model_dump_json(), media_type=_JSON)


@contextmanager
def _changing(request: Request) -> Iterator[LivingSnapshots]:
    """Change the shop's state in the block; the new state answers before the client hears of it."""
    living_of(request)
    models: Models = request.app.state.service.models
    with models.changing() as living:
        if living is None:
            raise ProblemError("conflict", "another model answers now, whose catalogue cannot change")
        yield living


def _view(request: Request) -> ItemView:
    living = living_of(request)
    return ItemView(request.app.state.service.snapshots.active, living.catalog.staged)


def _one(request: Request, item_id: str) -> ItemAnswer:
    view = _view(request)
    found = view.answers([item_id])
    if not found:
        raise ProblemError("not-found", f"there is no item '{item_id}'.{view.snapshot.catalog.suggest(item_id)}")
    return found[0]


@router.get(
    "/{item_id}",
    response_model=ItemAnswer,
    responses=problems("conflict", "not-found"),
    openapi_extra=_EXTRA,
    summary="An item",
)
async def item(request: Request, item_id: ItemId, key: Reader) -> Response:
    """Return an item with its present columns and its state."""
    found = await asyncio.to_thread(_one, request, item_id)
    return Response(found.model_dump_json(), media_type=_JSON)


@router.put(
    "/{item_id}",
    response_model=ItemAnswer,
    responses=problems("conflict", "not-found", "unsupported-media-type", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Add or replace an item",
)
async def put_item(request: Request, item_id: ItemId, body: ItemPatch, key: Writer) -> Response:
    """Add an item, or replace all columns of one: those that are left out become empty.

    As with other changes, texts and new items wait for the next version, all other columns act at once.
    """
    check_ids([{"item_id": item_id}])
    check_columns(body.fields, "/fields")

    def work() -> ItemAnswer:
        with _changing(request) as living:
            replace_row(living.catalog, _view(request), item_id, body)
        return _one(request, item_id)

    found = await asyncio.to_thread(work)
    return Response(found.model_dump_json(), media_type=_JSON)


@router.patch(
    "/{item_id}",
    response_model=ItemAnswer,
    responses=problems("conflict", "not-found", "unsupported-media-type", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Change an item",
)
async def patch_item(request: Request, item_id: ItemId, body: ItemPatch, key: Writer) -> Response:
    """Change columns of an item, hide it or show it again."""
    check_columns(body.fields, "/fields")

    def work() -> ItemAnswer:
        _one(request, item_id)
        with _changing(request) as living:
            if body.fields:
                living.catalog.update(as_table([{**body.fields, "item_id": item_id}]))
            if body.hidden is not None:
                living.catalog.hide([item_id], hidden=body.hidden)
        return _one(request, item_id)

    found = await asyncio.to_thread(work)
    return Response(found.model_dump_json(), media_type=_JSON)


@router.delete(
    "/{item_id}",
    response_model=ItemsChanged,
    responses=problems("conflict", "not-found", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Remove an item",
)
async def remove_item(request: Request, item_id: ItemId, key: Writer) -> Response:
    """Remove an item: it is hidden at once, and leaves the catalogue with the next version."""

    def work() -> int:
        _one(request, item_id)
        with _changing(request) as living:
            return living.catalog.remove([item_id])

    return Response(ItemsChanged(changed=await asyncio.to_thread(work)).model_dump_json(), media_type=_JSON)
