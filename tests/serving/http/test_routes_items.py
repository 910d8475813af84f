"""Items over HTTP: what changes at once, what waits, windows that follow the clock, pages by state."""

from __future__ import annotations

import json
import threading

import pytest

from lexirec.core.times import rfc3339
from tests.serving.answering.test_answers import Trouble
from tests.serving.living_shop import NOW, living_catalog, living_service
from tests.serving.shop import ITEMS


@pytest.fixture
def shop(tmp_path):
    with living_service(tmp_path) as found:
        yield found


def listed(client, route="recommend", **question):
    response = client.post(f"/v1/{route}", json=question)
    assert response.status_code == 200, response.text
    return [item["item_id"] for item in response.json()["items"]]


def every_way(client):
    """Whether i5 stands in each kind of list."""
    ways = {
        "model": {"history": ["i1", "i2"], "k": ITEMS, "exclude_seen": False},
        "popularity": {"k": ITEMS},
        "candidates": {"history": ["i1"], "candidates": ["i5", "i6"], "exclude_seen": False},
        "with a filter": {"history": ["i1"], "allow": ["brand=Zed"], "k": ITEMS},
    }
    found = {name: "i5" in listed(client, **question) for name, question in ways.items()}
    found["rank"] = "i5" in listed(client, "rank", candidates=["i5", "i6"], history=["i1"])
    found["similar"] = "i5" in listed(client, "similar", item_id="i13", k=ITEMS)
    return set(found.values()), found


def test_a_window_opens_and_closes_for_every_kind_of_list_without_a_change(shop):
    client, _, clock = shop
    window = {"available_from": NOW + 10, "available_until": rfc3339(NOW + 20)}
    answer = client.patch("/v1/items/i5", json={"fields": window}).json()
    assert answer["fields"]["available_from"] == rfc3339(NOW + 10)
    for moment, expected in ((0, False), (9.999, False), (10, True), (19.999, True), (20, False), (1e6, False)):
        clock.now = NOW + moment
        assert every_way(client)[0] == {expected}, (moment, every_way(client))
        item = client.get("/v1/items/i5").json()
        assert (item["state"], item["available"]) == ("live", expected)
        assert client.get("/v1/catalog").json()["available"] == ITEMS - 1 + expected
    clock.now = NOW + 15  # a clock that is set back
    assert every_way(client)[0] == {True}
    client.patch("/v1/items/i5", json={"fields": {"available_until": None}})
    clock.now = NOW + 1e6
    assert every_way(client)[0] == {True}


def test_a_simpler_model_keeps_to_windows_too(tmp_path):
    trouble = Trouble()
    with living_service(tmp_path, trouble) as (client, _, clock):
        client.patch("/v1/items/i5", json={"fields": {"available_from": NOW + 10}})
        trouble.fail = True
        for moment, expected in ((9, False), (10, True)):
            clock.now = NOW + moment
            answer = client.post("/v1/recommend", json={"history": ["i1"], "k": ITEMS}).json()
            assert answer["fallback"] == "model-error"
            assert ("i5" in [item["item_id"] for item in answer["items"]]) is expected


class Watched(Trouble):
    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()

    def rank(self, histories, **options):
        self.entered.set()
        return super().rank(histories, **options)


def test_a_request_keeps_the_moment_of_its_arrival(tmp_path):
    model = Watched()
    with living_service(tmp_path, model) as (client, _, clock):
        client.patch("/v1/items/i5", json={"fields": {"available_until": NOW + 10}})
        model.release.clear()
        model.entered.clear()
        found: list[list[str]] = []
        ask = threading.Thread(target=lambda: found.append(listed(client, history=["i1"], k=ITEMS, timeout_ms=9000)))
        ask.start()
        assert model.entered.wait(20)
        clock.now = NOW + 11
        model.release.set()
        ask.join()
        assert "i5" not in listed(client, history=["i1"], k=ITEMS)
        assert "i5" in found[0]


def test_what_is_no_time_is_one_line(shop):
    client, _, _ = shop
    answer = client.patch("/v1/items/i5", json={"fields": {"available_from": "soon"}})
    assert answer.status_code == 422
    assert "available_from of item 'i5' is 'soon', which is no time; give seconds" in answer.json()["detail"]
    assert client.get("/v1/items/i5").json()["available"]


def test_facts_act_on_the_very_next_request(shop):
    client, _, _ = shop
    for number in range(30):
        price = 1000.0 + number
        client.patch(f"/v1/items/i{number}", json={"fields": {"price": price}})
        assert listed(client, allow=[f"price={price}"]) == [f"i{number}"]


