"""Hostile inputs over a real connection: each is refused within a second, and the service goes on."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.serving.live import LiveService, saved_shop


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hostile")
    with LiveService(saved_shop(folder / "model"), folder, "--set", "limits.wire_seconds=1.5") as service:
        yield service.url


def send(url: str, data: bytes, seconds: float = 5.0) -> bytes:
    """Send raw bytes; return everything that comes back."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        connection.sendall(data)
        received = b""
        while True:
            try:
                part = connection.recv(65536)
            except TimeoutError:
                return received
            if not part:
                return received
            received += part


def refused(url: str, path: str, **request: object) -> httpx.Response:
    started = time.monotonic()
    response = httpx.request(request.pop("method", "POST"), url + path, timeout=10, **request)
    assert time.monotonic() - started < 1.0
    assert 400 <= response.status_code < 500, response.text[:300]
    return response


BODIES = {
    "huge number": b'{"user_id": "u", "k": 1' + b"0" * 5000 + b"}",
    "deep list": b'{"history": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep table": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "NUL in an id": b'{"user_id": "a\\u0000b"}',
    "lone surrogate": b'{"user_id": "\\ud800"}',
    "NaN": b'{"user_id": "u", "new_items": NaN}',
    "infinite weight": b'{"user_id": "u", "boosts": [{"filter": "price>1", "weight": 1e400}]}',
    "long id": json.dumps({"user_id": "x" * 1_000_000}).encode(),
    "ten thousand and one ids": json.dumps({"deny_items": ["i1"] * 10_001}).encode(),
    "filter of control characters": b'{"allow": ["price<\\u001b[31m1"]}',
    "catastrophic filter": json.dumps({"allow": ["a" * 200 + "!" * 50]}).encode(),
    "quotes in a filter": json.dumps({"allow": ["'" * 255]}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies_are_refused_at_once(url, name):
    response = refused(url, "/v1/recommend", content=BODIES[name], headers={"content-type": "application/json"})
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 20_000


def test_a_compressed_body_is_not_unpacked(url):
    bomb = gzip.compress(b"0" * 50_000_000)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    refused(url, "/v1/recommend", content=bomb, headers=headers)


@pytest.mark.parametrize(
    "path", ["/v1/users/..%2f..%2fetc%2fpasswd", "/../etc/passwd", "/v1/users/%00", "/v1/users/a%0d%0ab"]
)
def test_strange_paths_reach_nothing(url, path):
    refused(url, path, method="GET")


def test_header_injection_is_not_echoed(url):
    head = b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\x0bSet-Cookie: b\r\nConnection: close\r\n\r\n"
    assert b"Set-Cookie" not in send(url, head)


def test_a_slow_head_is_answered_and_closed(url):
    started = time.monotonic()
    received = send(url, b"POST /v1/recommend HTTP/1.1\r\nHost: a\r\nX-Slow:")
    assert received.startswith(b"HTTP/1.1 408 ")
    assert 1.0 < time.monotonic() - started < 4.0


def test_a_slow_body_is_answered(url):
    head = b"POST /v1/recommend HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    received = send(url, head)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in received


def test_a_body_longer_than_said_in_chunks_is_refused(url):
    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    refused(url, "/v1/recommend", content=chunks(), headers={"content-type": "application/json"})


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", "1e999", "[" * 2000 + "]" * 2000], ids=lambda text: text[:8])
def test_hostile_properties_are_refused(url, value):
    body = f'{{"user_id": "u", "item_id": "i1", "properties": {{"a": {value}}}}}'.encode()
    refused(url, "/v1/events", content=body, headers={"content-type": "application/json"})


def test_after_all_that_it_answers(url):
    response = httpx.post(f"{url}/v1/recommend", json={"history": ["i1"], "k": 3})
    assert response.status_code == 200
    assert len(response.json()["items"]) == 3
