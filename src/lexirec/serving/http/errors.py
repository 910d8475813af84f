"""From errors to problems: validation in the house's words, errors of the framework, and of lexirec itself."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from lexirec.core.config_errors import explain
from lexirec.core.errors import LexirecError
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.http.requests import UNEXPECTED, RequestState
from lexirec.serving.problems import KINDS, MEDIA_TYPE, ProblemError, for_clients

_log = logging.getLogger(__name__)
MOST_PLACES = 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_PARTS = re.compile(r"(\{[^}]*\})")
DATABASE_KINDS = {
    "overloaded": "overloaded",
    "storage-full": "storage-full",
    "storage-unavailable": "not-ready",
    "bad-cursor": "invalid-request",
    "bad-value": "invalid-request",
    "unknown-item": "unknown-item",
    "not-found": "not-found",
    "erased": "erased-user",
    "conflict": "conflict",
}
"""Kinds of problems by what the database calls them."""
_BY_STATUS = {kind.status: name for name, kind in reversed(KINDS.items())}


def problem_response(error: ProblemError, request: Request) -> Response:
    """Return the answer to a request that ended with a problem."""
    state: RequestState | None = getattr(request.state, "request", None)
    body = error.body(state.id if state is not None else None)
    return Response(body.model_dump_json(exclude_none=True), error.status, error.headers, MEDIA_TYPE)


def answer_errors(app: FastAPI) -> None:
    """Let an application answer every error with a problem."""

    async def of_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError), "handlers get errors of their class"
        return problem_response(error, request)

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError), "handlers get errors of their class"
        return problem_response(_from_validation(request, error), request)

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "handlers get errors of their class"
        return problem_response(_from_framework(request, error), request)

    async def of_lexirec(request: Request, error: Exception) -> Response:
        kind = DATABASE_KINDS.get(error.kind, "internal") if isinstance(error, DatabaseError) else "invalid-request"
        assert isinstance(error, LexirecError), "handlers get errors of their class"
        return problem_response(ProblemError(kind, for_clients(error)), request)

    async def of_system(request: Request, error: Exception) -> Response:
        assert isinstance(error, OSError), "handlers get errors of their class"
        problem = store_problem(error)
        if problem is None:
            raise error
        _log.error("the store cannot be written: %s", error.strerror)
        return problem_response(problem, request)

    async def of_unexpected(request: Request, error: Exception) -> Response:
        return problem_response(ProblemError("internal", UNEXPECTED), request)

    app.add_exception_handler(OSError, of_system)
    app.add_exception_handler(Exception, of_unexpected)
    app.add_exception_handler(ProblemError, of_problem)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(LexirecError, of_lexirec)


def store_problem(error: OSError) -> ProblemError | None:
    """Return the problem of an error of the file system that says that nothing can be written; None for others."""
    if error.errno in _FULL:
        return ProblemError("storage-full", "the store's disk is full; nothing was changed. Free space and try again")
    if error.errno in _READ_ONLY:
        return ProblemError("not-ready", "the store cannot be written; make it writable. Lists are answered as before")
    return None


def _from_framework(request: Request, error: HTTPException) -> ProblemError:
    path = request.url.path
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = headers["Allow"] = _methods(request)
        return ProblemError(
            "method-not-allowed", f"{request.method} is not allowed on {path}; use {allowed}", (), headers
        )
    if error.status_code == 404:
        return ProblemError("not-found", f"there is nothing at {path}; /docs lists what there is", (), headers)
    if error.status_code == 400:
        return ProblemError("bad-request", "the body is no JSON text in UTF-8 that can be read; check it", (), headers)
    return ProblemError(_BY_STATUS.get(error.status_code, "internal"), str(error.detail), (), headers)


def _methods(request: Request) -> str:
    """Return the methods of all routes with a request's path, as the header `Allow` lists them."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    found: set[str] = set()
    paths = request.app.openapi()["paths"]
    for template, operations in paths.items() if path not in paths else ((path, paths[path]),):
        pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in _PARTS.split(template))
        if re.fullmatch(pattern, path):
            found |= {method.upper() for method in operations}
    return ", ".join(sorted(found or {"GET"}))


def _from_validation(request: Request, error: RequestValidationError) -> ProblemError:
    problems = list(error.errors())
    if any(each["type"] == "json_invalid" for each in problems):
        return ProblemError("bad-request", "the body is no JSON text; send an object as the page /docs shows")
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    in_body = [each for each in problems if each["loc"][:1] == ("body",)]
    if in_body and not (content == "application/json" or content.endswith("+json")):
        named = f"'{content}'" if content else "missing"
        return ProblemError("unsupported-media-type", f"the content type is {named}; send application/json")
    model = _body_model(request)
    places = [_place(each, model, error.body) for each in problems[:MOST_PLACES]]
    kind = "unknown-field" if problems[0]["type"] == "extra_forbidden" else "invalid-request"
    return ProblemError(kind, _line(places), places)


def check_body(kind: type[BaseModel], values: Any, pointer: str = "") -> Any:
    """Return a part of a body that was read by hand as its model.

    Raises:
        ProblemError: it does not fit; places are below `pointer`.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        places = [
            _place({**each, "loc": ("body", *each["loc"])}, kind, values, pointer) for each in problems[:MOST_PLACES]
        ]
        name = "unknown-field" if problems[0]["type"] == "extra_forbidden" else "invalid-request"
        raise ProblemError(name, _line(places), places) from None


def _line(places: Sequence[tuple[str, str]]) -> str:
    more = f" ({len(places) - 1} more like this)" if len(places) > 1 else ""
    return f"{places[0][1]}{more}"


def _place(problem: Any, model: type[BaseModel] | None, body: Any, above: str = "") -> tuple[str, str]:
    """Return the JSON pointer of one problem, and what is wrong in the house's words."""
    source, *path = problem["loc"]
    if source == "body" and not path:
        missing = problem["type"] == "missing"
        return above, "the body is missing; send a JSON object" if missing else _whole(problem)
    if source == "body" and model is not None:
        values = body if isinstance(body, dict) else {}
        name, message = explain({**problem, "loc": tuple(path)}, model, values)
        parts = name.split(".") if name else []
        message = message.replace("there is no setting", "there is no field")  # the words are those of settings files
        return f"{above}/{'/'.join(_escaped(part) for part in parts)}" if parts else above, message
    pointer = f"{above}/{'/'.join(_escaped(str(part)) for part in path)}"
    return (pointer if source == "body" else f"#/{source}{pointer}"), f"'{'.'.join(map(str, path))}': {problem['msg']}"


def _whole(problem: Any) -> str:
    """Return what is wrong with a body as a whole: another type, or parts that contradict each other."""
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return "the body should be a JSON object; /docs shows its fields"


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _body_model(request: Request) -> type[BaseModel] | None:
    """Return the model of the route's body, where it has one."""
    field = getattr(request.scope.get("route"), "body_field", None)
    annotation = getattr(getattr(field, "field_info", None), "annotation", None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
