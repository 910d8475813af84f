"""The system's clock is set back by an hour under a service: ids, order, limits and sweeping are as before."""

from __future__ import annotations

import time

import pytest

from lexirec.serving.answering.answers import new_id
from tests.serving.shop import serving

HOUR = 3600.0


@pytest.fixture
def set_back(monkeypatch):
    """Sets the system's clock back by an hour."""
    real = time.time, time.time_ns

    def act() -> None:
        monkeypatch.setattr(time, "time", lambda: real[0]() - HOUR)
        monkeypatch.setattr(time, "time_ns", lambda: real[1]() - int(HOUR * 1e9))

    return act


def send(client, **event):
    return client.post("/v1/events", json={"user_id": "ann", **event})


def test_later_events_stay_later(sqlite_url, set_back):
    with serving(sqlite_url) as (client, _):
        send(client, item_id="i1")
        first = client.post("/v1/recommend", json={"user_id": "ann", "k": 3}).json()
        set_back()
        send(client, item_id="i2")
        send(client, item_id="i3")
        second = client.post("/v1/recommend", json={"user_id": "ann", "k": 3}).json()
        events = client.get("/v1/users/ann/events").json()["events"]
        given = client.post("/v1/recommend", json={"history": ["i1", "i2", "i3"], "k": 3}).json()
    assert [event["item_id"] for event in events] == ["i3", "i2", "i1"]
    assert [item["item_id"] for item in second["items"]] == [item["item_id"] for item in given["items"]]
    assert first["recommendation_id"] < second["recommendation_id"]


def test_times_that_clients_give_are_none_of_the_future(sqlite_url, set_back):
    now = time.time()
    with serving(sqlite_url, events={"future_seconds": 60}) as (client, _):
        set_back()
        assert send(client, item_id="i1", time=now).status_code == 200


def test_ids_go_on_growing(set_back):
    before = new_id()
    set_back()
    after = [new_id() for _ in range(100)]
    assert len({before, *after}) == 101
    assert before[:12] <= min(each[:12] for each in after)


def test_limits_and_keys_do_not_wait_for_an_hour(sqlite_url, set_back):
    with serving(sqlite_url, limits={"rate": "2/second"}) as (client, _):
        statuses = [client.get("/v1/info").status_code for _ in range(4)]
        assert 429 in statuses
        set_back()
        refused = [each for each in (client.get("/v1/info") for _ in range(4)) if each.status_code == 429]
        assert all(int(each.headers["retry-after"]) <= 1 for each in refused)
        time.sleep(1.1)
        assert client.get("/v1/info").status_code == 200


def test_erased_users_stay_erased_and_nothing_is_swept_too_early(sqlite_url, set_back):
    with serving(sqlite_url, events={"keep_days": 1}) as (client, service):
        send(client, item_id="i1")
        client.post("/v1/recommend", json={"history": ["i1"], "k": 3})
        assert client.delete("/v1/users/eve").status_code == 200
        set_back()
        late = client.post("/v1/events", json={"user_id": "eve", "item_id": "i1"})
        assert late.json()["type"] == "/problems/erased-user"
        gone = service.housekeeping.clean(service.database.access.clock())
        assert gone == {"events": 0, "impressions": 0, "tombstones": 0}
        assert client.get("/health/live").status_code == 200
