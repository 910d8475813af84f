"""Settings that are read again: what acts at once, what needs a restart, and that a bad file changes nothing."""

from __future__ import annotations

import os
import signal
import time

import httpx
import pytest

from lexirec.serving.settings import read_settings
from tests.serving.live import LiveService, saved_shop, wait_ready
from tests.serving.shop import serving

FIRST = """
host = "127.0.0.1"
[limits]
rows = 2
[events]
seen = ["purchase"]
[logs]
requests = false
"""


@pytest.fixture
def shop(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text(FIRST)
    with serving(f"sqlite:///{tmp_path / 'shop.db'}", limits={"rows": 2}, events={"seen": ["purchase"]}) as found:
        client, service = found
        service.settings = read_settings(file, environ={}).settings
        service.reread = lambda: read_settings(file, environ={}).settings
        yield client, service, file


def listed(client, **question):
    return [item["item_id"] for item in client.post("/v1/recommend", json=question).json()["items"]]


def test_nothing_changed_is_said(shop):
    client, _, _ = shop
    assert client.post("/v1/reload").json() == {"changed": [], "need_restart": []}


def test_limits_act_at_once(shop):
    client, service, file = shop
    three = {"events": [{"user_id": "ann", "item_id": "i1", "time": 1.6e9 + number} for number in range(3)]}
    assert client.post("/v1/events", json=three).status_code == 413
    limits = 'rows = 3\nbody_bytes = 100\nwaiting = 7\nrate = "5/hour"\nwire_seconds = 3'
    file.write_text(FIRST.replace("rows = 2", limits))
    answer = client.post("/v1/reload").json()
    names = {"limits.rows", "limits.body_bytes", "limits.waiting", "limits.rate", "limits.wire_seconds"}
    assert (set(answer["changed"]), answer["need_restart"]) == (names, [])
    assert client.post("/v1/events", json=three).status_code == 200
    assert client.post("/v1/recommend", json={"history": ["i1"] * 60}).status_code == 413
    assert service.engine.limit == 7
    statuses = [client.get("/v1/info").status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    file.write_text(FIRST)
    service.gate.limit_rate(None)
    assert set(client.post("/v1/reload").json()["changed"]) == names
    assert client.get("/v1/info").status_code == 200
    assert client.post("/v1/recommend", json={"history": ["i1"] * 60}).status_code == 200


def test_types_of_events_act_at_once(shop):
    client, service, file = shop
    client.post("/v1/events", json={"user_id": "ann", "item_id": "i1", "type": "view"})
    assert "i1" in listed(client, user_id="ann", k=40)
    file.write_text(FIRST.replace('seen = ["purchase"]', 'seen = ["view"]\nunknown_items = "reject"'))
    assert set(client.post("/v1/reload").json()["changed"]) == {"events.seen", "events.unknown_items"}
    assert "i1" not in listed(client, user_id="ann", k=40)
    assert client.post("/v1/events", json={"user_id": "ann", "item_id": "nobody"}).status_code == 422
    assert service.housekeeping.settings is service.settings


def test_other_settings_need_a_restart_and_stay(shop):
    client, service, file = shop
    changed = FIRST.replace('host = "127.0.0.1"', "port = 9000") + "[batching]\nmax_batch_requests = 3\n"
    file.write_text(changed + "[catalog]\npublish_after = 9\n")
    assert client.post("/v1/reload").json() == {
        "changed": ["catalog.publish_after"],
        "need_restart": ["port", "batching.max_batch_requests"],
    }
    assert (service.settings.port, service.settings.catalog.publish_after) == (8000, 9)
    settings = client.get("/v1/info").json()["settings"]
    assert settings["batching"]["max_batch_requests"] == 32, "what is told is what acts"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[limits]\nrow = 3", "Did you mean 'limits.rows'"),
        ("[limits]\nrows = 0", "limits.rows"),
        ("[limits", "serve.toml"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_one_line(shop, text, words):
    client, service, file = shop
    before = service.settings
    file.write_text(text)
    answer = client.post("/v1/reload")
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert service.settings is before
    file.unlink()
    assert client.post("/v1/reload").status_code == 422
    assert client.post("/v1/recommend", json={"k": 1}).status_code == 200


def test_keys_are_read_again(shop):
    client, service, _ = shop
    key = service.database.keys.add("boss", ["admin"])
    service.database.keys._read = (time.monotonic() + 1e6, [])  # as if another process had made the key just now
    assert client.post("/v1/reload").status_code == 200
    assert client.post("/v1/recommend", json={"k": 1}).status_code == 401
    assert client.post("/v1/reload", headers={"X-API-Key": key}).status_code == 200


@pytest.mark.long
def test_a_signal_does_the_same(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text(FIRST)
    with LiveService(saved_shop(tmp_path / "model"), tmp_path, "--config", str(file)) as service:
        wait_ready(service.url)
        file.write_text(FIRST.replace("rows = 2", "rows = 0"))
        os.kill(service.process.pid, signal.SIGHUP)

        def wait_for(words: str) -> None:
            deadline = time.monotonic() + 30
            while not any(words in line["message"] for line in service.log):
                assert time.monotonic() < deadline, service.log[-3:]
                time.sleep(0.02)

        wait_for("the settings stay as they were: ")
        file.write_text(FIRST.replace("rows = 2", "rows = 9"))
        os.kill(service.process.pid, signal.SIGHUP)
        wait_for("settings were read again")
        assert httpx.get(f"{service.url}/v1/info").json()["settings"]["limits"]["rows"] == 9
        assert service.kill(signal.SIGTERM) == 0
