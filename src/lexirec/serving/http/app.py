"""The application: routes, errors, the middleware, the description, and the pages that the service itself serves."""

from __future__ import annotations

import asyncio
from html import escape

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from lexirec.core.environment import versions
from lexirec.serving.database.clock import SimulatedClock
from lexirec.serving.http import (
    health,
    routes_catalog,
    routes_evaluation,
    routes_events,
    routes_items,
    routes_models,
    routes_recommend,
    routes_service,
    routes_users,
)
from lexirec.serving.http.auth import needs
from lexirec.serving.http.errors import answer_errors
from lexirec.serving.http.metrics import MEDIA_TYPE
from lexirec.serving.http.openapi import describe
from lexirec.serving.http.requests import App, RequestMiddleware, SimulatedTime
from lexirec.serving.http.service import Service
from lexirec.serving.problems import KINDS, ProblemError
from lexirec.serving.schemas.catalog import ItemRows
from lexirec.serving.schemas.events import EventList, NewEvent
from lexirec.serving.workbench import pages as workbench_pages
from lexirec.serving.workbench import routes as workbench_routes
from lexirec.serving.workbench.state import Workbench

_DESCRIPTION = (
    "Recommendations from a generative recommender: lists for users, sessions and histories, events that change them, "
    "and filters that act in the search. Errors are problems after RFC 9457."
)
pages = APIRouter(include_in_schema=False)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def create_app(service: Service) -> App:
    """Return the ASGI application of a service."""
    found = versions().get("lexirec") or "0"
    app = FastAPI(
        title="lexirec",
        version=found,
        description=_DESCRIPTION,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; ours loads nothing
        redoc_url=None,
        openapi_url=None,
        root_path=service.settings.root_path,
        redirect_slashes=False,
    )
    app.state.service, app.state.workbench = service, Workbench(service)
    answer_errors(app)
    modules = (
        routes_recommend,
        routes_events,
        routes_users,
        routes_items,
        routes_catalog,
        routes_models,
        routes_service,
        health,
    )
    for router in (*(module.router for module in modules), routes_evaluation.router, pages):
        app.include_router(router)
    for router in (workbench_routes.router, workbench_pages.pages):
        app.include_router(router)
    describe(app, (NewEvent, EventList, ItemRows))
    made = RequestMiddleware(app, service.metrics, lambda: service.settings, draining=lambda: service.draining)
    clock = service.database.access.clock
    return SimulatedTime(made, clock) if isinstance(clock, SimulatedClock) else made


async def _may_read_docs(request: Request) -> None:
    service: Service = request.app.state.service
    if "docs" not in service.settings.auth.public:
        await needs("read")(request, request.headers.get("authorization"), request.headers.get("x-api-key"))


@pages.get("/openapi.json", dependencies=[Depends(_may_read_docs)])
async def openapi(request: Request) -> dict[str, object]:
    """Return the description of the service."""
    description: dict[str, object] = request.app.openapi()
    return description


@pages.get("/docs", dependencies=[Depends(_may_read_docs)])
async def docs(request: Request) -> Response:
    """Show what the service answers, from its own description, without loading anything."""
    return _page("The API of lexirec", _operations(request.app.openapi()))


@pages.get("/problems/{kind}")
async def problem_page(kind: str) -> Response:
    """Explain a kind of problem."""
    if kind not in KINDS:
        raise ProblemError("not-found", f"there is no kind of problem '{kind[:64]}'; there are {', '.join(KINDS)}")
    about = KINDS[kind]
    return _page(
        about.title, f"<p>Status {about.status}, kind <code>{escape(kind)}</code>.</p><p>{escape(about.advice)}</p>"
    )


@pages.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    service: Service = request.app.state.service
    if "metrics" not in service.settings.auth.public:
        await needs("read")(request, request.headers.get("authorization"), request.headers.get("x-api-key"))
    return Response(await asyncio.to_thread(service.metrics_text), media_type=MEDIA_TYPE)


def _operations(description: dict[str, object]) -> str:
    rows = []
    paths = description["paths"]
    assert isinstance(paths, dict), "the description is FastAPI's"
    for path, methods in paths.items():
        for method, operation in methods.items():
            about = operation.get("description") or operation.get("summary", "")
            rows.append(f"<tr><td><code>{method.upper()}</code><td><code>{escape(path)}</code><td>{escape(about)}</tr>")
    return (
        "<p><a href='openapi.json'>openapi.json</a> describes every field.</p>"
        f"<table><tr><th>method<th>path<th>what it does</tr>{''.join(rows)}</table>"
    )


def _page(title: str, body: str) -> Response:
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        "<meta name=viewport content='width=device-width'><style>body{font:16px/1.5 system-ui;max-width:60rem;"
        "margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top}"
        f"</style><h1>{escape(title)}</h1>{body}</html>"
    )
    return Response(text, media_type="text/html", headers={"content-security-policy": _POLICY})
