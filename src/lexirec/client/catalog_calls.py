"""Calls about items, the catalogue's versions, jobs and settings, as data; see `client.calls`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lexirec.client.calls import Call, ServiceError, in_path
from lexirec.serving.schemas.catalog import (
    DifferenceAnswer,
    ItemAnswer,
    ItemPage,
    ItemsChanged,
    ItemsWritten,
    JobAnswer,
    VersionAnswer,
    VersionsAnswer,
)
from lexirec.serving.schemas.service import CatalogAnswer, ReloadAnswer


def _item(item_id: str) -> str:
    return f"/v1/items/{in_path(item_id)}"


def _fields(fields: Mapping[str, Any], hidden: bool | None) -> str:
    content: dict[str, Any] = {"fields": dict(fields)} | ({} if hidden is None else {"hidden": hidden})
    return _as_json(content)


def _as_json(content: Any) -> str:
    try:
        return json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ServiceError(f"the values of an item cannot be sent ({error}); give texts, numbers or lists") from None


def write_items(rows: Iterable[Mapping[str, Any]]) -> Call[ItemsWritten]:
    """Return the call that adds new items and changes known ones."""
    return Call("POST", "/v1/items", ItemsWritten, _as_json({"items": [dict(row) for row in rows]}))


def put_item(item_id: str, fields: Mapping[str, Any], hidden: bool | None) -> Call[ItemAnswer]:
    """Return the call that adds an item, or replaces its columns."""
    return Call("PUT", _item(item_id), ItemAnswer, _fields(fields, hidden))


def change_item(item_id: str, fields: Mapping[str, Any], hidden: bool | None) -> Call[ItemAnswer]:
    """Return the call that changes columns of an item, hides it or shows it again."""
    return Call("PATCH", _item(item_id), ItemAnswer, _fields(fields, hidden))


def remove_item(item_id: str) -> Call[ItemsChanged]:
    """Return the call that removes an item."""
    return Call("DELETE", _item(item_id), ItemsChanged)


def item(item_id: str) -> Call[ItemAnswer]:
    """Return the call for an item."""
    return Call("GET", _item(item_id), ItemAnswer)


def items_of(item_ids: Sequence[str]) -> Call[ItemPage]:
    """Return the call for items by their ids."""
    return Call("POST", "/v1/items/get", ItemPage, json.dumps({"item_ids": list(item_ids)}))


def items(q: str | None, state: str | None, limit: int, cursor: str | None) -> Call[ItemPage]:
    """Return the call for a page of items."""
    given = {"q": q, "state": state, "cursor": cursor}
    query = {"limit": str(limit)} | {name: value for name, value in given.items() if value is not None}
    return Call("GET", "/v1/items", ItemPage, query=query)


def catalog() -> Call[CatalogAnswer]:
    """Return the call for the catalogue that answers."""
    return Call("GET", "/v1/catalog", CatalogAnswer)


def versions() -> Call[VersionsAnswer]:
    """Return the call for the versions that are kept."""
    return Call("GET", "/v1/catalog/versions", VersionsAnswer)


def difference(first: int, second: int) -> Call[DifferenceAnswer]:
    """Return the call that compares two versions."""
    return Call("GET", "/v1/catalog/diff", DifferenceAnswer, query={"from": str(first), "to": str(second)})


def publish() -> Call[JobAnswer]:
    """Return the call that starts to publish."""
    return Call("POST", "/v1/catalog/publish", JobAnswer)


def roll_back(version: int | None) -> Call[VersionAnswer]:
    """Return the call that goes back to an earlier version."""
    body = json.dumps({} if version is None else {"version": version})
    return Call("POST", "/v1/catalog/rollback", VersionAnswer, body)


def job(job_id: str) -> Call[JobAnswer]:
    """Return the call for a job."""
    return Call("GET", f"/v1/jobs/{in_path(job_id)}", JobAnswer)


def reload() -> Call[ReloadAnswer]:
    """Return the call that reads settings and keys again."""
    return Call("POST", "/v1/reload", ReloadAnswer)
