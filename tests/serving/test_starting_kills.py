"""Killed and stopped services: no acknowledged event is lost or doubled, no request fails while it drains."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.serving.live import LiveService, WritingClient, saved_shop, stored_event_ids, wait_ready


def killed(tmp_path: Path, kills: int, options: list[str]) -> None:
    model, chance, client = saved_shop(tmp_path / "model"), random.Random(kills), WritingClient("e")
    for _ in range(kills):
        with LiveService(model, tmp_path, *options) as service:
            before = len(client.acknowledged)
            client.start(service.url)
            while len(client.acknowledged) < before + 3:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.4))
            service.kill()
            client.stop()
    with LiveService(model, tmp_path, *options) as service:
        stored = stored_event_ids(service.url)
    assert len(client.acknowledged) >= 3 * kills
    assert not set(client.acknowledged) - set(stored), "acknowledged events are lost"
    assert len(stored) == len(set(stored)), "events are doubled"
    assert set(stored) <= set(client.sent)


@pytest.mark.long
def test_killed_under_a_writing_client_it_loses_nothing(tmp_path):
    killed(tmp_path, 1, [])


@pytest.mark.timeout(900)
@pytest.mark.long
def test_killed_twenty_times_it_loses_nothing(tmp_path):
    killed(tmp_path, 20, [])


@pytest.mark.long
def test_killed_over_postgresql_it_loses_nothing(tmp_path, postgres_server):
    killed(tmp_path, 5, ["--set", f'storage.url="{postgres_server.new_database()}"'])


@pytest.mark.long
def test_told_to_stop_it_goes_on_answering_until_the_proxy_has_noticed(tmp_path):
    model = saved_shop(tmp_path / "model")
    with LiveService(model, tmp_path, "--set", "stopping.drain_delay=1.5") as service:
        url, failures, answered = service.url, list[object](), list[float]()
        wait_ready(url)
        stop = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=url, timeout=10) as client:
                while not stop.is_set():
                    response = client.post("/v1/recommend", json={"history": ["i1", "i2"], "k": 5})
                    if response.status_code != 200:
                        failures.append(response.status_code)
                    answered.append(time.monotonic())

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.3)
        told = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{url}/health/ready").status_code == 200:
            assert time.monotonic() - told < 1.0
        response = httpx.post(f"{url}/v1/recommend", json={"k": 1})
        assert response.status_code == 200
        assert response.headers["connection"] == "close"
        assert httpx.get(f"{url}/health/live").status_code == 200
        stop.set()
        asking.join()
        assert not failures
        assert max(answered) > told
        assert service.process.wait(30) == 0
        assert time.monotonic() - told >= 1.4
    assert (tmp_path / "store" / "serving").glob("*.db")
    assert not list((tmp_path / "store" / "serving").glob("*-wal")), "the log was not moved into the database"


@pytest.mark.long
def test_a_second_signal_stops_at_once_and_acknowledged_events_stay(tmp_path):
    model = saved_shop(tmp_path / "model")
    with LiveService(model, tmp_path, "--set", "stopping.drain_delay=30") as service:
        url = service.url
        assert (
            httpx.post(f"{url}/v1/events", json={"user_id": "u0", "item_id": "i1", "event_id": "e"}).status_code == 200
        )
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        started = time.monotonic()
        assert service.kill(signal.SIGTERM) == 0
        assert time.monotonic() - started < 10
    with LiveService(model, tmp_path) as service:
        assert stored_event_ids(service.url) == ["e"]
