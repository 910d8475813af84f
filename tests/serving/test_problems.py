import json

import pytest

from lexirec.core.errors import LexirecError
from lexirec.serving.problems import KINDS, ProblemError, for_clients


def test_a_body_says_kind_status_and_places():
    body = ProblemError("invalid-filter", "no field 'x'", [("/allow/0", "no field 'x'")]).body("r1")
    assert (body.type, body.status, body.instance) == ("/problems/invalid-filter", 422, "r1")
    assert [(place.pointer, place.detail) for place in body.errors] == [("/allow/0", "no field 'x'")]


@pytest.mark.parametrize("text", ["a\ud800b", "a\x1b[31mb", "a\u202eb", "x" * 10_000, "line\nline"])
def test_whatever_was_given_the_body_is_one_printable_line(text):
    body = ProblemError("bad-request", text, [(text, text)]).body()
    written = body.model_dump_json()
    assert body.detail.isprintable()
    assert len(written) < 3_000
    assert json.loads(written)["detail"] == body.detail


def test_refusals_say_when_to_come_back():
    assert ProblemError("overloaded", "full").headers == {"Retry-After": "1"}
    assert ProblemError("rate-limited", "slow", (), {"Retry-After": "7"}).headers == {"Retry-After": "7"}
    assert ProblemError("not-found", "no").headers == {}


def test_kinds_are_told_apart_by_their_names():
    assert all(400 <= kind.status < 600 and kind.title and kind.advice.endswith(".") for kind in KINDS.values())


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("/srv/store/catalog/ab12/version.json is damaged (x); restore it", "version.json is damaged (x); restore it"),
        ("cannot read '/srv/my-store/runs/a b'", "cannot read 'a b'"),
        ("there is nothing at v1/foo; see https://example.org/a/b and 3/4", None),
        ("items: price<3 or brand=A/B", None),
    ],
)
def test_clients_see_no_folders(message, told):
    assert for_clients(LexirecError(message)) == (told or message)
