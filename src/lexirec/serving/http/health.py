"""Health: live while the loop and both threads beat; ready while all parts can answer. The answer says which cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from lexirec.serving.schemas.service import HealthAnswer, PartHealth

router = APIRouter(tags=["health"])
BEAT_LIMIT = 10.0
"""Seconds without a sign of life after which a thread counts as dead."""
Part = Callable[[], str | None]
"""Returns what is wrong with a part, or None."""


class Health:
    """The parts of a service that can be unwell.

    Attributes:
        live: parts without which the process should be started anew.
        ready: parts without which it should get no requests.
        degraded: parts without which it answers less than everything.
    """

    def __init__(self) -> None:
        """Know no part yet."""
        self.live: dict[str, Part] = {}
        self.ready: dict[str, Part] = {}
        self.degraded: dict[str, Part] = {}

    def report(self, parts: Mapping[str, Part]) -> HealthAnswer:
        """Ask parts, and say for each what is wrong."""
        asked = {name: _ask(part) for name, part in parts.items()}
        failing = {name: problem for name, problem in asked.items() if problem}
        degraded = tuple(name for name, part in self.degraded.items() if _ask(part))
        status: Literal["ok", "degraded", "failing"] = "failing" if failing else "degraded" if degraded else "ok"
        return HealthAnswer(
            status=status,
            parts={name: PartHealth(ok=not problem, detail=problem) for name, problem in asked.items()},
            degraded=degraded,
        )


def _ask(part: Part) -> str | None:
    try:
        return part()
    except Exception as error:
        return f"cannot be asked ({type(error).__name__})"


def beat_of(seconds: Callable[[], float], name: str) -> Part:
    """Return the part of a thread that says how long ago it last showed life."""

    def part() -> str | None:
        silent = seconds()
        return f"{name} has not moved for {silent:.0f} s" if silent > BEAT_LIMIT else None

    return part


def _answer(report: HealthAnswer) -> Response:
    status = 503 if report.status == "failing" else 200
    headers = {"Retry-After": "1"} if status == 503 else {}
    return Response(report.model_dump_json(), status, headers, "application/json")


_RESPONSES: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthAnswer, "description": "A part fails; `parts` says which."}
}


@router.get("/health/live", response_model=HealthAnswer, responses=_RESPONSES, summary="Whether the process lives")
def live(request: Request) -> Response:
    """Answer 200 while the process lives; 503 means that it should be started anew."""
    health: Health = request.app.state.service.health
    return _answer(health.report(health.live))


@router.get("/health/ready", response_model=HealthAnswer, responses=_RESPONSES, summary="Whether to send requests")
@router.get("/health", response_model=HealthAnswer, responses=_RESPONSES, summary="The same as /health/ready")
def ready(request: Request) -> Response:
    """Answer 200 while requests may be sent; 503 while the service starts, stops, or a part fails."""
    health: Health = request.app.state.service.health
    return _answer(health.report({**health.live, **health.ready}))
