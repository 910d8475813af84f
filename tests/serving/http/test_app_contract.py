"""Every route: answers, keys, scopes, bad bodies, unknown ids; no status that the description does not declare."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from lexirec.serving.database.impressions import Impression
from lexirec.serving.http.service import Service
from lexirec.serving.problems import KINDS, MEDIA_TYPE
from tests.serving.shop import serving

USER = {"user_id": "ann", "item_id": "i1", "type": "purchase"}
ROUTES = [
    ("POST", "/v1/recommend", "/v1/recommend", {"user_id": "ann", "k": 3}, "read"),
    ("POST", "/v1/rank", "/v1/rank", {"user_id": "ann", "candidates": ["i1", "i2"]}, "read"),
    ("POST", "/v1/recommend/batch", "/v1/recommend/batch", {"requests": [{"k": 2}]}, "read"),
    ("POST", "/v1/similar", "/v1/similar", {"item_id": "i1"}, "read"),
    ("POST", "/v1/events", "/v1/events", USER, "write"),
    ("GET", "/v1/users/{user_id}", "/v1/users/ann", None, "read"),
    ("PUT", "/v1/users/{user_id}", "/v1/users/ann", {"attributes": {"age": 3}}, "write"),
    ("GET", "/v1/users/{user_id}/events", "/v1/users/ann/events", None, "read"),
    ("POST", "/v1/users/{user_id}/merge", "/v1/users/ann/merge", {"from_session": "s"}, "write"),
    ("DELETE", "/v1/users/{user_id}", "/v1/users/ann", None, "write"),
    ("GET", "/v1/recommendations/{recommendation_id}", "/v1/recommendations/shown-1", None, "admin"),
    ("GET", "/v1/evaluation", "/v1/evaluation", None, "read"),
    ("GET", "/v1/info", "/v1/info", None, "read"),
    ("GET", "/v1/models", "/v1/models", None, "read"),
    ("GET", "/v1/catalog", "/v1/catalog", None, "read"),
    ("POST", "/v1/models", "/v1/models", {"name": "other"}, "admin"),
    ("POST", "/v1/models/{name}/activate", "/v1/models/shop/activate", None, "admin"),
    ("POST", "/v1/models/rollback", "/v1/models/rollback", None, "admin"),
    ("POST", "/v1/reload", "/v1/reload", None, "admin"),
    ("GET", "/v1/users", "/v1/users?q=a", None, "read"),
    ("GET", "/v1/overview", "/v1/overview", None, "read"),
    ("POST", "/v1/preview", "/v1/preview?beam=true", {"user_id": "ann", "allow": ["price<20"]}, "read"),
    ("GET", "/v1/identifiers", "/v1/identifiers", None, "read"),
    ("GET", "/v1/identifiers/{item_id}", "/v1/identifiers/i1", None, "read"),
    ("GET", "/v1/reports", "/v1/reports", None, "read"),
    ("GET", "/v1/reports/{kind}/{name}/{file}", "/v1/reports/run/shop/report.md", None, "read"),
    ("GET", "/health/live", "/health/live", None, None),
    ("GET", "/health/ready", "/health/ready", None, None),
    ("GET", "/health", "/health", None, None),
]
REFUSED = {
    ("POST", "/v1/models"): "conflict",
    ("POST", "/v1/models/rollback"): "conflict",
    ("GET", "/v1/identifiers"): "conflict",
    ("GET", "/v1/identifiers/{item_id}"): "conflict",
    ("GET", "/v1/reports/{kind}/{name}/{file}"): "not-found",
}
"""Routes that a service with one model in memory, without a tree and a store, refuses; `test_routes_models` and
`workbench/test_routes` have their answers."""
BODIES = [route for route in ROUTES if route[3] is not None]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Service]]:
    url = f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}"
    with serving(url) as (client, service):
        client.post("/v1/events", json=USER)
        items = [{"item_id": "i1", "rank": 1, "score": 0.5, "source": "model"}]
        assert service.database.impressions.log(
            Impression("shown-1", "ann", 1.7e9, "active", "shop@v1/0", items, {"k": 1})
        )
        yield client, service


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """A service with a key for each scope."""
    url = f"sqlite:///{tmp_path_factory.mktemp('locked') / 'shop.db'}"
    with serving(url) as (client, service):
        keys = {scope: service.database.keys.add(scope, [scope]) for scope in ("read", "write", "admin")}
        client.post("/v1/events", json=USER, headers={"X-API-Key": keys["write"]})
        yield client, keys


def declared(client: TestClient, route: str, method: str) -> set[str]:
    description = client.app._app.openapi()
    return set(description["paths"][route][method.lower()]["responses"])


def problem(response) -> dict:
    assert response.headers["content-type"] == MEDIA_TYPE, response.text
    body = response.json()
    assert body["status"] == response.status_code
    assert KINDS[body["type"].removeprefix("/problems/")].status == response.status_code
    assert body["instance"] == response.headers["x-request-id"]
    assert not re.search(r"Traceback|File \"|SELECT|INSERT|/site-packages/", response.text)
    return body


@pytest.mark.parametrize(("method", "route", "path", "body", "scope"), ROUTES, ids=lambda value: str(value)[:40])
def test_a_good_request_gets_an_answer(shop, method, route, path, body, scope):
    client, _ = shop
    client.post("/v1/events", json={**USER, "user_id": "bob"})
    response = client.request(
        method, path.replace("ann", "bob"), json=body and json.loads(json.dumps(body).replace("ann", "bob"))
    )
    if (method, route) in REFUSED:
        assert problem(response)["type"] == f"/problems/{REFUSED[method, route]}"
        assert str(response.status_code) in declared(client, route, method)
        return
    assert response.status_code == 200, response.text
    assert "200" in declared(client, route, method)
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("method", "route", "path", "body", "scope"), ROUTES, ids=lambda value: str(value)[:40])
def test_keys_and_scopes_are_asked_for(locked, method, route, path, body, scope):
    client, keys = locked
    without = client.request(method, path, json=body)
    if scope is None:
        assert without.status_code == 200
        return
    assert problem(without)["type"] == "/problems/unauthorized"
    assert without.headers["www-authenticate"] == "Bearer"
    wrong = "write" if scope == "read" else "read"
    refused = client.request(method, path, json=body, headers={"Authorization": f"Bearer {keys[wrong]}"})
    assert problem(refused)["type"] == "/problems/forbidden"
    assert f"'{scope}'" in refused.json()["detail"]
    assert {"401", "403"} <= declared(client, route, method)
    unknown = client.request(method, path, json=body, headers={"X-API-Key": "lexirec_nobody"})
    assert unknown.status_code == 401
    right = client.request(method, path, json=body, headers={"X-API-Key": keys["admin"]})
    assert right.status_code in (200, 404, 409), right.text


@pytest.mark.parametrize(("method", "route", "path", "body", "scope"), BODIES, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize(
    ("content", "media", "status", "kind"),
    [
        (b"{", "application/json", 400, "bad-request"),
        (b"\xff\xfe{}", "application/json", 400, "bad-request"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
        (b"", "application/json", (400, 422), None),
        (b"[" * 100_000, "application/json", 400, "bad-request"),
        (b'"text"', "application/json", 422, None),
        (b"null", "application/json", 422, None),
        (b'{"nonsense": 1}', "application/json", 422, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_bad_bodies_are_problems(shop, method, route, path, body, scope, content, media, status, kind):
    client, _ = shop
    response = client.request(method, path, content=content, headers={"content-type": media})
    allowed = status if isinstance(status, tuple) else (status,)
    assert response.status_code in allowed, response.text
    assert str(response.status_code) in declared(client, route, method)
    found = problem(response)
    assert kind is None or found["type"] == f"/problems/{kind}"


def test_unknown_fields_have_a_suggestion(shop):
    client, _ = shop
    found = problem(client.post("/v1/recommend", json={"user_id": "ann", "exclude_sen": True}))
    assert found["type"] == "/problems/unknown-field"
    assert found["errors"][0]["pointer"] == "/exclude_sen"
    assert "Did you mean 'exclude_seen'?" in found["detail"]


def test_a_wrong_value_says_where_what_and_what_is_allowed(shop):
    client, _ = shop
    found = problem(
        client.post("/v1/recommend", json={"user_id": "ann", "k": 0, "boosts": [{"filter": "price>1", "weight": 11}]})
    )
    assert {each["pointer"] for each in found["errors"]} == {"/k", "/boosts/0/weight"}
    details = [each["detail"] for each in found["errors"]]
    assert "'k' is 0; it should be greater than or equal to 1" in details
    assert found["detail"].endswith("(1 more like this)")


@pytest.mark.parametrize("path", ["/v1/nothing", "/", "/v1/users/", "/v1/recommend/"])
def test_what_is_not_there_is_a_problem(shop, path):
    assert problem(shop[0].get(path))["type"] == "/problems/not-found"


@pytest.mark.parametrize(
    ("field", "value"), [("k", True), ("k", "3"), ("new_items", False), ("exclude_seen", "yes"), ("explain", 1)]
)
def test_values_of_another_type_are_not_turned_into_the_right_one(shop, field, value):
    found = problem(shop[0].post("/v1/recommend", json={"user_id": "ann", field: value}))
    assert found["errors"][0]["pointer"] == f"/{field}"


def test_a_path_with_several_methods_names_them_all(shop):
    assert shop[0].post("/v1/users/ann").headers["allow"] == "DELETE, GET, PUT"


def test_a_wrong_method_says_which_are_right(shop):
    response = shop[0].delete("/v1/recommend")
    assert problem(response)["type"] == "/problems/method-not-allowed"
    assert response.headers["allow"] == "POST"


def test_what_nobody_knows_is_not_found(shop):
    client, _ = shop
    assert problem(client.get("/v1/recommendations/nothing"))["type"] == "/problems/not-found"
    assert problem(client.get("/v1/users/nobody"))["type"] == "/problems/not-found"
    assert problem(client.get("/v1/users/nobody/events"))["type"] == "/problems/not-found"


def test_bodies_beyond_the_limit_are_refused(tmp_path):
    with serving(f"sqlite:///{tmp_path / 'a.db'}", limits={"body_bytes": 200, "bulk_body_bytes": 400, "rows": 2}) as (
        client,
        _,
    ):
        long = {"history": ["i1"] * 60}
        assert problem(client.post("/v1/recommend", json=long))["type"] == "/problems/too-large"
        three = {"events": [{**USER, "time": number} for number in (1.7e9, 1.6e9, 1.5e9)]}
        assert problem(client.post("/v1/events", json=three))["type"] == "/problems/too-large"
        assert "at most 2" in client.post("/v1/events", json=three).json()["detail"]


def test_too_many_requests_of_a_key_wait(tmp_path):
    with serving(f"sqlite:///{tmp_path / 'a.db'}", limits={"rate": "2/minute"}) as (client, _):
        statuses = [client.post("/v1/recommend", json={"k": 1}).status_code for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        assert int(client.post("/v1/recommend", json={"k": 1}).headers["retry-after"]) >= 25
        assert client.get("/health/ready").status_code == 200


def test_the_page_of_every_kind_of_problem_exists(shop):
    client, _ = shop
    for kind, about in KINDS.items():
        page = client.get(f"/problems/{kind}")
        assert page.status_code == 200
        assert about.title in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_pages_load_nothing_from_elsewhere(shop):
    for path in ("/docs", "/problems/overloaded"):
        assert not re.search(r"(src|href)\s*=\s*['\"]?(https?:)?//", shop[0].get(path).text)


def test_a_given_request_id_is_echoed_if_it_is_one(shop):
    client, _ = shop
    assert client.get("/health/live", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/health/live", headers={"X-Request-ID": "a b\t"}).headers["x-request-id"] != "a b\t"


def test_metrics_count_what_happened(shop):
    client, _ = shop
    client.post("/v1/recommend", json={"user_id": "ann", "k": 2})
    client.post("/v1/recommend", json={"k": 1})
    text = client.get("/metrics").text
    assert re.search(r'lexirec_http_requests_total\{method="POST",route="/v1/recommend",status="200"\} [1-9]', text)
    assert re.search(r'lexirec_recommendations_total\{model="shop",source="model",variant="active"\} [1-9]', text)
    assert re.search(r'lexirec_fallbacks_total\{reason="newcomer"\} [1-9]', text)
    assert "lexirec_invalid_items_total 0.0" in text
    assert 'route="/v1/users/{user_id}"' in text
    assert "ann" not in text


def test_the_description_has_no_dangling_reference(shop):
    description = shop[0].app._app.openapi()
    text = json.dumps(description)
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert name in description["components"]["schemas"], name
    assert "HTTPValidationError" not in text
