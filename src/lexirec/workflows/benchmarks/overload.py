"""Overload of a service: four times what it can answer, in a process of its own; then whether it is as fast as before.

    python -m lexirec.workflows.benchmarks.overload http://127.0.0.1:8000 --items items.json --seconds 60

The load is an open loop: it does not wait for answers, and the time of an answer counts from the moment at which its
request was due. A load that falls behind its own schedule measures itself, so the figures say how late it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.errors import ArtifactError
from lexirec.workflows.benchmarks.http_load import Connection, Load, closed_loop, send_open_loop

PATH = "/v1/recommend"
REFUSALS = (429, 503)
"""Statuses with which an overloaded service may refuse a request."""
CONNECTIONS = 32
"""Requests under way while the capacity is measured."""
ALONE = 60
"""Requests one at a time, before the load, that say how fast the service is alone."""
WINDOW = 9
"""Requests one at a time, after the load, whose median has to be as before."""
LONGEST_RECOVERY = 30.0


def measure_overload(
    url: str, items: Sequence[str], seconds: float, *, factor: float = 4.0, timeout_ms: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Offer a service more than it can answer.

    Args:
        url: of the service.
        items: ids that histories are made of.
        seconds: of the load.
        factor: offered requests over the measured capacity.
        timeout_ms: of every request.
        seed: of histories and times.

    Returns:
        Requests a second that it can answer and that were offered; counts of answers by kind; percentiles of the
        accepted ones from the moment at which they were due; how late the load was; milliseconds of a single request
        before and after, and the seconds after which it was as fast as before (None where it was not).

    Raises:
        ArtifactError: the service does not answer.
    """
    return asyncio.run(_measure(url, _bodies(items, timeout_ms, seed), seconds, factor, seed))


def _bodies(items: Sequence[str], timeout_ms: int, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    histories = [chance.sample(items, chance.randint(1, min(12, len(items)))) for _ in range(2000)]
    return [json.dumps({"history": history, "k": 10, "timeout_ms": timeout_ms}).encode() for history in histories]


async def _measure(url: str, bodies: Sequence[bytes], seconds: float, factor: float, seed: int) -> dict[str, Any]:
    many = [bodies[number % len(bodies)] for number in range(200)]
    await asyncio.to_thread(closed_loop, url, PATH, many, CONNECTIONS)  # what happens for the first time is over
    probe = Connection(url)
    before = [await _alone(probe, bodies[number]) for number in range(ALONE)]
    capacity = await _capacity(url, bodies, seconds)
    count = round(factor * capacity * seconds)
    load, started = Load(), time.perf_counter()
    load_bodies = [bodies[number % len(bodies)] for number in range(count)]
    tasks = await send_open_loop(load, url, PATH, load_bodies, (factor * capacity, seed))
    offered = count / (time.perf_counter() - started)
    recovery, after = await _recover(probe, bodies, float(np.percentile(before, 95)))
    await asyncio.gather(*tasks)
    return _figures(load, (capacity, offered), (before, after), recovery)


async def _capacity(url: str, bodies: Sequence[bytes], seconds: float) -> float:
    """Return the answers a second of a closed loop that takes about a fifth of the load's time."""
    some = [bodies[number % len(bodies)] for number in range(400)]
    rough = (await asyncio.to_thread(closed_loop, url, PATH, some, CONNECTIONS)).per_second
    if not rough:
        raise ArtifactError(f"{url} answers none of {len(some)} requests; start the service first")
    many = [bodies[number % len(bodies)] for number in range(max(400, round(rough * seconds / 5)))]
    return (await asyncio.to_thread(closed_loop, url, PATH, many, CONNECTIONS)).per_second


async def _alone(connection: Connection, body: bytes) -> float:
    """Return the seconds of one request; infinity where it is refused or lost."""
    started = time.perf_counter()
    try:
        answer = await connection.post(PATH, body)
    except (OSError, EOFError, ValueError):
        connection.close()
        return float("inf")
    if answer.status != 200:
        await asyncio.sleep(0.02)
        return float("inf")
    return time.perf_counter() - started


async def _recover(
    connection: Connection, bodies: Sequence[bytes], as_before: float
) -> tuple[float | None, list[float]]:
    """Ask one request at a time until the median of some is as before; return after how many seconds, and theirs."""
    started, found = time.perf_counter(), list[float]()
    while (passed := time.perf_counter() - started) < LONGEST_RECOVERY:
        if len(found) >= WINDOW and float(np.median(found[-WINDOW:])) <= as_before:
            return passed, found[-WINDOW:]
        found.append(await _alone(connection, bodies[len(found) % len(bodies)]))
    return None, found[-WINDOW:]


def _figures(
    load: Load, rates: tuple[float, float], alone: tuple[list[float], list[float]], recovery: float | None
) -> dict[str, Any]:
    fallbacks = Counter(json.loads(body)["fallback"] for body in load.bodies.values())
    failures = Counter(load.failures)
    return {
        "capacity_per_second": rates[0],
        "offered_per_second": rates[1],
        "accepted": len(load.latencies),
        "by_simpler_models": fallbacks.total() - fallbacks[None],
        "refused": sum(failures[status] for status in REFUSALS),
        "refused_without_retry_after": load.unhinted,
        "failed": sum(count for status, count in failures.items() if status not in REFUSALS),
        "failures": {str(status): count for status, count in sorted(failures.items()) if status not in REFUSALS},
        "accepted_p50_ms": 1000 * load.percentile(50) if load.latencies else None,
        "accepted_p99_ms": 1000 * load.percentile(99) if load.latencies else None,
        "load_late_p99_ms": 1000 * float(np.percentile(load.late, 99)),
        "alone_before_ms": 1000 * float(np.median(alone[0])),
        "alone_after_ms": 1000 * float(np.median(alone[1])) if recovery is not None else None,
        "recovery_seconds": recovery,
    }


def main() -> None:
    """Measure one service; prints a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--items", type=Path, required=True, help="a JSON list of item ids")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--factor", type=float, default=4.0)
    parser.add_argument("--timeout-ms", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    items = json.loads(given.items.read_text("utf-8"))
    figures = measure_overload(
        given.url, items, given.seconds, factor=given.factor, timeout_ms=given.timeout_ms, seed=given.seed
    )
    print(json.dumps(figures))  # noqa: T201


if __name__ == "__main__":
    main()
