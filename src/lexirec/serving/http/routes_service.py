"""Routes about the service itself: what answers, with which settings and limits."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from lexirec.core.environment import versions
from lexirec.serving.http.auth import KeyHolder, needs
from lexirec.serving.http.openapi import SECURITY, problems
from lexirec.serving.http.routes_models import model_answer
from lexirec.serving.schemas.service import InfoAnswer, ReloadAnswer
from lexirec.serving.upkeep.reloading import reload

router = APIRouter(prefix="/v1", tags=["service"])
Reader = Annotated[KeyHolder, Depends(needs("read"))]
Admin = Annotated[KeyHolder, Depends(needs("admin"))]
_EXTRA = {"security": SECURITY}
_JSON = "application/json"
_SECRETS: dict[str, Any] = {"storage": {"url"}, "models": {"root"}}


@router.get("/info", response_model=InfoAnswer, responses=problems(), openapi_extra=_EXTRA, summary="About the service")
async def info(request: Request, key: Reader) -> Response:
    """Return versions, the model and the catalogue that answer, and the settings without secrets."""
    service = request.app.state.service
    active = service.snapshots.active
    answer = InfoAnswer(
        lexirec=versions().get("lexirec") or "0",
        model=model_answer(service, active),
        catalog=service.catalog_answer(active),
        settings=service.settings.model_dump(mode="json", exclude=_SECRETS),
        seconds_since_start=round(time.monotonic() - service.started, 1),
    )
    return Response(answer.model_dump_json(), media_type=_JSON)


@router.post(
    "/reload",
    response_model=ReloadAnswer,
    responses=problems(),
    openapi_extra=_EXTRA,
    summary="Read settings and keys again",
)
async def reload_settings(request: Request, key: Admin) -> Response:
    """Let changed limits, types of events, log settings, publishing and keys act; other changes need a restart.

    Settings that cannot be used change nothing. SIGHUP does the same.
    """
    answer = await asyncio.to_thread(reload, request.app.state.service)
    return Response(answer.model_dump_json(), media_type=_JSON)
