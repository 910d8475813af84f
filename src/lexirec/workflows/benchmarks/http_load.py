"""Load on an HTTP service: closed loops and open loops of prepared requests, over plain asyncio connections.

A closed loop keeps so many requests under way. An open loop sends requests at random times whatever the service does,
and counts an answer's time from the moment its request was due, so that a service that stalls is not spared the
requests that it kept from being sent.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np


@dataclass
class Load:
    """What a load came to.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of every request that got an answer of status 200.
        failures: Statuses of the others, 0 for lost connections.
        bodies: Answers by the number of their request.
        late: Seconds from the moment at which a request was due to that at which it was sent: how far behind the load
            itself is. Open loops only.
        unhinted: Failures with status 429 or 503 that do not say when to try again.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    unhinted: int = 0

    @property
    def per_second(self) -> float:
        """Answers of status 200 a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the seconds within which this share of the requests, in percent, was answered."""
        return float(np.percentile(self.latencies, share))


def closed_loop(url: str, path: str, bodies: Sequence[bytes], connections: int) -> Load:
    """Send all bodies over so many connections, each sending its next request when its last is answered."""
    return asyncio.run(_closed(url, path, bodies, connections))


def open_loop(url: str, path: str, bodies: Sequence[bytes], rate: float, seed: int = 0) -> Load:
    """Send all bodies at random times, `rate` a second on average (a Poisson process)."""
    return asyncio.run(_open(url, path, bodies, rate, seed))


async def _closed(url: str, path: str, bodies: Sequence[bytes], connections: int) -> Load:
    load, numbers = Load(), iter(range(len(bodies)))

    async def work() -> None:
        connection = Connection(url)
        for number in numbers:
            await _one(connection, path, bodies[number], number, load, time.perf_counter())
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


async def _open(url: str, path: str, bodies: Sequence[bytes], rate: float, seed: int) -> Load:
    load = Load()
    started = time.perf_counter()
    await asyncio.gather(*await send_open_loop(load, url, path, bodies, (rate, seed)))
    load.seconds = time.perf_counter() - started
    return load


async def send_open_loop(
    load: Load, url: str, path: str, bodies: Sequence[bytes], pace: tuple[float, int]
) -> list[asyncio.Task[None]]:
    """Send all bodies at random times; return when the last one is sent, with what waits for the answers.

    Args:
        load: takes what comes of them.
        url: of the service.
        path: of the route.
        bodies: of the requests.
        pace: requests a second on average, and the seed of their times.
    """
    rate, seed = pace
    chance, idle, tasks = random.Random(seed), list[Connection](), list[asyncio.Task[None]]()

    async def work(number: int, due: float) -> None:
        connection = idle.pop() if idle else Connection(url)
        await _one(connection, path, bodies[number], number, load, due)
        idle.append(connection)

    due = time.perf_counter()
    for number in range(len(bodies)):
        due += chance.expovariate(rate)
        # also without a pause the loop has its turn, in which what is due is written and answers are read
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        load.late.append(time.perf_counter() - due)
        tasks.append(asyncio.ensure_future(work(number, due)))
    return tasks


async def _one(connection: Connection, path: str, body: bytes, number: int, load: Load, since: float) -> None:
    try:
        answer = await connection.post(path, body)
    except (OSError, EOFError, ValueError):
        load.failures.append(0)
        connection.close()
        return
    if answer.status == 200:
        load.latencies.append(time.perf_counter() - since)
        load.bodies[number] = answer.body
    else:
        load.failures.append(answer.status)
        load.unhinted += answer.status in (429, 503) and "retry-after" not in answer.headers


class Answer(NamedTuple):
    """An answer; names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection that stays open; it opens at its first use, and again after it was closed."""

    def __init__(self, url: str) -> None:
        """Prepare a connection to a service."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            OSError, EOFError, ValueError: the connection cannot be opened or is lost, or the answer is none.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        received = await reader.readuntil(b"\r\n\r\n")
        lines = received.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        content = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(lines[0].split()[1]), headers, content)
