"""Services that are killed while they change: in a publish, while a model is loaded or activated, in a migration.

Afterwards the service starts, the version of before or the new one answers as a whole, and no acknowledged event is
lost.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from pathlib import Path

import httpx
import pytest

from lexirec.core.store import verify
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from tests.serving.live import LiveService, WritingClient, stored_event_ids, wait_ready
from tests.serving.migrating_service import NEWER, STEP_SECONDS, STEPS
from tests.serving.model_shop import answer_of, everything, job_of, listed, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
KILLS = 6


def check_events(client: WritingClient, url: str) -> None:
    stored = stored_event_ids(url)
    assert not set(client.acknowledged) - set(stored), "acknowledged events are lost"
    assert len(stored) == len(set(stored)), "events are doubled"
    assert set(stored) <= set(client.sent)


def start_writing(client: WritingClient, url: str) -> None:
    before = len(client.acknowledged)
    client.start(url)
    while len(client.acknowledged) < before + 3:
        time.sleep(0.005)


def test_killed_in_a_publish_one_version_answers_as_a_whole(tmp_path):
    store, chance, writer = run(tmp_path), random.Random(1), WritingClient("p")
    living, found = LivingCatalog.of(store, "shop", "memory"), {"old": 0, "new": 0}
    with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
        wait_ready(service.url)
        like = http.get(f"/v1/items/{listed(http, k=1)[0]}").json()["fields"]
        http.post("/v1/items", json={"items": [{**like, "item_id": "first", "title": "The first of all"}]})
        began = time.monotonic()
        assert job_of(http, http.post("/v1/catalog/publish"))["state"] == "done"
        usual = time.monotonic() - began
    for number in range(KILLS):
        with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
            wait_ready(service.url)
            before, had = http.get("/v1/catalog").json(), everything(http)
            if not before["staged"]:
                row = {**like, "item_id": f"new-{number}", "title": f"{like['title']} {number}"}
                assert http.post("/v1/items", json={"items": [row]}).json()["added"] == 1
            staged = set(living.staged.ids)
            start_writing(writer, service.url)
            assert http.post("/v1/catalog/publish").status_code == 202
            time.sleep(chance.uniform(0, 1.2 * usual))
            service.kill()
            writer.stop()
        with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
            wait_ready(service.url)
            after, has = http.get("/v1/catalog").json(), everything(http)
            published = after["version"] > before["version"]
            assert after["version"] == before["version"] + published
            assert has == (had | staged if published else had)
            assert after["staged"] == (0 if published else len(staged))
            assert set(living.catalog(after["version"]).item_ids) == has
            if after["version"]:
                verify(store.path("catalog", living.state.present.key))
            found["new" if published else "old"] += 1
            check_events(writer, service.url)
    with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
        wait_ready(service.url)
        if http.get("/v1/catalog").json()["staged"]:
            assert job_of(http, http.post("/v1/catalog/publish"))["state"] == "done", "what waits can be published"
    assert sum(found.values()) == KILLS


def test_killed_while_a_model_is_loaded_or_activated_one_of_both_answers(tmp_path):
    run(tmp_path, "b", window=3)
    store, chance, writer = run(tmp_path), random.Random(2), WritingClient("m")
    ids = {name: set(LivingCatalog.of(store, name, "memory").catalog().item_ids) for name in ("shop", "b")}
    with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
        wait_ready(service.url)
        gone = listed(http, k=1)[0]
        assert http.patch(f"/v1/items/{gone}", json={"hidden": True}).status_code == 200
        began = time.monotonic()
        assert job_of(http, http.post("/v1/models", json={"name": "b"}))["state"] == "done"
        usual = time.monotonic() - began
    answers = set()
    for number in range(KILLS):
        with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
            wait_ready(service.url)
            old = answer_of(http)["model"]["name"]
            new = "b" if old == "shop" else "shop"
            start_writing(writer, service.url)
            done = False
            if number % 2:  # in the job that loads and activates
                job = http.post("/v1/models", json={"name": new, "activate": True}).json()
                time.sleep(chance.uniform(0, 1.5 * usual))
                with contextlib.suppress(httpx.TransportError):
                    done = http.get(f"/v1/jobs/{job['job_id']}").json()["state"] == "done"
            else:  # around the moment of activation
                assert job_of(http, http.post("/v1/models", json={"name": new}))["state"] == "done"
                with contextlib.suppress(httpx.TransportError):
                    http.post(f"/v1/models/{new}/activate", timeout=chance.uniform(0.001, 0.1))
                    done = True
            service.kill()
            writer.stop()
        with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
            wait_ready(service.url)
            answer = answer_of(http, k=5)["model"]["name"]
            assert answer in ({new} if done else {old, new}), "an acknowledged activation is kept"
            assert everything(http) == ids[answer] - {gone}
            active = [each["name"] for each in http.get("/v1/models").json()["items"] if each["active"]]
            assert active == [answer]
            answers.add((old, answer))
            check_events(writer, service.url)
    assert answers


def test_killed_in_a_migration_the_schema_is_the_old_or_the_new_one(tmp_path):
    run(tmp_path)
    chance, writer = random.Random(3), WritingClient("s")
    with LiveService("shop", tmp_path) as service:
        start_writing(writer, service.url)
        time.sleep(0.3)
        writer.stop()
    file = tmp_path / "store" / "serving" / "shop.db"
    old = revision(file)
    for number in range(KILLS):
        with LiveService("shop", tmp_path, "--migrate", module="tests.serving.migrating_service") as service:
            wait_for_lock(file)
            time.sleep(chance.uniform(0, 1.1 * STEPS * STEP_SECONDS))
            service.kill()
        found = revision(file)
        assert found in (old, NEWER)
        with sqlite3.connect(file) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            assert ("copied" in tables) == (found == NEWER), "a half of the migration"
            count = connection.execute("SELECT count(*) FROM events").fetchone()[0]
            assert count >= len(writer.acknowledged)
        if found == NEWER:
            break
        if number % 2:  # the old version still starts, and takes events
            with LiveService("shop", tmp_path) as service:
                start_writing(writer, service.url)
                writer.stop()
                check_events(writer, service.url)
    with LiveService("shop", tmp_path, "--migrate", module="tests.serving.migrating_service") as service:
        check_events(writer, service.url)
        start_writing(writer, service.url)
        writer.stop()
        check_events(writer, service.url)
    assert revision(file) == NEWER


def revision(file: Path) -> str:
    with sqlite3.connect(file) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def wait_for_lock(file: Path) -> None:
    """Wait until another process writes, or has migrated."""
    until = time.monotonic() + 60
    while time.monotonic() < until and revision(file) != NEWER:
        connection = sqlite3.connect(file, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return
        finally:
            connection.close()
        time.sleep(0.005)
