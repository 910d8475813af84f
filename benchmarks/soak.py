"""Hours of a shop in minutes: mixed traffic against a service of the toy shop, and whether it grows.

    python benchmarks/soak.py --store demo/store --minutes 5

Clients ask for lists (with filters, boosts, quotas), rank, compare, write events, merge sessions, erase users, change
items; an operator adds items, publishes and rolls back. At the end, the service gets four times what it can answer. It
prints a table and a line of JSON, and ends with status 1 where a request failed, memory grows by more than 1 MB a
minute after the warm-up, threads or open files grow, or the overload is not over five seconds after its end.
The store is copied first: the one that is given stays as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
from sklearn.linear_model import QuantileRegressor

PAUSE = 0.03
"""Mean seconds that a client waits between two requests."""
OPERATOR_SECONDS = 10.0
"""Seconds between two publishes or rollbacks."""
FIRST_EVENTS = 16_000
KEPT = 9
"""Added items that stay in the catalogue."""
AT_REST = 0.1
"""Share of the samples of memory that lie below its line of growth: a publish needs memory for a while."""
WARM_UP = 0.4
"""Share of the time after which memory is watched."""
BARS = {"megabytes_per_minute": 1.0, "threads": 2, "files": 8, "overload_p99_ms": 2000.0, "recovery_seconds": 5.0}
"""What may not be exceeded."""
Act = Callable[["Traffic", random.Random], Awaitable[None]]


@dataclass
class Traffic:
    """The requests of all clients, and what became of them.

    Attributes:
        http: Client of the service.
        items: Ids of the items of training.
        seconds: Of answered requests, by kind.
        refused: Refusals that say when to try again, by kind.
        failures: Lines about everything else.
        known: Users who have sent events.
    """

    http: httpx.AsyncClient
    items: Sequence[str]
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failures: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    async def ask(self, kind: str, method: str, path: str, *, allowed: Sequence[int] = (), **options: Any) -> Any:
        """Send one request; return the body of its answer, or None where it was refused or failed.

        Statuses that are `allowed` are no failures.
        """
        started = time.perf_counter()
        try:
            response = await self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            self.failures.append(f"{kind}: {error!r}")
            return None
        if response.status_code in (429, 503) and "retry-after" in response.headers:
            self.refused[kind] += 1
            return None
        if not response.is_success and response.status_code not in allowed:
            self.failures.append(f"{kind}: {response.status_code} {response.text[:300]}")
            return None
        self.seconds[kind].append(time.perf_counter() - started)
        return response.json() if "json" in response.headers["content-type"] else response.text

    async def send(self, user: str, chance: random.Random) -> Any:
        """Send a few events of a user."""
        types = ("purchase", "view", "view", "view", "dislike")
        events = [
            {"user_id": user, "item_id": item, "type": chance.choice(types), "event_id": f"e{next(self.numbers)}"}
            for item in chance.sample(self.items, chance.randint(1, 4))
        ]
        return await self.ask("events", "POST", "/v1/events", json={"events": events})


def question(traffic: Traffic, chance: random.Random) -> dict[str, Any]:
    """Return a random request for a list."""
    asked: dict[str, Any] = {"k": chance.choice((5, 10, 20))}
    if traffic.known and chance.random() < 0.6:
        asked["user_id"] = chance.choice(traffic.known)
    else:
        asked["history"] = chance.sample(traffic.items, chance.randint(0, 12))
    if chance.random() < 0.3:
        asked["allow"] = [f"price<{chance.randint(5, 60)}"]
    if chance.random() < 0.2:
        asked["boosts"] = [{"filter": f"price>{chance.randint(1, 30)}", "weight": round(chance.uniform(-1, 1), 1)}]
    if chance.random() < 0.1:
        asked["at_most"] = [{"field": "brand", "count": 2}]
    if chance.random() < 0.1:
        asked["new_items"] = 0.2
    return asked | {"explain": chance.random() < 0.05}


async def recommend(traffic: Traffic, chance: random.Random) -> None:
    """Ask for a list."""
    await traffic.ask("recommend", "POST", "/v1/recommend", json=question(traffic, chance))


async def batch(traffic: Traffic, chance: random.Random) -> None:
    """Ask for several lists at once."""
    asked = [question(traffic, chance) for _ in range(chance.randint(2, 8))]
    await traffic.ask("batch", "POST", "/v1/recommend/batch", json={"requests": asked})


async def rank(traffic: Traffic, chance: random.Random) -> None:
    """Ask for the order of some items."""
    asked = {"history": chance.sample(traffic.items, 3), "candidates": chance.sample(traffic.items, 8)}
    await traffic.ask("rank", "POST", "/v1/rank", json=asked)


async def similar(traffic: Traffic, chance: random.Random) -> None:
    """Ask for items like another."""
    await traffic.ask("similar", "POST", "/v1/similar", json={"item_id": chance.choice(traffic.items), "k": 5})


async def write(traffic: Traffic, chance: random.Random) -> None:
    """Send events of one of some hundred users."""
    user = f"u{chance.randrange(400)}"
    if await traffic.send(user, chance) is not None and len(traffic.known) < 400 and user not in traffic.known:
        traffic.known.append(user)


async def look(traffic: Traffic, chance: random.Random) -> None:
    """Look at a user, and at the page of the newest events."""
    if traffic.known:
        user = chance.choice(traffic.known)
        await traffic.ask("user", "GET", f"/v1/users/{user}")
        await traffic.ask("user events", "GET", f"/v1/users/{user}/events", params={"limit": 20})


async def log_in(traffic: Traffic, chance: random.Random) -> None:
    """Give the events of a session to a user."""
    session = f"s{next(traffic.numbers)}"
    if await traffic.send(f"session:{session}", chance) is not None:
        path = f"/v1/users/u{chance.randrange(400)}/merge"
        await traffic.ask("merge", "POST", path, json={"from_session": session})


async def leave(traffic: Traffic, chance: random.Random) -> None:
    """Come, and be erased."""
    user = f"gone{next(traffic.numbers)}"
    if await traffic.send(user, chance) is not None:
        await traffic.ask("erase", "DELETE", f"/v1/users/{user}")


async def change(traffic: Traffic, chance: random.Random) -> None:
    """Change the price of an item, or hide one and show it again."""
    path = f"/v1/items/{chance.choice(traffic.items)}"
    if chance.random() < 0.7:
        changed = {"fields": {"price": round(chance.uniform(1, 60), 2)}}
        await traffic.ask("item facts", "PATCH", path, json=changed)
        return
    await traffic.ask("item facts", "PATCH", path, json={"hidden": True})
    await traffic.ask("item facts", "PATCH", path, json={"hidden": False})


async def browse(traffic: Traffic, chance: random.Random) -> None:
    """Do what dashboards do."""
    await traffic.ask("pages", "GET", "/v1/items", params={"limit": 20, "q": chance.choice("aeiou")})
    for path in ("/v1/catalog", "/metrics", "/health/ready"):
        await traffic.ask("pages", "GET", path)


ACTS: dict[Act, int] = {recommend: 45, rank: 8, similar: 8, batch: 4, write: 20, look: 4, log_in: 2, leave: 2}
ACTS |= {change: 3, browse: 2}
"""What clients do, and how often."""


async def fill(traffic: Traffic, chance: random.Random) -> None:
    """Send what a shop has had before, more than the database keeps in memory."""
    for start in range(0, FIRST_EVENTS, 400):
        events = [
            {"user_id": f"u{number % 400}", "item_id": chance.choice(traffic.items), "event_id": f"first{number}"}
            for number in range(start, start + 400)
        ]
        await traffic.ask("events", "POST", "/v1/events", json={"events": events})
    traffic.known.extend(f"u{number}" for number in range(400))


async def client(traffic: Traffic, chance: random.Random, until: float) -> None:
    """Be one client until a time."""
    while time.monotonic() < until:
        await chance.choices(list(ACTS), list(ACTS.values()))[0](traffic, chance)
        await asyncio.sleep(chance.expovariate(1 / PAUSE))


async def operator(traffic: Traffic, until: float) -> None:
    """Add items and publish them; every third time roll back. During the warm-up, four times as often.

    What was added goes again with a later version, as a catalogue that grows would need more memory rightly.
    """
    turn, warm = 0, time.monotonic() + WARM_UP * (until - time.monotonic())
    added: list[str] = []
    while time.monotonic() < until:
        turn += 1
        if turn % 3 == 0:
            await traffic.ask("rollback", "POST", "/v1/catalog/rollback", json={})
        else:
            found = await traffic.ask("item", "GET", f"/v1/items/{traffic.items[turn % len(traffic.items)]}")
            like = found["fields"] if found is not None else {}
            rows = [{**like, "item_id": f"new{turn}-{place}"} for place in range(3)]
            rows = [{**row, "title": f"{row.get('title')} of {turn}"} for row in rows]
            await traffic.ask("add items", "POST", "/v1/items", json={"items": rows})
            added += [row["item_id"] for row in rows]
            old, added = added[:-KEPT], added[-KEPT:]
            for item in old:
                await traffic.ask("remove item", "DELETE", f"/v1/items/{item}", allowed=(404,))
            job = await traffic.ask("publish", "POST", "/v1/catalog/publish")
            while job is not None and job["state"] == "running":
                await asyncio.sleep(0.2)
                job = await traffic.ask("job", "GET", f"/v1/jobs/{job['job_id']}")
            if job is not None and job["state"] != "done":
                traffic.failures.append(f"publish: {job['problem']}")
        pause = OPERATOR_SECONDS if time.monotonic() > warm else OPERATOR_SECONDS / 4
        await asyncio.sleep(min(pause, max(0.0, until - time.monotonic())))


# ------------------------------------------------------------------------------------------------------- measurements


@dataclass
class Watch:
    """Memory, threads and files of a process, looked at again and again."""

    process: int
    times: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    async def run(self, until: float, every: float = 2.0) -> None:
        """Look until a time."""
        while time.monotonic() < until:
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.process}/status").read_text().splitlines())
            self.times.append(time.monotonic())
            self.megabytes.append(int(fields["VmRSS"].split()[0]) / 1024)
            self.threads.append(int(fields["Threads"]))
            self.files.append(len(os.listdir(f"/proc/{self.process}/fd")))  # noqa: PTH208, names alone are counted
            await asyncio.sleep(every)

    def figures(self) -> dict[str, Any]:
        """Return what became of memory, threads and files after the warm-up.

        Growth is the slope of memory at rest: of the line that has a share `AT_REST` of the samples below it.
        """
        after = int(WARM_UP * len(self.times))
        minutes = np.array(self.times[after:]) / 60
        megabytes = np.array(self.megabytes[after:])
        line = QuantileRegressor(quantile=AT_REST, alpha=0.0).fit(minutes[:, None] - minutes[0], megabytes)
        fifth = max(1, (len(self.times) - after) // 5)
        return {
            "megabytes_per_minute": round(float(line.coef_[0]), 3),
            "megabytes_at_rest": [
                round(float(np.quantile(part, AT_REST)), 1)
                for part in np.array_split(megabytes, min(6, len(megabytes)))
            ],
            "megabytes": [round(value, 1) for value in (self.megabytes[0], self.megabytes[after], self.megabytes[-1])],
            "threads": [median(self.threads[after:][:fifth]), median(self.threads[-fifth:])],
            "files": [median(self.files[after:][:fifth]), median(self.files[-fifth:])],
        }


@contextmanager
def service(name: str, store: Path, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve an experiment over a new database; yield the address and the process."""
    options = ["--store", str(store), "--port", "0", "--set", f'storage.url="sqlite:///{folder}/soak.db"']
    options += ["--set", "logs.requests=false", "--set", "stopping.drain_delay=0"]
    log = folder / "log"
    with log.open("wb") as errors:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "lexirec.cli", "serve", name, *options]
        process = subprocess.Popen(command, stderr=errors, env=environment)
    try:
        while "listening on" not in (text := log.read_text("utf-8")):
            if process.poll() is not None:
                raise SystemExit(f"the service did not start: {text[-2000:]}")
            time.sleep(0.1)
        yield text.partition("listening on ")[2].split('"')[0], process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


