"""What answers: the model, or a simpler one after a deadline, an error, or for a newcomer; all under the same rules."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexirec.data.ranking import Ranking
from lexirec.data.sequences import Sequences
from lexirec.models.ranking_rules import GivenRules, compile_rules
from tests.models.gram.test_recommender import CATALOG as GRAM_CATALOG
from tests.models.gram.test_recommender import GROUNDED, built
from tests.serving.shop import CATALOG, ITEMS, recommender, serving, snapshot


class Trouble:
    """A recommender that waits, or fails, when it is told to."""

    def __init__(self) -> None:
        self.inner = recommender()
        self.release = threading.Event()
        self.release.set()
        self.reached = threading.Event()
        self.fail = False

    @property
    def catalog(self):
        return self.inner.catalog

    @property
    def protocol(self):
        return self.inner.protocol

    def rank(self, histories: Sequences, **options) -> Ranking:
        self.reached.set()
        self.release.wait(20)
        if self.fail:
            raise RuntimeError("no weights")
        return self.inner.rank(histories, **options)


@pytest.fixture
def trouble():
    model = Trouble()
    yield model
    model.release.set()


def ask(client, **values):
    response = client.post("/v1/recommend", json=values)
    assert response.status_code == 200, response.text
    return response.json()


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


def test_the_model_answers_what_it_ranks_alone(sqlite_url):
    with serving(sqlite_url) as (client, _):
        answer = ask(client, history=["i3", "i7"], k=6, return_fields=["title"])
    expected = recommender().rank(Sequences.from_lists([[3, 7]]), k=6, exclude_seen=True)
    assert ids(answer) == [f"i{item}" for item in expected.items[0]]
    assert [item["score"] for item in answer["items"]] == pytest.approx(expected.scores[0].tolist(), abs=1e-5)
    assert answer["items"][0]["fields"] == {"title": f"Thing {expected.items[0][0]}"}
    assert answer["fallback"] is None
    assert answer["used_events"] == 2


def test_the_next_request_sees_the_event(sqlite_url):
    with serving(sqlite_url) as (client, _):
        before = ask(client, user_id="ann", k=5)
        assert before["fallback"] == "newcomer"
        assert client.post("/v1/events", json={"user_id": "ann", "item_id": ids(before)[0]}).status_code == 200
        after = ask(client, user_id="ann", k=5)
    assert after["fallback"] is None
    assert after["used_events"] == 1
    assert ids(before)[0] not in ids(after)


def test_types_of_events_say_what_is_read_seen_and_forbidden(sqlite_url):
    meaning = {"read": ["purchase"], "seen": ["purchase", "view"], "never": ["dislike"]}
    with serving(sqlite_url, events=meaning) as (client, _):
        for item, kind in (("i1", "purchase"), ("i2", "view"), ("i3", "dislike"), ("i4", "click")):
            client.post("/v1/events", json={"user_id": "ann", "item_id": item, "type": kind})
        everything = ask(client, user_id="ann", k=ITEMS)
        with_seen = ask(client, user_id="ann", k=ITEMS, exclude_seen=False)
    assert everything["used_events"] == 1
    assert set(CATALOG.item_ids) - set(ids(everything)) == {"i1", "i2", "i3"}
    assert set(CATALOG.item_ids) - set(ids(with_seen)) == {"i3"}


def test_a_history_of_the_request_comes_after_or_instead(sqlite_url):
    with serving(sqlite_url) as (client, _):
        client.post("/v1/events", json={"user_id": "ann", "item_id": "i1"})
        appended = ask(client, user_id="ann", history=["i2"], k=4)
        replaced = ask(client, user_id="ann", history=["i2"], history_mode="replace", k=4)
        alone = ask(client, history=["i2"], k=4)
        both = ask(client, history=["i1", "i2"], k=4)
    assert ids(appended) == ids(both)
    assert ids(replaced) == ids(alone)


def test_unknown_items_are_listed_or_an_error(sqlite_url):
    with serving(sqlite_url) as (client, _):
        answer = ask(client, history=["i1", "x"], deny_items=["y"], k=3)
        assert answer["unknown_items"] == ["x", "y"]
        assert answer["used_events"] == 1
        refused = client.post("/v1/recommend", json={"history": ["x"], "on_unknown": "error"})
        assert refused.json()["type"] == "/problems/unknown-item"


def test_after_the_deadline_a_simpler_model_answers(sqlite_url, trouble):
    with serving(sqlite_url, snapshot(trouble)) as (client, service):
        trouble.release.clear()
        started = time.monotonic()
        answer = ask(client, history=["i1"], k=3, timeout_ms=150, deny=["brand=Acme"])
        assert time.monotonic() - started < 2
        trouble.release.set()
        assert answer["fallback"] == "deadline"
        assert answer["items"][0]["source"] == "memory"
        assert all(int(each[1:]) % 4 for each in ids(answer))
        assert 'lexirec_fallbacks_total{reason="deadline"} 1.0' in service.metrics.text().decode()


def test_an_error_of_the_model_is_logged_and_a_simpler_model_answers(sqlite_url, trouble, caplog):
    with serving(sqlite_url, snapshot(trouble)) as (client, _):
        trouble.fail = True
        answer = ask(client, history=["i1"], k=3)
    assert answer["fallback"] == "model-error"
    assert "no weights" in caplog.text


def test_without_fallback_both_are_problems(sqlite_url, trouble):
    with serving(sqlite_url, snapshot(trouble), fallback="none") as (client, _):
        trouble.fail = True
        assert client.post("/v1/recommend", json={"history": ["i1"]}).status_code == 500
        trouble.fail = False
        trouble.release.clear()
        late = client.post("/v1/recommend", json={"history": ["i1"], "timeout_ms": 100})
        trouble.release.set()
        assert late.json()["type"] == "/problems/deadline"
        assert late.status_code == 503


def test_too_many_waiting_requests_are_refused_at_once(sqlite_url, trouble):
    with serving(sqlite_url, snapshot(trouble), limits={"waiting": 2}) as (client, service):
        trouble.release.clear()
        asking = [
            threading.Thread(target=lambda: client.post("/v1/recommend", json={"history": ["i1"], "timeout_ms": 5000}))
            for _ in range(3)
        ]
        for place, thread in enumerate(asking):
            thread.start()
            while service.engine.waiting < place:  # the first is with the model, the others wait
                time.sleep(0.01)
            time.sleep(0.1)
        refused = client.post("/v1/recommend", json={"history": ["i1"]})
        trouble.release.set()
        for thread in asking:
            thread.join()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["type"] == "/problems/overloaded"


def test_items_that_are_not_legal_are_counted(sqlite_url):
    class Wrong(Trouble):
        def rank(self, histories: Sequences, **options) -> Ranking:
            return self.inner.rank(histories, **(options | {"allowed": None}))

    with serving(sqlite_url, snapshot(Wrong())) as (client, service):
        ask(client, history=["i1"], k=8)
        before = service.metrics.invalid_items._value.get()
        ask(client, history=["i1"], k=8, allow=["price<0.5"])
        assert service.metrics.invalid_items._value.get() > before


def test_no_legal_item_is_an_empty_list(sqlite_url):
    with serving(sqlite_url) as (client, _):
        answer = ask(client, history=["i1"], allow=["price<0"])
    assert (answer["items"], answer["legal_items"], answer["complete"]) == ([], 0, True)


def test_rank_returns_all_legal_candidates_with_the_scores_of_recommend(sqlite_url):
    with serving(sqlite_url) as (client, _):
        full = {item["item_id"]: item["score"] for item in ask(client, history=["i1"], k=ITEMS)["items"]}
        body = {"history": ["i1"], "candidates": ["i9", "i4", "nope", "i1"], "deny": ["brand=Zed"]}
        answer = client.post("/v1/rank", json=body).json()
    assert set(ids(answer)) == {"i4"}
    assert answer["unknown_items"] == ["nope"]
    assert answer["items"][0]["score"] == pytest.approx(full["i4"], abs=1e-5)


def test_explanations_name_items_of_the_history(sqlite_url):
    with serving(sqlite_url) as (client, _):
        answer = ask(client, history=["i1", "i2"], k=3, explain=True)
    for item in answer["items"]:
        assert {each["item_id"] for each in item["because"]} <= {"i1", "i2"}
        assert sum(each["share"] for each in item["because"]) == pytest.approx(1, abs=1e-3)


def test_what_was_shown_is_recorded_with_what_was_asked(sqlite_url):
    with serving(sqlite_url) as (client, service):
        answer = ask(client, user_id="ann", history=["i1"], k=2, scenario="home", allow=["price>3"])
        service.database.writer.submit(_nothing()).result()
        shown = service.database.impressions.get(answer["recommendation_id"])
    assert [item["item_id"] for item in shown.items] == ids(answer)
    assert (shown.user_id, shown.scenario, shown.request["allow"]) == ("ann", "home", ["price>3"])


def _nothing():
    from lexirec.serving.database.write_queue import single

    return single(lambda connection: None)


FILTERS = ["brand=Acme", "brand=Zed", "price<12", "price>=30", "title~1", 'brand=""', "price=7"]
questions = st.fixed_dictionaries(
    {
        "history": st.lists(st.integers(0, ITEMS - 1).map(lambda number: f"i{number}"), max_size=6),
        "k": st.integers(1, 12),
        "exclude_seen": st.booleans(),
        "allow": st.lists(st.sampled_from(FILTERS), max_size=2),
        "deny": st.lists(st.sampled_from(FILTERS), max_size=2),
        "deny_items": st.lists(st.sampled_from(CATALOG.item_ids), max_size=5),
        "at_most": st.lists(st.builds(lambda count: {"field": "brand", "count": count}, st.integers(1, 3)), max_size=1),
    }
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(questions, min_size=1, max_size=8))
def test_the_law_of_filters_whoever_answers(law, bodies):
    client, source = law
    answers = client.post("/v1/recommend/batch", json={"requests": bodies}).json()["responses"]
    for body, answer in zip(bodies, answers, strict=True):
        rules = compile_rules(CATALOG, GivenRules(body["allow"], body["deny"], (), body["deny_items"]))
        legal = np.ones(ITEMS, dtype=bool) if rules.allowed is None else rules.allowed.copy()
        if body["exclude_seen"]:
            legal[[int(each[1:]) for each in body["history"]]] = False
        listed = [int(each[1:]) for each in ids(answer)]
        assert answer["legal_items"] == legal.sum()
        assert len(set(listed)) == len(listed)
        assert legal[listed].all()
        full = len(listed) == min(body["k"], int(legal.sum()))
        assert full or body["at_most"]
        assert answer["complete"] == full
        if body["history"] and answer["items"]:
            assert answer["items"][0]["source"] == source


@pytest.fixture(params=["model", "memory"])
def law(request, sqlite_url):
    model = Trouble()
    with serving(sqlite_url, snapshot(model)) as (client, _):
        model.fail = request.param == "memory"
        yield client, request.param


def test_a_network_answers_alone_as_in_a_batch(sqlite_url):
    from dataclasses import replace

    from lexirec.serving.answering.snapshot import ModelIdentity, Snapshot

    gram = Snapshot(ModelIdentity("gram", "1"), built(GROUNDED), GRAM_CATALOG)
    chance = np.random.default_rng(3)
    names = GRAM_CATALOG.item_ids
    bodies = [
        {
            "history": [names[number] for number in chance.integers(0, len(names), chance.integers(1, 5))],
            "k": int(chance.integers(1, 9)),
            "deny_items": [names[number] for number in chance.integers(0, len(names), chance.integers(0, 4))],
        }
        for _ in range(32)
    ]
    with serving(sqlite_url, replace(gram)) as (client, _):
        together = client.post("/v1/recommend/batch", json={"requests": bodies}).json()["responses"]
        alone = [ask(client, **body) for body in bodies]
    for one, other in zip(alone, together, strict=True):
        assert ids(one) == ids(other)
        assert [item["score"] for item in one["items"]] == pytest.approx(
            [item["score"] for item in other["items"]], abs=1e-5
        )
