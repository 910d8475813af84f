from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.serving.shop import serving

BODY = json.dumps({"history": ["i1"], "k": 2})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(f"sqlite:///{tmp_path_factory.mktemp('direct') / 'shop.db'}") as (client, _):
        yield client


@pytest.mark.parametrize(
    "content", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.shop+json"]
)
def test_json_is_read_under_each_of_its_names(client, content):
    answer = client.post("/v1/recommend", content=BODY, headers={"content-type": content})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["items"]) == 2


@pytest.mark.parametrize("content", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused_by_name(client, content):
    answer = client.post("/v1/recommend", content=BODY, headers={"content-type": content})
    assert answer.status_code == 415
    assert f"'{content.partition(';')[0]}'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        ("", 422, [""]),
        ('{"k": 2', 400, []),
        (b"\xff\xfe", 400, []),
        ("[" * 100_000, 400, []),
        ("[1, 2]", 422, [""]),
        ('{"kk": 2}', 422, ["/kk"]),
        ('{"k": true, "deny_items": ["a", ""]}', 422, ["/k", "/deny_items/1"]),
        ('{"boosts": [{"filter": "a=b", "weight": 11}]}', 422, ["/boosts/0/weight"]),
    ],
    ids=str,
)
def test_a_bad_body_is_refused_at_its_place(client, body, status, pointers):
    answer = client.post("/v1/recommend", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert sorted(each["pointer"] for each in answer.json().get("errors", [])) == sorted(pointers)


def test_routes_that_read_directly_are_described_like_others(client):
    described = client.app._app.openapi()["paths"]["/v1/recommend"]["post"]
    assert described["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("RecommendRequest")
    assert {"200", "400", "413", "415", "422"} <= set(described["responses"])