async def soak(url: str, process: int, given: argparse.Namespace) -> tuple[Traffic, Watch]:
    """Let clients and an operator at a service for a while."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        page = (await http.get("/v1/items", params={"limit": 1000})).json()
        traffic, watch = Traffic(http, [item["item_id"] for item in page["items"]]), Watch(process)
        await fill(traffic, random.Random(given.seed))
        until = time.monotonic() + 60 * given.minutes
        clients = [client(traffic, random.Random(given.seed * 1000 + n), until) for n in range(given.clients)]
        await asyncio.gather(watch.run(until), operator(traffic, until), *clients)
        wrong = [line for line in (await http.get("/metrics")).text.splitlines() if "invalid_items_total " in line]
    if wrong and float(wrong[-1].split()[-1]):
        traffic.failures.append(f"items that were not legal: {wrong[-1]}")
    return traffic, watch


def overload(url: str, items: Sequence[str], folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Offer four times what the service can answer, from a process of its own."""
    (folder / "items.json").write_text(json.dumps(items))
    command = [
        sys.executable,
        "-m",
        "lexirec.workflows.benchmarks.overload",
        url,
        "--items",
        str(folder / "items.json"),
    ]
    command += ["--seconds", str(given.overload), "--seed", str(given.seed)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def missed(figures: dict[str, Any]) -> list[str]:
    """Return a line for every bar that was missed."""
    lines = [f"{figures['failed']} requests failed: {figures['failures'][:3]}"] if figures["failed"] else []
    slope = figures["megabytes_per_minute"]
    lines += [f"memory grows by {slope} MB a minute"] if slope >= BARS["megabytes_per_minute"] else []
    for name in ("threads", "files"):
        first, last = figures[name]
        lines += [f"{name} grew from {first} to {last}"] if last - first > BARS[name] else []
    load = figures["overload"]
    if load is not None:
        bad = load["failed"] + load["refused_without_retry_after"]
        lines += [f"overload: {bad} requests were neither answered nor refused as they should"] if bad else []
        late = load["accepted_p99_ms"]
        lines += [f"overload: answers took {late} ms"] if late is None or late > BARS["overload_p99_ms"] else []
        slow = load["recovery_seconds"]
        lines += [f"overload: over after {slow} s"] if slow is None or slow > BARS["recovery_seconds"] else []
    return lines


def table(traffic: Traffic) -> str:
    """Return a line for every kind of request."""
    lines = [f"{'':12} {'answered':>9} {'refused':>8} {'p50 ms':>8} {'p99 ms':>8}"]
    for kind in sorted({*traffic.seconds, *traffic.refused}):
        took = 1000 * np.percentile(traffic.seconds[kind] or [0.0], [50, 99])
        lines.append(
            f"{kind:12} {len(traffic.seconds[kind]):9} {traffic.refused[kind]:8} {took[0]:8.1f} {took[1]:8.1f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="store with the experiment")
    parser.add_argument("--name", default="toy-gram", help="the experiment")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overload", type=float, default=60.0, help="seconds of the overload; 0 for none")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(given.store, folder / "store")
        with service(given.name, folder / "store", folder) as (url, process):
            traffic, watch = asyncio.run(soak(url, process.pid, given))
            size = sum(path.stat().st_size for path in folder.glob("soak.db*")) / 2**20
            load = overload(url, traffic.items, folder, given) if given.overload else None
        status = process.returncode
    answered, refused = sum(map(len, traffic.seconds.values())), sum(traffic.refused.values())
    figures: dict[str, Any] = {"requests": answered + refused + len(traffic.failures), "refused": refused}
    figures |= {"failed": len(traffic.failures), "failures": traffic.failures[:5], "exit_status": status}
    figures |= watch.figures() | {"database_megabytes": round(size, 1), "overload": load}
    lines = missed(figures) + ([f"the service ended with status {status}"] if status else [])
    print(table(traffic), *lines, json.dumps(figures), sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
