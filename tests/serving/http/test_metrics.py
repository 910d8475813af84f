"""Metrics: what they count, that labels tell what they promise, and that a process never has more than 200 series."""

from __future__ import annotations

import re
import time

import pytest
from starlette.testclient import TestClient

from lexirec.core.store import Store
from lexirec.serving.answering.loading import load_model
from lexirec.serving.answering.sources import Source
from lexirec.serving.database.opening import open_database
from lexirec.serving.database.write_queue import single
from lexirec.serving.http.app import create_app
from lexirec.serving.http.metrics import OPEN_LABELS, SERIES, Metrics
from lexirec.serving.http.service import Service
from tests.serving.answering.test_answers import Trouble
from tests.serving.live import run_shop
from tests.serving.shop import serving, settings, snapshot

VARIANTS = ("active", "candidate")
SOURCES = ("model", "memory", "popularity", "none")


def value(text: str, name: str, **labels: str) -> float | None:
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', found[2] or "")) == labels:
            return float(found[3])
    return None


def series(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def shop(sqlite_url):
    with serving(sqlite_url) as (client, service):
        yield client, service


def fill(metrics):
    """Use every value of the labels that no client can invent."""
    for family, labels in (
        (metrics.recommendations, [("shop", variant, source) for variant in VARIANTS for source in SOURCES]),
        (metrics.fallbacks, [("newcomer",), ("deadline",), ("model-error",)]),
        (metrics.short_lists, [("few-legal",), ("quotas",)]),
        (metrics.catalog_items, [("live",), ("staged",), ("hidden",), ("removed",)]),
        (metrics.swaps, [(kind, result) for kind in ("catalog", "model") for result in ("done", "failed", "back")]),
        (metrics.publishes, [("done",), ("failed",)]),
        (metrics.model_info, [("shop", "v1")]),
        (metrics.model_seconds, [("search",), ("score",), ("explain",)]),
    ):
        for each in labels:
            family.labels(*each)


def test_a_process_has_at_most_200_series_whatever_clients_send():
    metrics = Metrics(("interaction", "own", "dislike", "hide"))
    statuses = (200, 202, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 499, 500, 503, 507)
    for route in range(60):
        for status in statuses:
            metrics.requested(f"/v1/route{route}", "POST", status, 0.01)
    for kind in range(1000):
        for result in ("accepted", "duplicate", "rejected"):
            metrics.received(f"kind{kind}", result)
    metrics.requested("/v1/recommend", "POST", 200, 0.01)
    fill(metrics)
    lines = series(metrics.text().decode())
    assert len(lines) <= SERIES
    counted = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("lexirec_events_total"))
    assert counted == 3000  # what is not told apart is counted nevertheless
    requests = [line for line in lines if line.startswith("lexirec_http_requests_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in requests) == 60 * len(statuses) + 1
    refused = [line for line in requests if 'status="503"' in line]
    assert sum(float(line.rpartition(" ")[2]) for line in refused) == 60  # alerts read statuses
    assert not [line for line in lines if "_created" in line]


def test_the_first_types_of_events_are_told_apart_and_known_ones_always():
    metrics = Metrics(("interaction", "own"))
    for kind in range(50):
        metrics.received(f"kind{kind:02d}", "accepted")
    metrics.received("own", "accepted")
    text = metrics.text().decode()
    assert value(text, "lexirec_events_total", type="own", result="accepted") == 1
    told = re.findall(r'lexirec_events_total\{result="accepted",type="(kind\d+)"\}', text)
    assert told == [f"kind{kind:02d}" for kind in range(len(told))]
    assert len(told) >= 20
    assert value(text, "lexirec_events_total", type="other", result="accepted") == 50 - len(told)


def test_the_routes_of_lists_and_events_have_room_whatever_came_before():
    metrics = Metrics()
    for route in range(OPEN_LABELS):
        metrics.requested(f"/v1/route{route}", "GET", 200, 0.01)
    for route in ("/v1/recommend", "/v1/events"):
        metrics.requested(route, "POST", 200, 0.01)
        counted = value(
            metrics.text().decode(), "lexirec_http_requests_total", route=route, method="POST", status="200"
        )
        assert counted == 1


def test_events_are_counted_by_type_and_result(shop):
    client, _ = shop
    event = {"user_id": "ann", "item_id": "i1", "time": 1.7e9}
    rows = [{**event, "type": "view"}, {**event, "type": "view"}, {**event, "type": "buy"}, {**event, "value": "much"}]
    assert client.post("/v1/events", json={"events": rows}).status_code == 200
    text = client.get("/metrics").text
    assert value(text, "lexirec_events_total", type="view", result="accepted") == 1
    assert value(text, "lexirec_events_total", type="view", result="duplicate") == 1
    assert value(text, "lexirec_events_total", type="buy", result="accepted") == 1
    assert value(text, "lexirec_events_total", type="other", result="rejected") == 1


def test_stages_of_the_model_are_told_apart(shop):
    client, _ = shop
    client.post("/v1/recommend", json={"history": ["i1"], "k": 2})
    before = client.get("/metrics").text
    count = "lexirec_model_seconds_count"
    searches = value(before, count, stage="search")
    assert searches >= 1
    assert value(before, count, stage="score") is None
    client.post("/v1/rank", json={"history": ["i1"], "candidates": ["i2", "i3"]})
    client.post("/v1/recommend", json={"history": ["i1"], "k": 2, "explain": True})
    after = client.get("/metrics").text
    assert [value(after, count, stage=stage) for stage in ("search", "score", "explain")] == [searches + 1, 1, 1]


def test_lists_are_counted_by_model_variant_and_source_and_fallbacks_by_reason(sqlite_url):
    model = Trouble()
    with serving(sqlite_url, snapshot(model)) as (client, _):
        client.post("/v1/recommend", json={"history": ["i1"], "k": 2})
        client.post("/v1/recommend", json={"k": 2})
        model.fail = True
        client.post("/v1/recommend", json={"history": ["i1"], "k": 50})
        text = client.get("/metrics").text
    name = "lexirec_recommendations_total"
    counts = [value(text, name, model="shop", variant="active", source=source) for source in SOURCES[:3]]
    assert counts == [1, 1, 1]
    reasons = [value(text, "lexirec_fallbacks_total", reason=reason) for reason in ("newcomer", "model-error")]
    assert reasons == [1, 1]
    assert value(text, "lexirec_short_lists_total", reason="few-legal") == 1


def test_answers_that_were_not_recorded_are_counted(shop):
    client, service = shop
    service.database.writer.close()
    client.post("/v1/recommend", json={"k": 2})
    assert value(client.get("/metrics").text, "lexirec_impressions_dropped_total") == 1


def test_commits_and_the_cache_of_rules_are_counted(shop):
    client, service = shop
    for _ in range(3):
        client.post("/v1/recommend", json={"k": 2, "allow": ["price<9"]})
    client.post("/v1/events", json={"user_id": "ann", "item_id": "i1"})
    service.database.writer.submit(single(lambda connection: None)).result(10)
    text = client.get("/metrics").text
    assert value(text, "lexirec_mask_cache_misses_total") == 1
    assert value(text, "lexirec_mask_cache_hits_total") == 2
    assert value(text, "lexirec_commit_seconds_count") == value(text, "lexirec_commit_rows_count") >= 1
    assert value(text, "lexirec_commit_rows_sum") >= 4


def test_items_are_counted_by_state_and_changes_by_how_long_they_wait(tmp_path):
    name = run_shop(tmp_path)
    loaded = load_model(Source(Store(tmp_path / "store"), name))
    service = Service(settings(), open_database(f"sqlite:///{tmp_path / 'a.db'}"), loaded)
    service.start()
    try:
        with TestClient(create_app(service)) as client:

            def state(which):
                return value(client.get("/metrics").text, "lexirec_catalog_items", state=which)

            items = state("live")
            assert [state(which) for which in ("staged", "hidden", "removed")] == [0, 0, 0]
            assert value(client.get("/metrics").text, "lexirec_catalog_lag_seconds") == 0
            first, second = (item["item_id"] for item in client.get("/v1/items?limit=2").json()["items"])
            client.patch(f"/v1/items/{first}", json={"hidden": True})
            client.delete(f"/v1/items/{second}")
            client.post("/v1/items", json={"items": [{"item_id": "new-1", "title": "A blue kettle"}]})
            counts = [state(which) for which in ("live", "staged", "hidden", "removed")]
            assert counts == [items - 2, 1, 1, 1]
            time.sleep(0.2)
            assert 0.2 <= value(client.get("/metrics").text, "lexirec_catalog_lag_seconds") < 60
            job = client.post("/v1/catalog/publish").json()["job_id"]
            for _ in range(600):
                if (found := client.get(f"/v1/jobs/{job}").json())["state"] != "running":
                    break
                time.sleep(0.1)
            assert found["state"] == "done", found
            text = client.get("/metrics").text
            assert value(text, "lexirec_catalog_lag_seconds") == 0
            assert value(text, "lexirec_publishes_total", result="done") == 1
            assert value(text, "lexirec_swaps_total", kind="catalog", result="done") == 1
            assert value(text, "lexirec_catalog_version") == 1
            assert [state(which) for which in ("live", "staged", "removed")] == [items - 1, 0, 0]
    finally:
        service.stop()
