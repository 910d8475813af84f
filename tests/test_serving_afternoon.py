"""A shop's afternoon over HTTP: events, stock, new items, a bad publish, a kill; nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from lexirec.core.store import Store
from tests.serving.live import LiveService, run_shop, wait_ready

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("afternoon")
    run_shop(folder)
    return folder


def job_of(client: httpx.Client, response: httpx.Response) -> dict:
    assert response.status_code == 202, response.text
    job = response.json()
    while job["state"] == "running":
        time.sleep(0.05)
        job = client.get(f"/v1/jobs/{job['job_id']}").json()
    return job


def listed(client: httpx.Client, **question) -> list[str]:
    response = client.post("/v1/recommend", json=question)
    assert response.status_code == 200, response.text
    return [item["item_id"] for item in response.json()["items"]]


def test_a_shops_afternoon(folder):
    with LiveService("shop", folder) as service, httpx.Client(base_url=service.url, timeout=60) as client:
        wait_ready(service.url)
        # a new user takes three things, and the recommendations change
        before = listed(client, user_id="zoe", k=10)
        taken = before[:3]
        assert (
            client.post("/v1/events", json={"events": [{"user_id": "zoe", "item_id": each} for each in taken]}).json()[
                "accepted"
            ]
            == 3
        )
        after = listed(client, user_id="zoe", k=10)
        assert after != before
        assert not set(after) & set(taken)

        # one item goes out of stock and is never seen again, from the next request on
        gone = after[0]
        assert client.patch(f"/v1/items/{gone}", json={"hidden": True}).json()["state"] == "hidden"
        assert all(gone not in listed(client, user_id="zoe", k=84) for _ in range(3))
        cheap = client.patch(f"/v1/items/{after[1]}", json={"fields": {"price": 0.5}}).json()
        assert cheap["fields"]["price"] == 0.5
        assert listed(client, user_id="zoe", k=84, allow=["price<1"]) == [after[1]]

        # fifty items are added and published, and one of them is recommended to the right person
        like = client.get(f"/v1/items/{taken[0]}").json()["fields"]
        rows = [{**like, "item_id": f"new-{number}", "title": f"{like['title']} {number}"} for number in range(50)]
        assert client.post("/v1/items", json={"items": rows}).json() == {"added": 50, "reworded": 0, "changed": 0}
        assert client.get("/v1/catalog").json()["staged"] == 50
        assert "new-0" not in listed(client, user_id="zoe", k=84)
        done = job_of(client, client.post("/v1/catalog/publish"))
        assert done["state"] == "done", done
        assert done["result"]["version"] == 1
        about = client.get("/v1/catalog").json()
        assert (about["version"], about["items"], about["newer_than_model"], about["staged"]) == (1, 134, 50, 0)
        found = listed(client, user_id="zoe", k=10, new_items=0.3)
        assert sum(each.startswith("new-") for each in found) >= 3
        assert gone not in listed(client, user_id="zoe", k=134)
        changes = client.get("/v1/catalog/diff", params={"from": 0, "to": 1}).json()
        assert (len(changes["added"]), changes["removed"], changes["moved_identifiers"]) == (50, [], [])

        # a bad publish is rolled back
        assert client.post("/v1/items", json={"items": [{**like, "item_id": "bad"}]}).json()["added"] == 1
        assert job_of(client, client.post("/v1/catalog/publish"))["result"]["version"] == 2
        assert client.post("/v1/catalog/rollback", json={}).json()["version"] == 1
        assert client.get("/v1/items/bad").status_code == 404
        assert job_of(client, client.post("/v1/catalog/publish"))["problem"].startswith("nothing is staged")

        # the process is killed and started again; nothing is lost
        last = listed(client, user_id="zoe", k=10)
        service.kill()
    with LiveService("shop", folder) as service, httpx.Client(base_url=service.url, timeout=60) as client:
        wait_ready(service.url)
        assert client.get("/v1/users/zoe").json()["events"] == 3
        assert client.get("/v1/catalog").json()["version"] == 1
        assert client.get(f"/v1/items/{gone}").json()["state"] == "hidden"
        assert listed(client, user_id="zoe", k=10) == last


def test_what_another_process_does_to_the_catalogue_is_noticed(folder):
    from lexirec.serving.catalog_versions.catalog import LivingCatalog

    living = LivingCatalog.of(Store(folder / "store"), "shop")
    with LiveService("shop", folder) as service, httpx.Client(base_url=service.url, timeout=60) as client:
        wait_ready(service.url)
        hidden = listed(client, k=1)[0]
        living.hide([hidden])
        started = time.monotonic()
        while hidden in listed(client, k=134):
            assert time.monotonic() - started < 20
            time.sleep(0.1)
        living.hide([hidden], hidden=False)


def test_items_are_pages_and_have_states(folder):
    with LiveService("shop", folder) as service, httpx.Client(base_url=service.url, timeout=60) as client:
        wait_ready(service.url)
        pages, cursor = [], None
        while True:
            page = client.get("/v1/items", params={"limit": 50} | ({"cursor": cursor} if cursor else {})).json()
            pages.append([item["item_id"] for item in page["items"]])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        ids = [each for page in pages for each in page]
        assert len(ids) == len(set(ids)) == client.get("/v1/catalog").json()["items"]
        first = client.get(f"/v1/items/{ids[0]}").json()
        found = client.get("/v1/items", params={"q": first["fields"]["title"].upper()}).json()["items"]
        assert ids[0] in [item["item_id"] for item in found]
        assert client.request("DELETE", f"/v1/items/{ids[0]}").json() == {"changed": 1}
        assert client.get(f"/v1/items/{ids[0]}").json()["state"] == "removed"
        assert ids[0] not in listed(client, k=134)
        by_id = client.post("/v1/items/get", json={"item_ids": [ids[1], "nobody", ids[0]]}).json()["items"]
        assert [(item["item_id"], item["state"]) for item in by_id] == [(ids[1], "live"), (ids[0], "removed")]
        for response, kind in (
            (client.get("/v1/items/nobody"), "not-found"),
            (client.get("/v1/items", params={"cursor": "x"}), "invalid-request"),
            (client.post("/v1/items", json={"items": [{"title": "no id"}]}), "invalid-request"),
            (client.patch(f"/v1/items/{ids[1]}", json={"fields": {"price": "cheap"}}), "invalid-request"),
            (client.patch(f"/v1/items/{ids[1]}", json={"fields": {"size": {"a": 1}}}), "invalid-request"),
            (client.patch(f"/v1/items/{ids[1]}", json={"fields": {"": 1}}), "invalid-request"),
            (client.patch(f"/v1/items/{ids[1]}", json={"fields": {"size": 2**70}}), "invalid-request"),
            (client.get("/v1/catalog/diff", params={"from": 0, "to": 99}), "not-found"),
            (client.get("/v1/jobs/none"), "not-found"),
        ):
            assert response.json()["type"] == f"/problems/{kind}", response.text
        assert client.patch(f"/v1/items/{ids[1]}", json={"fields": {"size": [1, 2]}}).status_code == 200
        other = client.patch(f"/v1/items/{ids[2]}", json={"fields": {"size": "wide"}})
        assert other.json()["type"] == "/problems/invalid-request", "one column, two kinds"
        assert "price" in client.get(f"/v1/items/{ids[1]}").json()["fields"]
        assert listed(client, k=5)
