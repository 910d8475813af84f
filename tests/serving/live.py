"""A service in a process of its own, as users start it: for kills, signals, slow clients and load."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from lexirec.core.store import Store
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import run_experiment
from tests.serving.shop import recommender

SOURCE = Path(__file__).resolve().parents[2] / "src"


def saved_shop(folder: Path) -> Path:
    """Save the shop's recommender, once, and return its folder."""
    if not (folder / "recommender.json").exists():
        recommender().save(folder)
    return folder


EXPERIMENT = """
name = "shop"
[data]
kind = "toy-shop"
products = 84
shoppers = 80
[baselines.memory]
kind = "memory"
[evaluation]
ks = [5]
"""


def run_shop(folder: Path) -> str:
    """Run a small experiment whose recommender is a memory, into `folder/store`; return its name."""
    (folder / "shop.toml").write_text(EXPERIMENT)
    run_experiment(load_experiment(folder / "shop.toml"), Store(folder / "store"))
    return "shop"


class LiveService:
    """`lexirec serve` in a process of its own on a free port."""

    def __init__(
        self,
        model: Path | str,
        folder: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        module: str = "lexirec.cli",
    ) -> None:
        self.folder, self._lines = folder, list[str]()
        command = [
            sys.executable,
            "-m",
            module,
            "serve",
            str(model),
            "--port",
            "0",
            "--store",
            str(folder / "store"),
        ]
        paths = os.pathsep.join([str(SOURCE), str(SOURCE.parent), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **(environment or {})}
        self.process = subprocess.Popen(
            [*command, *options],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self._port: str | None = None
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line)
            if "listening on" in line:
                self._port = json.loads(line)["message"].rpartition(":")[2]
                self._listening.set()
        self._listening.set()

    @property
    def url(self) -> str:
        """The address, once it listens."""
        if not self._listening.wait(120) or self._port is None:
            raise AssertionError(f"the service did not start:\n{''.join(self._lines)[-3000:]}")
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log so far."""
        return [json.loads(line) for line in self._lines if line.startswith("{")]

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        status = self.process.wait(60)
        self._reader.join(10)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()


class WritingClient:
    """Sends numbered events, one after the other or a few at once, and remembers which were acknowledged.

    Attributes:
        acknowledged: Ids of events whose answer came.
        sent: Ids of all events that were sent, acknowledged or not.
    """

    def __init__(self, name: str) -> None:
        self.acknowledged, self.sent = list[str](), list[str]()
        self._name, self._number = name, 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, url: str) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(url,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(30)

    def _run(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=20) as client:
            while not self._stop.is_set():
                ids = [f"{self._name}-{self._number + offset}" for offset in range(1 + self._number % 3)]
                self._number += len(ids)
                events = [
                    {"event_id": each, "user_id": f"u{self._number % 5}", "item_id": f"i{self._number % 40}"}
                    for each in ids
                ]
                self.sent += ids
                try:
                    response = client.post("/v1/events", json={"events": events})
                except httpx.TransportError:
                    return  # the service is gone; nothing of this request was acknowledged
                if response.status_code == 200 and response.json()["accepted"] == len(ids):
                    self.acknowledged += ids


def stored_event_ids(url: str, users: int = 5) -> list[str]:
    """Return the ids of all events that a service has, through its own pages."""
    found: list[str] = []
    with httpx.Client(base_url=url, timeout=30) as client:
        for user in range(users):
            cursor: str | None = None
            while True:
                query = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
                response = client.get(f"/v1/users/u{user}/events", params=query)
                if response.status_code == 404:
                    break
                page = response.json()
                found += [event["event_id"] for event in page["events"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
    return found


def wait_ready(url: str, seconds: float = 60) -> float:
    """Wait until a service is ready; return the seconds that took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return time.monotonic() - started
        time.sleep(0.05)
    raise AssertionError(f"{url} was not ready within {seconds} s")
