"""What was shown and what came of it, over HTTP: recorded lists with their outcomes and reasons, and online figures."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lexirec.serving.answering import online_evaluation
from lexirec.serving.database.online_rows import read_online_rows
from lexirec.serving.database.write_queue import single
from tests.serving.answering.test_answers import Trouble
from tests.serving.shop import serving, snapshot


def flush(service):
    service.database.writer.submit(single(lambda connection: None)).result(10)


def ask(client, **values):
    response = client.post("/v1/recommend", json=values)
    assert response.status_code == 200, response.text
    return response.json()


def past(client, answer, **query):
    response = client.get(f"/v1/recommendations/{answer['recommendation_id']}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture
def shop(sqlite_url):
    with serving(sqlite_url) as (client, service):
        yield client, service


def test_a_list_is_told_with_request_snapshot_and_outcomes(shop):
    client, service = shop
    client.post("/v1/events", json={"user_id": "ann", "item_id": "i3", "type": "view"})
    answer = ask(client, user_id="ann", k=4, history=["i7"], deny=["price>30"], scenario="home")
    flush(service)
    first, second = (item["item_id"] for item in answer["items"][:2])
    named = {"item_id": second, "type": "purchase", "recommendation_id": answer["recommendation_id"], "position": 2}
    client.post("/v1/events", json={"user_id": "ann", **named, "event_id": "e1", "value": 9.5})
    client.post("/v1/events", json={"user_id": "ann", "item_id": first, "type": "view"})
    found = past(client, answer)
    assert found["request"] == {
        "user_id": "ann",
        "k": 4,
        "history": ["i7"],
        "deny": ["price>30"],
        "scenario": "home",
    }
    assert (found["user_id"], found["session_id"], found["scenario"]) == ("ann", None, "home")
    assert (found["model"], found["catalog_version"], found["variant"]) == (answer["model"], 0, "active")
    wanted = [(item["item_id"], item["rank"], item["score"], "model") for item in answer["items"]]
    assert [(item["item_id"], item["rank"], item["score"], item["source"]) for item in found["items"]] == wanted
    details = {"legal_items": answer["legal_items"], "used_events": 2, "exact": answer["exact"], "complete": True}
    assert found["details"] == details
    assert found["fallback"] is None
    outcomes = [(each["item_id"], each["type"], each["rank"], each["inferred"]) for each in found["outcomes"]]
    assert outcomes == [(second, "purchase", 2, False), (first, "view", 1, True)]
    assert (found["outcomes"][0]["event_id"], found["outcomes"][0]["value"]) == ("e1", 9.5)
    assert found["explained"] is None
    assert found["items"][0]["because"] is None


def test_sessions_and_newcomers_are_told_apart(shop):
    client, service = shop
    session, nobody = ask(client, session_id="77", k=2), ask(client, k=2)
    flush(service)
    told = past(client, session)
    assert (told["user_id"], told["session_id"], told["fallback"]) == (None, "77", "newcomer")
    told = past(client, nobody, explain=True)
    assert (told["user_id"], told["session_id"], told["explained"]) == (None, None, True)
    assert all(item["because"] == [] for item in told["items"])


def test_reasons_are_those_that_the_answer_gave(shop):
    client, service = shop
    for item in ("i3", "i5"):
        client.post("/v1/events", json={"user_id": "ann", "item_id": item})
    boosts = [{"filter": "brand=Acme", "weight": 0.5}]
    answer = ask(client, user_id="ann", k=5, history=["i9"], explain=True, boosts=boosts)
    flush(service)
    client.post("/v1/events", json={"user_id": "ann", "item_id": "i11"})  # comes too late to be a reason
    found = past(client, answer, explain=True)
    assert (found["explained"], found["remarks"]) == (True, [])
    assert any(item["because"] for item in answer["items"])
    for then, now in zip(answer["items"], found["items"], strict=True):
        assert [each["item_id"] for each in now["because"]] == [each["item_id"] for each in then["because"]]
        shares = [each["share"] for each in then["because"]]
        assert [each["share"] for each in now["because"]] == pytest.approx(shares, abs=2e-3)


def test_a_history_in_place_of_the_stored_one_is_the_one_that_is_explained(shop):
    client, service = shop
    client.post("/v1/events", json={"user_id": "ann", "item_id": "i3"})
    answer = ask(client, user_id="ann", k=3, history=["i9"], history_mode="replace", explain=True)
    flush(service)
    found = past(client, answer, explain=True)
    assert found["remarks"] == []
    reasons = {each["item_id"] for item in found["items"] for each in item["because"]}
    assert reasons == {"i9"}


def test_events_that_are_gone_are_remarked(shop):
    client, service = shop
    client.post("/v1/events", json={"user_id": "ann", "item_id": "i3", "time": 1.6e9})
    client.post("/v1/events", json={"user_id": "ann", "item_id": "i5"})
    answer = ask(client, user_id="ann", k=3)
    flush(service)
    service.database.events.purge(1.65e9)
    found = past(client, answer, explain=True)
    assert found["explained"] is True
    assert found["remarks"][0].startswith("2 events were read then, 1 of them are known now")


def test_a_snapshot_that_is_gone_explains_nothing_and_says_so(shop):
    client, service = shop
    answer = ask(client, history=["i1"], k=2)
    flush(service)
    active = service.snapshots.active
    service.snapshots.put(active.__class__(**{**vars_of(active), "catalog_version": 5}))
    found = past(client, answer, explain=True)
    assert found["explained"] is False
    assert found["remarks"] == [
        "shop of version v1 with version 0 of the catalogue is not loaded any more, so its reasons cannot be computed"
    ]
    assert [item["because"] for item in found["items"]] == [None, None]
    assert past(client, ask_again(client, service), explain=True)["explained"] is True


def ask_again(client, service):
    answer = ask(client, history=["i1"], k=2)
    flush(service)
    return answer


def vars_of(snapshot):
    return {name: getattr(snapshot, name) for name in snapshot.__dataclass_fields__}


def test_a_list_of_a_simpler_model_is_explained_by_that_model(sqlite_url):
    model = Trouble()
    with serving(sqlite_url, snapshot(model)) as (client, service):
        model.fail = True
        answer = ask(client, history=["i1", "i2"], k=3)
        model.fail = False
        flush(service)
        found = past(client, answer, explain=True)
    assert answer["items"][0]["source"] == found["items"][0]["source"] == "memory"
    assert (found["fallback"], found["explained"], found["remarks"]) == ("model-error", True, [])
    assert found["items"][0]["because"]


def test_a_model_that_fails_now_is_told(sqlite_url):
    model = Trouble()
    with serving(sqlite_url, snapshot(model)) as (client, service):
        answer = ask(client, history=["i1"], k=3)
        flush(service)
        model.fail = True
        found = past(client, answer, explain=True)
    assert (found["explained"], found["remarks"]) == (False, ["the model failed; the log has the cause"])


def test_long_lists_are_recorded_in_part(shop):
    client, service = shop
    many = [f"x{number}" for number in range(500)]
    answer = ask(client, history=[*many[:298], "i1", "i2"], deny_items=many, k=2)
    flush(service)
    request = past(client, answer)["request"]
    assert (len(request["history"]), request["history"][-2:]) == (200, ["i1", "i2"])
    assert request["deny_items"] == many[:200]


def test_what_nobody_recorded_is_not_found(shop):
    client, _ = shop
    response = client.get("/v1/recommendations/nothing")
    assert response.status_code == 404
    assert "keep_days" in response.json()["detail"]


def test_figures_of_a_day(shop):
    client, service = shop
    for user in ("ann", "bob", "cat"):
        client.post("/v1/events", json={"user_id": user, "item_id": "i3", "type": "view", "time": time.time() - 99})
    answers = {user: ask(client, user_id=user, k=5) for user in ("ann", "bob", "cat", "dan")}
    flush(service)
    second = answers["ann"]["items"][1]["item_id"]
    of = {"item_id": second, "recommendation_id": answers["ann"]["recommendation_id"]}
    client.post("/v1/events", json={"user_id": "ann", "type": "click", **of})
    first = answers["bob"]["items"][0]["item_id"]
    client.post("/v1/events", json={"user_id": "bob", "type": "purchase", "item_id": first})
    hidden = answers["cat"]["items"][0]["item_id"]
    client.post("/v1/events", json={"user_id": "cat", "type": "hide", "item_id": hidden})
    body = client.get("/v1/evaluation", params={"k": 5, "days": 1}).json()
    (figures,) = body["variants"]
    assert (figures["variant"], figures["impressions"], figures["users"]) == ("active", 4, 4)
    assert (figures["hits"], figures["inferred"]) == (3, 2)
    assert figures["ctr"]["value"] == 0.5  # hiding an item is no click
    assert figures["mrr"]["value"] == pytest.approx((1 / 2 + 1) / 4)
    assert {kind: each["value"] for kind, each in figures["conversions"].items()} == {
        "click": 0.25,
        "hide": 0.25,
        "purchase": 0.25,
    }
    assert figures["fallback_share"]["value"] == 0.25  # dan is new
    assert 0 <= figures["ctr"]["low"] < 0.5 < figures["ctr"]["high"] <= 1
    shown = {item["item_id"] for answer in answers.values() for item in answer["items"]}
    assert (figures["items_shown"], figures["coverage"]) == (len(shown), len(shown) / 40)
    assert figures["days"][0]["ctr"]["value"] == 0.5
    assert body["differences"] is None
    assert client.get("/v1/evaluation", params={"k": 1}).json()["variants"][0]["ctr"]["value"] == 0.25
    assert client.get("/v1/evaluation", params={"variant": "candidate"}).json()["variants"] == []


def test_which_types_are_clicks_can_be_set(sqlite_url):
    with serving(sqlite_url, impressions={"clicks": ["click"]}) as (client, service):
        answer = ask(client, user_id="ann", k=2)
        flush(service)
        item = answer["items"][0]["item_id"]
        client.post("/v1/events", json={"user_id": "ann", "item_id": item, "type": "view"})
        body = client.get("/v1/evaluation").json()
        assert body["clicks"] == ["click"]
        assert body["variants"][0]["ctr"] == {"value": 0.0, "low": None, "high": None}
        client.post("/v1/events", json={"user_id": "ann", "item_id": item, "type": "click"})
        assert client.get("/v1/evaluation").json()["variants"][0]["ctr"]["value"] == 1.0


@pytest.mark.parametrize(
    ("query", "pointer"),
    [({"days": 0}, "days"), ({"k": "many"}, "k"), ({"variant": "b"}, "variant"), ({"since": 0}, "since")],
)
def test_wrong_questions_are_problems(shop, query, pointer):
    response = shop[0].get("/v1/evaluation", params=query)
    assert response.status_code == 422
    assert pointer in response.text


def test_since_names_the_first_day(shop):
    body = shop[0].get("/v1/evaluation", params={"since": "2024-02-29", "days": 1}).json()
    assert body["since"] == "2024-02-29T00:00:00Z"


def test_evaluations_queue_up_to_a_few(shop, monkeypatch):
    client, service = shop
    taken = [service.evaluation._room.acquire(blocking=False) for _ in range(4)]
    assert all(taken)
    response = client.get("/v1/evaluation")
    assert (response.status_code, response.json()["type"]) == (503, "/problems/overloaded")
    service.evaluation._room.release()
    assert client.get("/v1/evaluation").status_code == 200


def test_neither_lists_nor_health_wait_for_an_evaluation(shop, monkeypatch):
    client, _ = shop
    begun, let_go, threads = threading.Event(), threading.Event(), []

    def slow(access, window):
        threads.append(threading.current_thread().name)
        begun.set()
        assert let_go.wait(30)
        return read_online_rows(access, window)

    monkeypatch.setattr(online_evaluation, "read_online_rows", slow)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(client.get, "/v1/evaluation")
        assert begun.wait(30)
        assert ask(client, history=["i1"], k=2)["items"]
        assert client.get("/health/live").status_code == 200
        assert not waiting.done()
        let_go.set()
        assert waiting.result(30).status_code == 200
    assert threads[0].startswith("lexirec-evaluation")
