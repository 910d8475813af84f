"""The middleware around every request: id, time limit, size limit, problems, metrics, logs; an ASGI application itself.

It is written against ASGI alone, as the layers of Starlette for this cost more than a batch's share of a request.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lexirec.serving.database.clock import SimulatedClock
from lexirec.serving.database.event_rows import EARLIEST
from lexirec.serving.http.logs import REQUESTS
from lexirec.serving.http.metrics import Metrics
from lexirec.serving.problems import MEDIA_TYPE, ProblemError
from lexirec.serving.settings import ServeSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(REQUESTS)
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_BULK = ("/v1/events", "/v1/items")
_RANKING = frozenset({"/v1/recommend", "/v1/recommend/batch", "/v1/rank"})
UNEXPECTED = "the service failed; the log has the cause under the request's id"
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
MOST_LATE = 0.1
"""Seconds that the event loop may be behind while many questions are under way."""
ANSWERED_AT_ONCE = 64
"""Questions that may be under way besides those that wait for the model."""
CLIENT_LEFT = 499
"""Status in metrics and logs of a request whose client left before the answer."""

SIMULATED_TIME = "x-simulated-time"
_LATEST = 4_102_444_800.0  # 2100


@dataclass
class RequestState:
    """What handlers leave for the middleware, in `scope["state"]["request"]`.

    Attributes:
        id: Of the request.
        timing: Milliseconds by name, for the header `Server-Timing`.
        fields: Further fields of the line in the log.
    """

    id: str
    timing: dict[str, float] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)


class RequestMiddleware:
    """Wraps the application; see the module's docstring."""

    def __init__(
        self, app: App, metrics: Metrics, settings: Callable[[], ServeSettings], *, draining: Callable[[], bool]
    ) -> None:
        """Wrap an application; `draining` says whether connections should be closed after their answers."""
        self._app, self._metrics, self._settings, self._draining = app, metrics, settings, draining
        self._ranking, self._pulse = 0, Pulse()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = RequestState(_request_id(scope))
        scope.setdefault("state", {})["request"] = state
        exchange = _Exchange(send, state, close=self._draining())
        started = time.perf_counter()
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        ranks = path in _RANKING
        self._ranking += ranks
        try:
            body = await self._body(scope, path, receive)
            if ranks:
                self._refuse_early(scope, path)
            await self._run(scope, body, receive, exchange)
        except ProblemError as error:
            await exchange.problem(error)
        except Exception as error:
            _log.error("unexpected error", exc_info=error, extra={"fields": {"request_id": state.id}})
            await exchange.problem(ProblemError("internal", UNEXPECTED))
        finally:
            self._ranking -= ranks
        self._count(scope, state, exchange.status or CLIENT_LEFT, time.perf_counter() - started)

    def _refuse_early(self, scope: Scope, path: str) -> None:
        """Refuse a question that is one too many, before it costs as much as one that is answered.

        Those that read the model's answer, or a simpler model's, count besides those that wait for the model: without
        this bound, an overloaded service spends its time on questions whose answers come too late.
        """
        most = self._settings().limits.waiting + ANSWERED_AT_ONCE
        late = self._ranking > ANSWERED_AT_ONCE and self._pulse.late() > MOST_LATE
        if late or self._ranking > most:
            scope["route"] = _Route(path)
            raise ProblemError("overloaded", f"{self._ranking} requests are under way; try again in a second")

    async def _body(self, scope: Scope, path: str, receive: Receive) -> bytes:
        """Read the body within the limits of size and time."""
        limits = self._settings().limits
        most = limits.bulk_body_bytes if path.startswith(_BULK) else limits.body_bytes
        too_large = ProblemError("too-large", f"the body is larger than {most:,} bytes; send less at a time")
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            raise too_large
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(limits.wire_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ProblemError("bad-request", "the client left before its request was complete")
                    part = message.get("body", b"")
                    size += len(part)
                    if size > most:
                        raise too_large
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            seconds = limits.wire_seconds
            raise ProblemError("timeout", f"the request took longer than {seconds:g} s to arrive") from None

    async def _run(self, scope: Scope, body: bytes, receive: Receive, exchange: _Exchange) -> None:
        """Run the application, and cancel it when the client leaves."""
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        if scope["method"] == "GET":
            await self._app(scope, replay, exchange.send)
            return
        work = asyncio.ensure_future(self._app(scope, replay, exchange.send))
        watch = asyncio.ensure_future(receive())  # after the body, the only message is that the client has left
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))
            if not work.cancelled():
                work.result()
        finally:
            watch.cancel()

    def _count(self, scope: Scope, state: RequestState, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        self._metrics.requested(route, scope["method"] if route != "(none)" else "(any)", status, seconds)
        if self._settings().logs.requests:
            fields = {
                "request_id": state.id,
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 2),
                **state.fields,
            }
            _log.info("request", extra={"fields": fields})


class Pulse:
    """Says how far the event loop is behind: about how long a request has waited before anybody saw it."""

    def __init__(self, every: float = 0.02) -> None:
        """Measure every so many seconds, from the first question on."""
        self._every, self._due, self._late = every, 0.0, 0.0

    def late(self) -> float:
        """Return the seconds; call it on the event loop."""
        now = time.monotonic()
        if not self._due:
            self._plan()
        return max(self._late, now - self._due)

    def _plan(self) -> None:
        self._due = time.monotonic() + self._every
        asyncio.get_running_loop().call_later(self._every, self._beat)

    def _beat(self) -> None:
        self._late = time.monotonic() - self._due
        self._plan()


class _Route(NamedTuple):
    """The route of a request that no route has seen."""

    path: str


class _Exchange:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, send: Send, state: RequestState, *, close: bool) -> None:
        self._send, self._state, self._close = send, state, close
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            timing = ", ".join(f"{name};dur={value:.2f}" for name, value in self._state.timing.items())
            headers = [*message.get("headers", ()), (b"x-request-id", self._state.id.encode()), *SECURITY_HEADERS]
            headers += [(b"server-timing", timing.encode())] if timing else []
            headers += [(b"connection", b"close")] if self._close else []
            message = {**message, "headers": headers}
        await self._send(message)

    async def problem(self, error: ProblemError) -> None:
        """Send a problem, unless an answer has begun."""
        if self.status:
            return
        body = error.body(self._state.id).model_dump_json(exclude_none=True).encode()
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> str:
    """Return the id that the client gave, where it is a valid one, else a new one."""
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    return given.decode("ascii") if _ID.fullmatch(given) else uuid.uuid4().hex


class SimulatedTime:
    """Sets a simulated clock forward to the time of a header, in seconds since 1970; other values are passed over."""

    def __init__(self, app: App, clock: SimulatedClock) -> None:
        """Wrap an application."""
        self._app, self._clock = app, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the clock, and answer."""
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(SIMULATED_TIME.encode())
            seconds = _seconds_of(given) if given is not None else None
            if seconds is not None:
                self._clock.advance(seconds)
        await self._app(scope, receive, send)


def _seconds_of(given: bytes) -> float | None:
    try:
        seconds = float(given)
    except ValueError:
        return None
    return seconds if EARLIEST <= seconds <= _LATEST else None
