"""Questions that are too many are refused before they cost anything; everything else goes on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from lexirec.serving.http import requests
from lexirec.serving.http.requests import Pulse
from tests.serving.answering.test_answers import Trouble
from tests.serving.shop import serving, snapshot


@pytest.fixture
def trouble():
    model = Trouble()
    yield model
    model.release.set()


def test_more_questions_than_may_be_under_way_are_refused_at_once(sqlite_url, trouble, monkeypatch):
    monkeypatch.setattr(requests, "ANSWERED_AT_ONCE", 1)
    monkeypatch.setattr(requests, "MOST_LATE", 1e9)  # a busy machine must not refuse the first ones
    with serving(sqlite_url, snapshot(trouble), limits={"waiting": 2}) as (client, service):
        trouble.release.clear()
        trouble.reached.clear()
        answers: list[int] = []

        def ask() -> None:
            answers.append(client.post("/v1/recommend", json={"history": ["i1"], "timeout_ms": 10000}).status_code)

        asking = [threading.Thread(target=ask) for _ in range(3)]
        asking[0].start()
        assert trouble.reached.wait(60)  # the first one alone: what comes together would be answered together
        for thread in asking[1:]:
            thread.start()
        until = time.monotonic() + 60
        while service.engine.waiting < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        response = client.post("/v1/rank", json={"history": ["i1"], "candidates": ["i2"]})
        assert response.status_code == 503
        assert response.json()["type"] == "/problems/overloaded"
        assert response.headers["retry-after"] == "1"
        assert client.post("/v1/events", json={"user_id": "ann", "item_id": "i1"}).status_code == 200
        assert client.post("/v1/similar", json={"item_id": "i1"}).status_code == 200
        trouble.release.set()
        for thread in asking:
            thread.join()
        assert answers == [200, 200, 200]
        assert client.post("/v1/recommend", json={"history": ["i1"]}).status_code == 200
        text = client.get("/metrics").text
    assert 'lexirec_http_requests_total{method="POST",route="/v1/rank",status="503"} 1.0' in text


def test_the_pulse_says_how_long_the_loop_stood_still():
    async def measure() -> tuple[float, float, float]:
        pulse = Pulse(every=0.01)
        pulse.late()
        await asyncio.sleep(0.05)
        before = pulse.late()
        time.sleep(0.3)
        during = pulse.late()
        await asyncio.sleep(0.05)
        return before, during, pulse.late()

    before, during, after = asyncio.run(measure())
    assert during > 0.25
    assert before < during - 0.1
    assert after < during - 0.1
