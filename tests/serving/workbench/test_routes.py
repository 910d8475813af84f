"""What the panels read: figures that fit, previews that leave no trace, a tree that adds up, safe reports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from lexirec.serving.http.app import create_app
from lexirec.serving.http.service import Service
from tests.serving.workbench.old_shop import NAME, old_service


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Service]]:
    with old_service(tmp_path_factory.mktemp("old")) as service, TestClient(create_app(service)) as client:
        yield client, service


@pytest.fixture(scope="module")
def items(shop) -> list[str]:
    return [each["item_id"] for each in shop[0].get("/v1/items?limit=1000").json()["items"]]


def preview(client, **question) -> dict:
    response = client.post("/v1/preview?beam=true", json={"timeout_ms": 10_000, **question})
    assert response.status_code == 200, response.text
    return response.json()


# -------------------------------------------------------------------------------------------------------- previews


def test_a_preview_is_the_list_and_leaves_no_trace(shop, items):
    client = shop[0]
    client.post("/v1/events", json={"user_id": "ann", "item_id": items[3]})
    question = {"user_id": "ann", "k": 5, "timeout_ms": 10_000}
    before = client.get("/v1/overview").json()
    shown = preview(client, **question)["recommendation"]
    assert client.get("/v1/overview").json()["lists"] == before["lists"]
    assert client.get(f"/v1/recommendations/{shown['recommendation_id']}").status_code == 404
    real = client.post("/v1/recommend", json=question).json()
    assert [each["item_id"] for each in real["items"]] == [each["item_id"] for each in shown["items"]]
    assert client.get("/v1/overview").json()["lists"] == before["lists"] + 1


def test_filters_say_what_they_leave(shop, items):
    brand = shop[0].get(f"/v1/items/{items[0]}").json()["fields"]["brand"]
    found = preview(shop[0], history=[items[1]], allow=[f"brand={brand}"], deny=["price<0"], exclude_seen=False)
    (allow, deny) = found["filters"]
    assert 0 < allow["left"] < len(items)
    assert allow["alone"] == allow["left"]
    assert (deny["alone"], deny["left"]) == (found["available"], allow["left"])
    assert found["recommendation"]["legal_items"] == allow["left"]


def test_the_beam_tree_leads_to_the_list(shop, items):
    found = preview(shop[0], history=items[2:4], k=4, deny_items=[items[2]])
    beam, ranked = found["beam"], found["recommendation"]["items"]
    assert beam["width"] >= 4
    nodes = {each["node"]: each for depth in beam["depths"] for each in depth["nodes"]}
    places = {each["rank"]: each["item_id"] for each in nodes.values() if each["state"] == "found"}
    assert places == {each["rank"]: each["item_id"] for each in ranked}
    for each in nodes.values():
        assert each["parent"] == 0 or nodes[each["parent"]]["state"] in ("kept", "found")
        if each["state"] == "found":
            score, above = each["log_prob"] + (each["bias"] or 0), each["parent"]
            while above:
                score, above = score + nodes[above]["log_prob"] + (nodes[above]["bias"] or 0), nodes[above]["parent"]
            assert score == pytest.approx(each["score"], abs=1e-3)
    for depth in beam["depths"]:
        counted = depth["kept"] + depth["pruned"] + depth["forbidden"] + depth["ended"]
        assert counted == depth["scored"]
        assert all(each["score"] is None for each in depth["nodes"] if each["state"] == "forbidden")
        pruned = [each["score"] for each in depth["nodes"] if each["state"] == "pruned"]
        assert not pruned or max(pruned) <= depth["worst_kept"] + 1e-4


def test_a_newcomer_has_no_beam_tree_and_is_told_why(shop):
    found = preview(shop[0])
    assert found["beam"] is None
    assert "newcomer" in found["remarks"][0]


# ----------------------------------------------------------------------------------------------------- identifiers


def test_the_tree_adds_up(shop, items):
    client = shop[0]
    root = client.get("/v1/identifiers?limit=1000").json()
    assert root["items"] == len(items) == sum(each["items"] for each in root["children"])
    assert root["path"] == []
    seen, todo = set[str](), [each["node"] for each in root["children"]]
    while todo:
        found = client.get(f"/v1/identifiers?node={todo.pop()}&limit=1000").json()
        assert found["items"] == sum(each["items"] for each in found["children"]) or not found["children"]
        seen |= {each["item_id"] for each in found["children"] if each["item_id"]}
        todo += [each["node"] for each in found["children"] if not each["item_id"]]
    assert seen <= set(items)
    assert len(seen) > len(items) / 2


def test_children_come_in_pages(shop):
    client = shop[0]
    whole = client.get("/v1/identifiers?limit=1000").json()["children"]
    pages, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/identifiers?limit=3{cursor and f'&cursor={cursor}'}").json()
        pages += page["children"]
        cursor = page["next_cursor"]
    assert pages == whole


def test_an_item_sits_where_the_walk_finds_it(shop, items):
    client = shop[0]
    found = client.get(f"/v1/identifiers/{items[5]}").json()
    last = found["words"][-1]
    node = client.get(f"/v1/identifiers?node={last['node']}").json()
    assert [each["word"] for each in node["path"]] == [each["word"] for each in found["words"]]
    assert node["examples"][0]["item_id"] == items[5]
    assert all(0 <= each["share"] <= 1 for each in found["words"])
    assert items[5] not in {each["item_id"] for each in found["closest"]}


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/v1/identifiers?node=9999999", 404, "root"),
        ("/v1/identifiers?by=nothing", 422, "grouped by"),
        ("/v1/identifiers?cursor=x", 422, "cursor"),
        ("/v1/identifiers/nothing", 404, "knows no item"),
    ],
)
def test_what_is_not_in_the_tree_is_said(shop, path, status, word):
    response = shop[0].get(path)
    assert response.status_code == status
    assert word in response.json()["detail"]


# ------------------------------------------------------------------------------------------------- overview, users


def test_the_overview_fits_what_was_done(shop, items):
    client = shop[0]
    before = client.get("/v1/overview").json()
    client.post("/v1/events", json={"events": [{"user_id": "eve", "item_id": each} for each in items[:3]]})
    client.post("/v1/recommend", json={})
    after = client.get("/v1/overview").json()
    assert after["events"]["accepted"] == before["events"].get("accepted", 0) + 3
    assert after["fallbacks"]["newcomer"] == before["fallbacks"].get("newcomer", 0) + 1
    assert after["intervals"][-1]["events"] >= 3
    assert after["p50"] > 0
    assert after["invalid_items"] == 0
    assert after["ready"]["status"] == "ok"
    assert after["model"]["name"] == NAME


def test_users_are_found_by_the_first_letters(shop, items):
    client = shop[0]
    rows = [{"user_id": f"u{number}", "item_id": items[0]} for number in range(5)]
    rows += [{"session_id": "u-session", "item_id": items[0]}, {"user_id": "u_5", "item_id": items[0]}]
    client.post("/v1/events", json={"events": rows})
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/users?q=u&limit=2{cursor and f'&cursor={cursor}'}").json()
        found += [each["user_id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert found == ["u0", "u1", "u2", "u3", "u4", "u_5"]
    assert [each["user_id"] for each in client.get("/v1/users?q=u_").json()["items"]] == ["u_5"]
    assert client.get("/v1/users?q=u0").json()["items"][0]["events"] == 1


# --------------------------------------------------------------------------------------------------------- reports


def test_reports_of_the_store_are_listed_and_read(shop):
    found = {each["name"]: each for each in shop[0].get("/v1/reports").json()["items"]}
    assert set(found) == {"old-gram", "old-tsrec", "seeds"}
    text = shop[0].get(found["old-gram"]["text"]["url"])
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.text.startswith("# ")
    page = shop[0].get(found["seeds"]["page"]["url"])
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy


@pytest.mark.parametrize("path", ["run/old-gram/manifest.json", "run/../report.md", "study/seeds/nothing.html"])
def test_other_files_of_the_store_are_not_given_out(shop, path):
    assert shop[0].get(f"/v1/reports/{path}").status_code == 404


def test_links_that_lead_out_are_not_followed(shop, tmp_path):
    client, service = shop
    (tmp_path / "report.html").write_text("secret")
    folder = service.served.finder.store.root / "studies" / "linked"
    folder.mkdir()
    (folder / "report.html").symlink_to(tmp_path / "report.html")
    assert client.get("/v1/reports/study/linked/report.html").status_code == 404


def test_a_ticket_opens_its_file_and_no_other(shop):
    client, service = shop
    address = next(each for each in client.get("/v1/reports").json()["items"] if each["name"] == "seeds")["page"]["url"]
    key = service.database.keys.add("admin", ["admin", "read"])
    try:
        assert client.get(address).status_code == 200
        assert client.get(address.partition("?")[0]).status_code == 401
        other = address.replace("study/seeds/report.html", "run/old-gram/report.md")
        assert client.get(other).status_code == 401
        until, _, signature = address.partition("ticket=")[2].partition("-")
        later = address.replace(until, str(int(until) + 9))
        assert client.get(later).status_code == 401
        assert signature
    finally:
        service.database.keys.revoke("admin")
        assert key
