"""Rolling restarts of two replicas behind a proxy, under load: no request fails, no acknowledged event is lost."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.serving.live import LiveService, saved_shop, stored_event_ids, wait_ready
from tests.serving.proxy import Proxy

ROUNDS = 6
DRAIN = "stopping.drain_delay=0.6"


class Traffic:
    """Clients that ask and write, one thread each, and remember every answer that is no success."""

    def __init__(self, url: str, *, writers: int, readers: int) -> None:
        self.failures, self.acknowledged = list[str](), list[str]()
        self.answered = 0
        self._url, self._stop = url, threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(each,)) for each in range(writers)]
        self._threads += [threading.Thread(target=self._read, args=(each,)) for each in range(readers)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, writer: int) -> None:
        number = 0
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                ids = [f"w{writer}-{number + place}" for place in range(3)]
                number += 3
                events = [{"event_id": each, "user_id": f"u{number % 5}", "item_id": f"i{number % 40}"} for each in ids]
                if self._send(client, "/v1/events", {"events": events}):
                    self.acknowledged += ids

    def _read(self, reader: int) -> None:
        number = reader
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                number += 1
                self._send(client, "/v1/recommend", {"user_id": f"u{number % 5}", "k": 5, "allow": ["price<30"]})

    def _send(self, client: httpx.Client, path: str, body: dict) -> bool:
        try:
            response = client.post(path, json=body)
        except httpx.TransportError as error:
            self.failures.append(f"{path}: {error!r}")
            return False
        if response.status_code != 200:
            self.failures.append(f"{path}: {response.status_code} {response.text[:200]}")
            return False
        self.answered += 1
        return True


def rolled(tmp_path: Path, urls: list[str], rounds: int) -> list[str]:
    """Stop and start the replicas in turn; return the ids of the acknowledged events."""
    model = saved_shop(tmp_path / "model")
    options = [["--set", DRAIN, "--set", f'storage.url="{url}"', "--set", "logs.requests=false"] for url in urls]
    with ExitStack() as stack:
        replicas = [stack.enter_context(LiveService(model, tmp_path, *each)) for each in options]
        for replica in replicas:
            wait_ready(replica.url)
        proxy = stack.enter_context(Proxy([replica.url for replica in replicas]))
        while not all(replica.ready for replica in proxy.replicas):
            threading.Event().wait(0.05)
        with Traffic(proxy.url, writers=2, readers=2) as traffic:
            for number in range(rounds):
                place = number % 2
                before = traffic.answered
                assert replicas[place].kill(signal.SIGTERM) == 0
                assert proxy.replicas[place].answered > 0
                replicas[place] = stack.enter_context(LiveService(model, tmp_path, *options[place]))
                wait_ready(replicas[place].url)
                proxy.replace(place, replicas[place].url)
                while not proxy.replicas[place].answered:
                    threading.Event().wait(0.05)
                assert traffic.answered > before
        assert traffic.failures == []
        assert (proxy.lost, proxy.homeless) == (0, 0)
        if len(set(urls)) == 1:
            stored = stored_event_ids(replicas[0].url)
        else:
            stored = [each for replica in replicas for each in stored_event_ids(replica.url)]
    assert len(stored) == len(set(stored)), "events are doubled"
    assert not set(traffic.acknowledged) - set(stored), "acknowledged events are lost"
    return traffic.acknowledged


@pytest.mark.long
@pytest.mark.timeout(600)
def test_restarted_in_turn_over_postgresql_nothing_fails_and_nothing_is_lost(tmp_path, postgres_server):
    assert len(rolled(tmp_path, [postgres_server.new_database()] * 2, ROUNDS)) > 100


@pytest.mark.long
@pytest.mark.timeout(300)
def test_restarted_in_turn_each_with_its_own_file(tmp_path):
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("a", "b")]
    assert len(rolled(tmp_path, urls, 2)) > 30
