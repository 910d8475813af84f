"""A database that does not answer: users get a problem, everybody else an answer, and the event loop is not held up."""

from __future__ import annotations

import threading
import time

import pytest

from lexirec.serving.database.errors import StorageUnavailableError
from tests.serving.answering.test_answers import Trouble
from tests.serving.shop import serving, snapshot


def gone(*_: object, **__: object):
    raise StorageUnavailableError("the database does not answer; start it.")


def test_users_get_a_problem_and_histories_an_answer_in_one_batch(sqlite_url, monkeypatch):
    model = Trouble()
    with serving(sqlite_url, snapshot(model)) as (client, service):
        client.post("/v1/events", json={"user_id": "ann", "item_id": "i1", "type": "dislike"})
        monkeypatch.setattr(service.database.access, "read", gone)
        model.release.clear()
        answers: dict[str, tuple] = {}

        def ask(name: str, **body: object) -> None:
            response = client.post("/v1/recommend", json={"timeout_ms": 9000, **body})
            answers[name] = (response.status_code, response.json())

        asking = [threading.Thread(target=ask, args=("first",), kwargs={"history": ["i3"]})]
        asking += [threading.Thread(target=ask, args=("history",), kwargs={"history": ["i2"]})]
        asking += [threading.Thread(target=ask, args=("user",), kwargs={"user_id": "ann"})]
        for thread in asking:
            thread.start()
            time.sleep(0.1)
        model.release.set()  # the second and the third make one batch
        for thread in asking:
            thread.join()
    assert answers["first"][0] == answers["history"][0] == 200
    assert answers["history"][1]["fallback"] is None
    assert answers["user"][0] == 503
    assert answers["user"][1]["type"] == "/problems/not-ready"


@pytest.mark.parametrize("path", ["/v1/users/ann", "/v1/users/ann/events"])
def test_pages_about_users_are_problems(sqlite_url, monkeypatch, path):
    with serving(sqlite_url) as (client, service):
        client.get("/v1/info")
        monkeypatch.setattr(service.database.access, "read", gone)
        monkeypatch.setattr(service.database.access, "read_at_once", gone)
        response = client.get(path)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"


def test_a_database_that_hangs_holds_nobody_up_but_those_who_need_it(sqlite_url, monkeypatch):
    with serving(sqlite_url) as (client, service):
        client.get("/v1/info")
        let_go, read = threading.Event(), service.database.access.read

        def hang(query):
            assert let_go.wait(30)
            return read(query)

        monkeypatch.setattr(service.database.access, "read", hang)
        time.sleep(1.1)  # now the keys are read again
        try:
            started = time.monotonic()
            first = client.post("/v1/recommend", json={"history": ["i1"]})
            second = client.post("/v1/recommend", json={"history": ["i1"]})
            seconds = time.monotonic() - started
        finally:
            let_go.set()
    assert first.status_code == second.status_code == 200
    assert seconds < 4


def test_what_nobody_expected_is_a_problem_too(sqlite_url, monkeypatch, caplog):
    with serving(sqlite_url) as (client, service):
        monkeypatch.setattr(service.answers, "similar", lambda body: 1 / 0)
        response = client.post("/v1/similar", json={"item_id": "i1"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/internal"
    assert "ZeroDivisionError" not in response.text
    assert "ZeroDivisionError" in caplog.text
