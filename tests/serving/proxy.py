"""A small HTTP proxy before two replicas, as strict as proxies are: what was sent once is never sent again.

It asks every replica for its health, turns away from one that is not ready, keeps connections open, and tries another
replica only where a connection was refused before a byte was sent. A request that was sent and not answered is a 502.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
NOBODY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Replica:
    """A service behind the proxy."""

    host: str
    port: int
    ready: bool = False
    answered: int = 0
    idle: list[Streams] = field(default_factory=list)

    @classmethod
    def at(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)

    async def connect(self) -> Streams:
        """Take an idle connection that is still open, else open one."""
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.host, self.port)


class Proxy:
    """The proxy, on a thread of its own; replicas may be replaced while it runs.

    Attributes:
        url: Its address.
        lost: Requests that were sent to a replica and not answered.
        homeless: Requests for which no replica was ready.
    """

    def __init__(self, urls: list[str], every: float = 0.1) -> None:
        self.replicas = [Replica.at(url) for url in urls]
        self.lost = self.homeless = 0
        self._every, self._turn = every, itertools.count()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = ""

    def replace(self, place: int, url: str) -> None:
        self.replicas[place] = Replica.at(url)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        watches = [self._loop.create_task(self._watch(place)) for place in range(len(self.replicas))]
        self._started.set()
        self._loop.run_forever()
        for task in [*watches, *asyncio.all_tasks(self._loop)]:
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _watch(self, place: int) -> None:
        """Ask one replica for its health, again and again."""
        question = b"GET /health/ready HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n"
        while True:
            replica = self.replicas[place]
            try:
                async with asyncio.timeout(2):
                    reader, writer = await asyncio.open_connection(replica.host, replica.port)
                    writer.write(question)
                    replica.ready = b" 200 " in await reader.readline()
                    writer.close()
            except (OSError, TimeoutError):
                replica.ready = False
            await asyncio.sleep(self._every)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                head, body = await _message(reader)
                writer.write(await self._forwarded(head + body))
                await writer.drain()
        writer.close()

    async def _forwarded(self, request: bytes) -> bytes:
        ready = [replica for replica in self.replicas if replica.ready]
        turn = next(self._turn)
        for place in range(len(ready)):
            replica = ready[(turn + place) % len(ready)]
            try:
                streams = await replica.connect()
            except OSError:
                replica.ready = False
                continue  # not a byte was sent: another one may have it
            try:
                streams[1].write(request)
                head, body = await _message(streams[0])
            except (OSError, EOFError):
                self.lost += 1
                return BAD_GATEWAY
            replica.answered += 1
            closes = b"\r\nconnection: close\r\n" in head.lower()
            if closes:
                streams[1].close()
                head = b"\r\n".join(line for line in head.split(b"\r\n") if line.lower() != b"connection: close")
            else:
                replica.idle.append(streams)
            return head + body
        self.homeless += 1
        return NOBODY


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one request or answer whose body has a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head, await reader.readexactly(length)
