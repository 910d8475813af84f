"""Routes about items: facts change at once, new items and texts with the next version of the catalogue."""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import pyarrow as pa
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from lexirec.serving.answering.living import LivingSnapshots, item_state
from lexirec.serving.answering.models import Models
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.http.routes_catalog import living_of
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
_KINDS: tuple[set[type], ...] = ({str}, {int, float}, {bool}, {type(None)})
T = TypeVar("T")


async def _changed(request: Request, work: Callable[[LivingSnapshots], T]) -> T:
    """Do work on a thread, then let the new state answer before the client hears of it."""
    living_of(request)
    models: Models = request.app.state.service.models

    def run() -> T:
        with models.changing() as living:
            if living is None:
                raise ProblemError("conflict", "another model answers now, whose catalogue cannot change")
            return work(living)

    return await asyncio.to_thread(run)


@router.post(
    "",
    response_model=ItemsWritten,
    responses=problems("conflict", "unsupported-media-type", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Add and change items",
)
async def write_items(request: Request, body: ItemRows, key: Writer) -> Response:
    """Add new items and change known ones: columns without text at once, the rest with the next version."""
    most = request.app.state.service.settings.limits.rows
    if len(body.items) > most:
        raise ProblemError(
            "too-large", f"{len(body.items):,} items in one request; at most {most:,} are taken, so split them"
        )
    _check_ids(body.items)
    written = await _changed(request, lambda living: _write(living, body.items))
    return Response(written.model_dump_json(), media_type=_JSON)


def _check_ids(rows: Sequence[dict[str, Any]]) -> None:
    for place, row in enumerate(rows):
        item = row.get("item_id")
        if not isinstance(item, str) or not 1 <= len(item) <= LONGEST_ID or not item.isprintable():
            detail = f"item_id should be 1 to {LONGEST_ID} printable characters"
            raise ProblemError("invalid-request", detail, [(f"/items/{place}/item_id", detail)])
        _check_columns(row, f"/items/{place}")


def _check_columns(row: dict[str, Any], pointer: str) -> None:
    """Check names and values of columns: texts, numbers, truth values, null, and lists of texts or of numbers."""
    for name, value in row.items():
        if not 1 <= len(name) <= LONGEST_ID or not name.isprintable():
            detail = f"a column is called {name[:64]!r}; names are 1 to {LONGEST_ID} printable characters"
            raise ProblemError("invalid-request", detail, [(pointer, detail)])
        kinds = {type(each) for each in value} if isinstance(value, list) else {type(value)}
        if not any(kinds <= allowed for allowed in _KINDS) or not _is_storable(value):
            detail = f"'{name}' should be a text, a number, true, false, null, or a list of texts or of numbers"
            raise ProblemError("invalid-request", detail, [(f"{pointer}/{name}", detail)])


def _is_storable(value: Any) -> bool:
    """Say whether every number fits 64 bits and every text is UTF-8."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and not each.isascii():
            try:
                each.encode("utf-8")
            except UnicodeEncodeError:
                return False
        if isinstance(each, int) and not -(2**63) <= each < 2**63:
            return False
        if isinstance(each, float) and not math.isfinite(each):
            return False
    return True


def _write(living: LivingSnapshots, rows: Sequence[dict[str, Any]]) -> ItemsWritten:
    """Write rows in groups with the same columns, so that a column that a row lacks keeps its value."""
    catalog = living.catalog
    known = set(catalog.catalog().item_ids) - set(catalog.staged.removed) | set(catalog.staged.ids)
    groups: dict[tuple[bool, frozenset[str]], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["item_id"] in known, frozenset(row)), []).append(row)
    added = reworded = changed = 0
    for (is_known, _), group in groups.items():
        table = _table(group)
        if is_known:
            texts, facts = catalog.update(table)
            reworded, changed = reworded + texts, changed + facts
        else:
            added += catalog.add(table)
    return ItemsWritten(added=added, reworded=reworded, changed=changed)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise ProblemError(
            "invalid-request", f"the values of a column are of different kinds ({reason}); send one kind"
        ) from None


@router.post(
    "/get",
    response_model=ItemPage,
    responses=problems("conflict", "unsupported-media-type"),
    openapi_extra=_EXTRA,
    summary="Items by their ids",
)
async def get_items(request: Request, body: ItemIds, key: Reader) -> Response:
    """Return items by their ids; unknown ones are left out."""
    living = living_of(request)
    found = await asyncio.to_thread(_answers, request, living, list(dict.fromkeys(body.item_ids)))
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
    page = await asyncio.to_thread(_page, request, (q, state), limit, _start(cursor))
    return Response(page.model_dump_json(), media_type=_JSON)


def _page(request: Request, wanted: tuple[str | None, str | None], limit: int, start: int) -> ItemPage:
    living, (q, state) = living_of(request), wanted
    catalog = request.app.state.service.snapshots.active.catalog
    staged, facts = living.catalog.staged, living.catalog.facts
    known = set(catalog.item_ids)
    ids = [*catalog.item_ids, *(each for each in staged.ids if each not in known)]
    titles = (
        dict(zip(catalog.item_ids, catalog.field("title"), strict=True))
        if q and "title" in catalog.table.column_names
        else {}
    )
    chosen: list[str] = []
    place = start
    while place < len(ids) and len(chosen) < limit:
        item = ids[place]
        place += 1
        if q and q.lower() not in item.lower() and q.lower() not in titles.get(item, "").lower():
            continue
        if state is None or item_state(item, known, staged.ids, (staged.removed, facts)) == state:
            chosen.append(item)
    found = _answers(request, living, chosen)
    return ItemPage(items=tuple(found), next_cursor=_cursor(place) if place < len(ids) else None)


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"items:{place}".encode()).decode()


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        word, _, place = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if word == "items" and place.isdigit():
            return int(place)
    except (binascii.Error, ValueError):
        pass
    raise ProblemError("invalid-request", "cursor is none that a page of items gave out; begin without one")


def _answers(request: Request, living: LivingSnapshots, ids: Sequence[str]) -> list[ItemAnswer]:
    """Return the known ones of some items, with present facts."""
    snapshot = request.app.state.service.snapshots.active
    staged, facts = living.catalog.staged, living.catalog.facts
    known = {item: number for item in ids if (number := snapshot.numbers.get(item)) is not None}
    rows = dict(zip(known, snapshot.catalog.table.take(list(known.values())).to_pylist(), strict=True)) if known else {}
    waiting = {} if staged.rows is None else {row["item_id"]: row for row in staged.rows.to_pylist()}
    found = []
    for item in ids:
        state = item_state(item, set(known), list(waiting), (staged.removed, facts))
        row = rows.get(item) or waiting.get(item)
        if state is not None and row is not None:
            fields = {name: value for name, value in row.items() if value is not None and name != "item_id"}
            found.append(ItemAnswer.model_validate({"item_id": item, "state": state, "fields": fields}))
    return found


def _one(request: Request, item_id: str) -> ItemAnswer:
    living = living_of(request)
    found = _answers(request, living, [item_id])
    if not found:
        hint = request.app.state.service.snapshots.active.catalog.suggest(item_id)
        raise ProblemError("not-found", f"there is no item '{item_id}'.{hint}")
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


@router.patch(
    "/{item_id}",
    response_model=ItemAnswer,
    responses=problems("conflict", "not-found", "unsupported-media-type", "storage-full"),
    openapi_extra=_EXTRA,
    summary="Change an item",
)
async def patch_item(request: Request, item_id: ItemId, body: ItemPatch, key: Writer) -> Response:
    """Change columns of an item, hide it or show it again."""
    _check_columns(body.fields, "/fields")
    await asyncio.to_thread(_one, request, item_id)

    def work(living: LivingSnapshots) -> None:
        if body.fields:
            living.catalog.update(_table([{**body.fields, "item_id": item_id}]))
        if body.hidden is not None:
            living.catalog.hide([item_id], hidden=body.hidden)

    await _changed(request, work)
    found = await asyncio.to_thread(_one, request, item_id)
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
    await asyncio.to_thread(_one, request, item_id)
    changed = await _changed(request, lambda living: living.catalog.remove([item_id]))
    return Response(ItemsChanged(changed=changed).model_dump_json(), media_type=_JSON)
