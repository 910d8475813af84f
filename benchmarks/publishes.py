"""Seconds from `lexirec serve` to ready and resident memory, for a new store and again after fifty publishes.

    python benchmarks/publishes.py toy-gram --store demo/store --publishes 50

Every publish adds three items whose facts are those of items that are there; lists are asked for in between. It prints
a line of JSON. The store is copied first: the one that is given stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx

_SIGN = "listening on "
_ADDED = 3
"""Items that a publish adds."""


class Service(NamedTuple):
    """A service that is ready: its client, its process, and the seconds until it was ready."""

    http: httpx.Client
    process: subprocess.Popen[str]
    seconds: float

    def resident(self) -> float:
        """Return its resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Measure, print a line of JSON and return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the experiment")
    parser.add_argument("--store", type=Path, required=True, help="the store that holds it")
    parser.add_argument("--publishes", type=int, default=50)
    parser.add_argument("--starts", type=int, default=5, help="starts before and after, whose medians are printed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        shutil.copytree(given.store, store, ignore=shutil.ignore_patterns("serving"))
        with served(given.name, store):
            pass  # compiles Python's files and creates the database
        before = starts(given.name, store, given.starts)
        with served(given.name, store) as service:
            ask(service.http, 300)
            resident = [service.resident()]
            seconds = []
            for number in range(given.publishes):
                seconds.append(publish(service.http, number))
                ask(service.http, 20)
                if (number + 1) % 10 == 0:
                    resident.append(service.resident())
                    print(f"{number + 1} publishes, {resident[-1]:.0f} MiB", file=sys.stderr)
        after = starts(given.name, store, given.starts)
    figures = {
        "publishes": given.publishes,
        "ready_seconds": before[0],
        "ready_seconds_after": after[0],
        "resident_mebibytes": before[1],
        "resident_mebibytes_after": after[1],
        "resident_while_publishing": [round(each) for each in resident],
        "publish_seconds_first": median(seconds[:5]),
        "publish_seconds_last": median(seconds[-5:]),
    }
    print(json.dumps(figures))
    return 0


def starts(name: str, store: Path, times: int) -> tuple[float, float]:
    """Return the medians over several starts: seconds to ready, and memory in MiB after 300 lists."""
    seconds, resident = [], []
    for _ in range(times):
        with served(name, store) as service:
            seconds.append(service.seconds)
            ask(service.http, 300)
            resident.append(service.resident())
    return median(seconds), median(resident)


def ask(http: httpx.Client, lists: int) -> None:
    """Ask for lists of random histories."""
    items = [row["item_id"] for row in http.get("/v1/items", params={"limit": 100}).json()["items"]]
    chance = random.Random(0)
    for _ in range(lists):
        http.post("/v1/recommend", json={"history": chance.sample(items, 4), "k": 10}).raise_for_status()


def publish(http: httpx.Client, number: int) -> float:
    """Add three items, publish them, and return the seconds until they are served."""
    items = [row["item_id"] for row in http.get("/v1/items", params={"limit": 100}).json()["items"]]
    facts: dict[str, Any] = http.get(f"/v1/items/{items[number % len(items)]}").json()["fields"]
    added = [{**facts, "item_id": f"added-{number}-{each}"} for each in range(_ADDED)]
    http.post("/v1/items", json={"items": added}).raise_for_status()
    started = time.monotonic()
    job = http.post("/v1/catalog/publish").raise_for_status().json()
    while job["state"] == "running":
        time.sleep(0.05)
        job = http.get(f"/v1/jobs/{job['job_id']}").json()
    if job["state"] != "done":
        raise SystemExit(f"publish {number + 1} ended as {job}")
    return time.monotonic() - started


@contextmanager
def served(name: str, store: Path) -> Iterator[Service]:
    """Start the service on a free port; stop it at the end."""
    command = [sys.executable, "-m", "lexirec.cli", "serve", name, "--store", str(store), "--port", "0"]
    command += ["--set", "logs.requests=false", "--set", "stopping.drain_delay=0"]
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    started = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**variables, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            if _SIGN in line:
                break
        else:
            raise SystemExit(f"the service did not start: {''.join(lines[-3:])}")
        seconds = time.monotonic() - started
        address = line.partition(_SIGN)[2].strip().split('"')[0]
        with httpx.Client(base_url=address, timeout=120) as http:
            yield Service(http, process, seconds)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stderr.close()


if __name__ == "__main__":
    sys.exit(main())
