"""The server: uvicorn with one worker, patient with a proxy when it stops, impatient with clients that send slowly."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from http import HTTPStatus
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from lexirec.serving.http.app import create_app
from lexirec.serving.http.requests import SECURITY_HEADERS
from lexirec.serving.http.service import Service
from lexirec.serving.problems import MEDIA_TYPE, ProblemError
from lexirec.serving.upkeep.reloading import reload_and_tell

_log = logging.getLogger(__name__)
BACKLOG = 2048
LONGEST_HEAD = 65_536
KEEP_ALIVE = 75.0
"""Seconds that an idle connection stays open: longer than proxies keep theirs, so that the proxy closes first."""


def run_server(service: Service) -> None:
    """Serve until SIGTERM or SIGINT, then drain and stop; returns when everything acknowledged is stored.

    Raises:
        OSError: the address cannot be bound.
    """
    settings = service.settings
    config = uvicorn.Config(
        create_app(service),
        host=settings.host,
        port=settings.port,
        http=_protocol(lambda: service.settings.limits.wire_seconds),
        ws="none",
        loop="asyncio",  # uvloop accepts one connection a turn: under overload, new ones would wait for seconds
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        root_path=settings.root_path,
        backlog=BACKLOG,
        timeout_keep_alive=int(KEEP_ALIVE),
        timeout_graceful_shutdown=int(settings.stopping.finish_seconds),
    )
    try:
        _Server(config, service).run()
    finally:
        service.stop()


class _Server(uvicorn.Server):
    """Uvicorn that goes on answering for a while after SIGTERM, and ends with status 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if threading.current_thread() is threading.main_thread():
            loop = self._loop
            loop.add_signal_handler(
                signal.SIGHUP, lambda: loop.run_in_executor(None, reload_and_tell, self._service) and None
            )
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            _log.info("open http://%s:%s/shop/ to shop, and /workbench/ there to look inside", shown, port)
            _log.info("listening on http://%s:%s", shown, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, stop at once at the second."""
        if self._service.draining or sig != signal.SIGTERM or self._loop is None:
            self._service.drain()
            self.force_exit = self.should_exit
            self.should_exit = True
            return
        self._service.drain()
        delay = self._service.settings.stopping.drain_delay
        _log.info("stopping: not ready any more, answering for %.0f s, then no new connections", delay)
        self._loop.call_soon_threadsafe(self._loop.call_later, delay, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


_Protocol: Any = AutoHTTPProtocol


class _Impatient(_Protocol):  # type: ignore[misc]
    """Uvicorn's protocol with limits on the heads of requests: the time in which they arrive, and their size.

    The middleware watches bodies; heads never reach it before they are complete.
    """

    wire_seconds: Callable[[], float] = staticmethod(lambda: 10.0)
    _timer: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        cycle = self.cycle
        if self._timer is None and (cycle is None or cycle.response_complete):
            self._arm()  # the first bytes of the next request on this connection
        self._head += len(data)
        super().data_received(data)
        if self.cycle is not cycle:
            self._disarm()
        elif self._timer is not None and self._head > LONGEST_HEAD:
            self._refuse(ProblemError("head-too-large", f"the head is longer than {LONGEST_HEAD:,} bytes"))

    def send_400_response(self, _: str) -> None:
        self._refuse(ProblemError("bad-request", "this is no request after HTTP/1.1; check its head"))

    def connection_lost(self, error: Exception | None) -> None:
        self._disarm()
        super().connection_lost(error)

    def _arm(self) -> None:
        self._head = 0
        self._timer = asyncio.get_running_loop().call_later(self.wire_seconds(), self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        message = f"the head of the request took longer than {self.wire_seconds():g} s to arrive"
        self._refuse(ProblemError("timeout", message))

    def _refuse(self, problem: ProblemError) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.write(_raw_answer(problem))
            self.transport.close()


def _protocol(seconds: Callable[[], float]) -> type[asyncio.Protocol]:
    """Return the protocol with as many seconds for heads as a function says."""
    return type("Impatient", (_Impatient,), {"wire_seconds": staticmethod(seconds)})


def _raw_answer(problem: ProblemError) -> bytes:
    body = problem.body().model_dump_json(exclude_none=True).encode()
    head = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
    head += [b"content-type: " + MEDIA_TYPE.encode()]
    head += [name + b": " + value for name, value in SECURITY_HEADERS]
    head += [b"content-length: " + str(len(body)).encode(), b"connection: close"]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
