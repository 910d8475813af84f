"""The routes of items and of the catalogue: answers, keys, scopes, bad bodies, unknown ids, as the description says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from lexirec.serving.http.service import Service
from tests.serving.http.test_app_contract import declared, problem
from tests.serving.living_shop import living_service
from tests.serving.shop import serving

ROW = {"item_id": "i2", "price": 3.0}
ITEM = "/v1/items/{item_id}"
ROUTES = [
    ("POST", "/v1/items", "/v1/items", {"items": [ROW]}, "write", 200),
    ("GET", "/v1/items", "/v1/items", None, "read", 200),
    ("POST", "/v1/items/get", "/v1/items/get", {"item_ids": ["i1"]}, "read", 200),
    ("GET", ITEM, "/v1/items/i1", None, "read", 200),
    ("PUT", ITEM, "/v1/items/i1", {"fields": {"title": "Thing 1"}}, "write", 200),
    ("PATCH", ITEM, "/v1/items/i1", {"fields": {"price": 2.5}}, "write", 200),
    ("DELETE", ITEM, "/v1/items/i9", None, "write", 200),
    ("GET", "/v1/catalog", "/v1/catalog", None, "read", 200),
    ("GET", "/v1/catalog/versions", "/v1/catalog/versions", None, "read", 200),
    ("GET", "/v1/catalog/diff", "/v1/catalog/diff?from=0&to=0", None, "read", 200),
    ("POST", "/v1/catalog/publish", "/v1/catalog/publish", None, "admin", 202),
    ("POST", "/v1/catalog/rollback", "/v1/catalog/rollback", {"version": 0}, "admin", 200),
]
BODIES = [route for route in ROUTES if route[3] is not None]
NAMES = {"ids": lambda value: str(value)[:40]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Service]]:
    with living_service(tmp_path_factory.mktemp("shop")) as (client, service, _):
        yield client, service


@pytest.mark.parametrize(("method", "route", "path", "body", "scope", "status"), ROUTES, **NAMES)
def test_a_good_request_gets_the_declared_answer(shop, method, route, path, body, scope, status):
    client, _ = shop
    response = client.request(method, path, json=body)
    assert response.status_code == status, response.text
    assert str(status) in declared(client, route, method)


@pytest.mark.parametrize(("method", "route", "path", "body", "scope", "status"), ROUTES, **NAMES)
def test_keys_and_scopes_are_asked_for(tmp_path, method, route, path, body, scope, status):
    with living_service(tmp_path) as (client, service, _):
        keys = {each: service.database.keys.add(each, [each]) for each in ("read", "write", "admin")}
        assert problem(client.request(method, path, json=body))["type"] == "/problems/unauthorized"
        wrong = "write" if scope == "read" else "read"
        refused = client.request(method, path, json=body, headers={"X-API-Key": keys[wrong]})
        assert problem(refused)["type"] == "/problems/forbidden"
        assert client.request(method, path, json=body, headers={"X-API-Key": keys["admin"]}).status_code == status


@pytest.mark.parametrize(("method", "route", "path", "body", "scope", "status"), BODIES, **NAMES)
@pytest.mark.parametrize(
    ("content", "media", "statuses"),
    [
        (b"{", "application/json", {400}),
        (b"\xff\xfe{}", "application/json", {400}),
        (b"{}", "text/plain", {415}),
        (b"", "application/json", {400, 422}),
        (b"[" * 100_000, "application/json", {400}),
        (b'"text"', "application/json", {422}),
        (b"null", "application/json", {422}),
        (b'{"nonsense": 1}', "application/json", {422}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_bad_bodies_are_problems(shop, method, route, path, body, scope, status, content, media, statuses):
    client, _ = shop
    response = client.request(method, path, content=content, headers={"content-type": media})
    problem(response)
    assert response.status_code in statuses, response.text
    assert str(response.status_code) in declared(client, route, method)


@pytest.mark.parametrize(
    ("method", "route", "path", "body"),
    [
        ("GET", ITEM, "/v1/items/nobody", None),
        ("PATCH", ITEM, "/v1/items/nobody", {"fields": {"price": 1.0}}),
        ("DELETE", ITEM, "/v1/items/nobody", None),
        ("GET", "/v1/catalog/diff", "/v1/catalog/diff?from=0&to=7", None),
        ("POST", "/v1/catalog/rollback", "/v1/catalog/rollback", {"version": 7}),
        ("GET", "/v1/jobs/{job_id}", "/v1/jobs/none", None),
    ],
)
def test_what_is_not_there_is_a_declared_problem(shop, method, route, path, body):
    client, _ = shop
    response = client.request(method, path, json=body)
    assert problem(response)["type"] == "/problems/not-found"
    assert "404" in declared(client, route, method)


def test_a_folder_has_a_catalogue_that_does_not_change(sqlite_url):
    with serving(sqlite_url) as (client, _):
        for method, route, path, body, _, _ in ROUTES:
            if path != "/v1/catalog":
                response = client.request(method, path, json=body)
                assert problem(response)["type"] == "/problems/conflict", path
                assert "409" in declared(client, route, method)
