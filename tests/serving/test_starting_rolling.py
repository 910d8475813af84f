"""Rolling restarts of two replicas behind a proxy, under load: no request fails, no acknowledged event is lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest

from tests.serving.live import LiveService, saved_shop, stored_event_ids, wait_ready
from tests.serving.proxy import Proxy

ROUNDS = 5
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
        self._stop.wait(0.005)  # steady, not as fast as possible: the replicas start meanwhile
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 60
        time.sleep(0.02)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_restarted_in_turn_nothing_fails_and_nothing_is_lost(tmp_path, postgres_server):
    model = saved_shop(tmp_path / "model")
    options = ["--set", DRAIN, "--set", f'storage.url="{postgres_server.new_database()}"']
    with ExitStack() as stack:
        replicas = [stack.enter_context(LiveService(model, tmp_path, *options)) for _ in range(2)]
        for replica in replicas:
            wait_ready(replica.url)
        proxy = stack.enter_context(Proxy([replica.url for replica in replicas]))
        while not all(replica.ready for replica in proxy.replicas):
            threading.Event().wait(0.05)
        with Traffic(proxy.url, writers=2, readers=2) as traffic:
            for number in range(ROUNDS):
                place = number % 2
                wait_for(lambda: all(replica.ready and replica.answered > 10 for replica in proxy.replicas))
                before = traffic.answered
                assert replicas[place].kill(signal.SIGTERM) == 0
                replicas[place] = stack.enter_context(LiveService(model, tmp_path, *options))
                wait_ready(replicas[place].url)
                proxy.replace(place, replicas[place].url)
                assert traffic.answered > before
        assert traffic.failures == []
        assert (proxy.lost, proxy.homeless) == (0, 0)
        stored = stored_event_ids(replicas[0].url)
    assert len(stored) == len(set(stored)), "events are doubled"
    assert not set(traffic.acknowledged) - set(stored), "acknowledged events are lost"
    assert len(traffic.acknowledged) > 100
