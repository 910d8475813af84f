"""Routes whose JSON body is read straight into its model: without FastAPI's way over Python values and dependencies.

FastAPI still describes them, from the endpoint's signature `(request, body, key)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from lexirec.serving.http.errors import check_body
from lexirec.serving.problems import ProblemError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class DirectRoute(APIRoute):
    """A route with one JSON body and one key, whose endpoint returns the response itself."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        endpoint, (key,) = self.endpoint, self.dependant.dependencies
        admit: Any = key.call
        assert self.body_field is not None, "the endpoint has a body"
        model: type[BaseModel] = self.body_field.field_info.annotation  # type: ignore[assignment]

        async def handle(request: Request) -> Response:
            headers = request.headers
            holder = await admit(request, headers.get("authorization"), headers.get("x-api-key"))
            _check_type(headers.get("content-type", ""))
            response: Response = await endpoint(request, _read(model, await request.body()), holder)
            return response

        return handle


def _check_type(given: str) -> None:
    if given == "application/json":
        return
    content = given.partition(";")[0].strip().lower()
    if content != "application/json" and not content.endswith("+json"):
        named = f"'{content}'" if content else "missing"
        raise ProblemError("unsupported-media-type", f"the content type is {named}; send application/json")


def _read(model: type[BaseModel], body: bytes) -> Any:
    try:
        return model.model_validate_json(body)
    except ValidationError:
        pass  # the words of problems are made from Python values
    if not body:
        raise ProblemError("invalid-request", "the body is missing; send a JSON object", [("", "the body is missing")])
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(
            "bad-request", "the body is no JSON text in UTF-8 that can be read; send an object as the page /docs shows"
        ) from None
    return check_body(model, values)
