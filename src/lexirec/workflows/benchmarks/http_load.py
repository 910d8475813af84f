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
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)

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
        async with _Connection(url) as connection:
            for number in numbers:
                await _one(connection, path, bodies[number], number, load, time.perf_counter())

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


async def _open(url: str, path: str, bodies: Sequence[bytes], rate: float, seed: int) -> Load:
    load, chance, idle = Load(), random.Random(seed), list[_Connection]()

    async def work(number: int, due: float) -> None:
        connection = idle.pop() if idle else await _Connection(url).open()
        await _one(connection, path, bodies[number], number, load, due)
        idle.append(connection)

    started = due = time.perf_counter()
    tasks = []
    for number in range(len(bodies)):
        due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(work(number, due)))
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - started
    for connection in idle:
        connection.close()
    return load


async def _one(connection: _Connection, path: str, body: bytes, number: int, load: Load, since: float) -> None:
    try:
        status, answer = await connection.post(path, body)
    except (OSError, EOFError, ValueError):
        load.failures.append(0)
        connection.close()
        await connection.open()
        return
    if status == 200:
        load.latencies.append(time.perf_counter() - since)
        load.bodies[number] = answer
    else:
        load.failures.append(status)


class _Connection:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    async def open(self) -> _Connection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aenter__(self) -> _Connection:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._writer.close()

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and the body of the answer."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        received = await self._reader.readuntil(b"\r\n\r\n")
        lines = received.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1]), await self._reader.readexactly(int(headers["content-length"]))
