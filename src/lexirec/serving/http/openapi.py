"""The parts of the OpenAPI description that all routes share: problems by status, keys, and request bodies by hand."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lexirec.serving.problems import KINDS, MEDIA_TYPE
from lexirec.serving.schemas.problem import ProblemBody

_REFERENCE = "#/components/schemas/{model}"
_ALWAYS = ("bad-request", "timeout", "too-large", "invalid-request", "rate-limited", "internal", "not-ready")
_WITH_KEY = ("unauthorized", "forbidden")
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {}]
"""A key in either header, or none where the service has no keys."""


def problems(*kinds: str, key: bool = True) -> dict[int | str, dict[str, Any]]:
    """Return the declared answers of a route: the problems of every route, and these kinds."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in (*_ALWAYS, *(_WITH_KEY if key else ()), *kinds):
        status = KINDS[kind].status
        title = KINDS[kind].title
        found[status] = {
            "description": f"{found[status]['description']} / {title}" if status in found else title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="ProblemBody")}}},
        }
    return found


def body_of(model: type[BaseModel], *more: str) -> dict[str, Any]:
    """Return `openapi_extra` of a route that reads its body by hand: JSON of a model, and further media types."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    content |= {media: {"schema": {"type": "string"}} for media in more}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI, extra: tuple[type[BaseModel], ...] = ()) -> None:
    """Let an application describe itself with the schemas of problems, of bodies read by hand, and with keys."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = made.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            models: list[type[BaseModel]] = [ProblemBody, *extra]
            _, definitions = models_json_schema([(each, "validation") for each in models], ref_template=_REFERENCE)
            for name, schema in definitions.get("$defs", {}).items():
                schemas.setdefault(name, schema)
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