def test_put_adds_an_item_and_replaces_one(shop):
    client, service, _ = shop
    assert client.put("/v1/items/i5", json={"fields": {"title": "Thing 5", "price": 3.5, "size": "wide"}}).json() == {
        "item_id": "i5",
        "state": "live",
        "available": True,
        "fields": {"title": "Thing 5", "price": 3.5, "size": "wide"},
    }
    assert service.living.catalog.staged.ids == [], "no text has changed"
    new = client.put("/v1/items/new", json={"fields": {"title": "New", "brand": "Acme"}}).json()
    assert (new["state"], new["available"]) == ("staged", False)
    new = client.put("/v1/items/new", json={"fields": {"title": "Newer", "price": 2.0}}).json()
    assert new["fields"] == {"title": "Newer", "price": 2.0}
    assert client.put("/v1/items/i5", json={"fields": {"title": "Renamed"}, "hidden": True}).json()["state"] == "hidden"
    assert service.living.catalog.staged.by_id["i5"]["title"] == "Renamed"
    assert "size" not in client.get("/v1/items/i5").json()["fields"]
    for body, words in (
        ({"fields": {"price": 1.0}}, "has no text; give one of title"),
        ({"fields": {"title": "x", "price": "cheap"}}, "price"),
        ({"fields": {"title": "x", "a": {"b": 1}}}, "'a' should be a text"),
    ):
        refused = client.put("/v1/items/i6", json=body)
        assert refused.status_code == 422, refused.text
        assert words in refused.json()["detail"]
    assert client.get("/v1/items/i6").json()["fields"]["title"] == "Thing 6"


def test_a_removed_item_comes_back_by_put(shop):
    client, _, _ = shop
    client.request("DELETE", "/v1/items/i5")
    assert client.get("/v1/items/i5").json()["state"] == "removed"
    assert "i5" not in listed(client, k=ITEMS)
    assert client.put("/v1/items/i5", json={"fields": {"title": "Thing 5"}}).json()["state"] == "live"
    assert "i5" in listed(client, k=ITEMS)


def test_items_come_as_one_as_a_list_and_as_lines(shop):
    client, _, _ = shop
    one = client.post("/v1/items", json={"item_id": "i1", "price": 7.0})
    assert one.json() == {"added": 0, "reworded": 0, "changed": 1}
    lines = "\n".join(json.dumps({"item_id": f"i{number}", "stock": number}) for number in range(3))
    many = client.post("/v1/items", content=lines + "\n", headers={"content-type": "application/x-ndjson"})
    assert many.json() == {"added": 0, "reworded": 0, "changed": 3}
    assert listed(client, allow=["stock=2"]) == ["i2"]
    for content, media, status in (
        (b"[]", "application/json", 422),
        (b'{"items": 3}', "application/json", 422),
        (b'[{"item_id": "i1"}, 3]', "application/json", 422),
        (b"{", "application/x-ndjson", 400),
        (b"item_id\ni1", "text/csv", 415),
        (b'{"item_id": "i1", "item": 1, "item_id": ""}', "application/json", 422),
        (json.dumps([{"item_id": f"n{number}"} for number in range(1_001)]).encode(), "application/json", 413),
        (json.dumps([{}] * 10_001).encode(), "application/json", 422),
    ):
        assert client.post("/v1/items", content=content, headers={"content-type": media}).status_code == status


def test_pages_are_complete_in_every_state(shop):
    client, _, _ = shop
    rows = [{"item_id": f"new-{number}", "title": f"Lamp {number}"} for number in range(5)]
    client.post("/v1/items", json={"items": rows})
    client.patch("/v1/items/i3", json={"hidden": True})
    client.request("DELETE", "/v1/items/i4")

    def pages(**query):
        found, cursor = [], None
        while True:
            page = client.get("/v1/items", params={"limit": 3, **query} | ({"cursor": cursor} if cursor else {})).json()
            assert len(page["items"]) == 3 or page["next_cursor"] is None
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    everything = pages()
    assert [item["item_id"] for item in everything] == [f"i{number}" for number in range(ITEMS)] + [
        row["item_id"] for row in rows
    ]
    by_state = {state: [item["item_id"] for item in pages(state=state)] for state in ("staged", "hidden", "removed")}
    assert by_state == {"staged": [row["item_id"] for row in rows], "hidden": ["i3"], "removed": ["i4"]}
    assert len(pages(state="live")) == ITEMS - 2
    assert [item["item_id"] for item in pages(q="LAMP 2")] == ["new-2"]
    assert [item["item_id"] for item in pages(q="thing 3", state="live")] == [f"i3{number}" for number in range(10)]
    assert {item["available"] for item in everything if item["state"] != "live"} == {False}


def test_what_the_library_changes_is_seen_and_survives(tmp_path):
    with living_service(tmp_path) as (client, service, _):
        client.patch("/v1/items/i1", json={"fields": {"price": 0.25}, "hidden": True})
        other = living_catalog(tmp_path)
        assert other.facts.values == {"i1": {"price": 0.25}}
        other.hide(["i2"])
        assert service.living.refresh()
        assert not service.living.refresh()
        assert not {"i1", "i2"} & set(listed(client, k=ITEMS))
    with living_service(tmp_path) as (client, _, _):
        assert client.get("/v1/items/i1").json()["fields"]["price"] == 0.25
        assert not {"i1", "i2"} & set(listed(client, k=ITEMS))
