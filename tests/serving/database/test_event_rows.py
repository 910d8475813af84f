import math

import pytest

from lexirec.data.readers import time_recognition
from lexirec.serving.database.event_rows import EARLIEST, EventPolicy, EventRow, NewEvent, Rejection, row_of
from tests.serving.conftest import NOW


def check(event: NewEvent) -> EventRow | Rejection:
    return row_of(event, 7, NOW, EventPolicy())


def test_times_that_are_taken_are_times_that_tables_may_have():
    assert EARLIEST == time_recognition.EARLIEST
    assert isinstance(check(NewEvent("ann", "A1", time=EARLIEST)), EventRow)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (NewEvent("", "A1"), "user_id has 0 characters; allowed are 1 to 256"),
        (NewEvent("a" * 257, "A1"), "user_id has 257 characters"),
        (NewEvent("session:", "A1"), "session_id has 0 characters"),
        (NewEvent("session:" + "a" * 257, "A1"), "session_id has 257 characters"),
        (NewEvent("a\0", "A1"), "user_id holds the control character U+0000"),
        (NewEvent("a\x7f", "A1"), "control character U+007F"),
        (NewEvent("ann", "a\ud800"), "item_id holds the control character U+D800"),
        (NewEvent("ann", " "), "which tables read as a missing value"),
        (NewEvent("null", "A1"), "user_id is 'null', which tables read as a missing value; use another id"),
        (NewEvent(None, "A1"), "user_id is missing"),
        (NewEvent("ann", 7), "item_id is a number"),
        (NewEvent("ann", "A1", ["view"]), "type is of type list"),
        (NewEvent("ann", "A1", "v" * 65), "type has 65 characters; allowed are 1 to 64"),
        (NewEvent("ann", "A1", time="2026-01-01"), "time is '2026-01-01'; allowed are seconds since 1970"),
        (NewEvent("ann", "A1", time=math.nan), "time is nan"),
        (NewEvent("ann", "A1", time=10**400), "time is 1000"),
        (NewEvent("ann", "A1", time=True), "time is True"),
        (NewEvent("ann", "A1", time=NOW * 1000), "divide milliseconds by 1000"),
        (NewEvent("ann", "A1", time=0), "time is 0, before 1990"),
        (NewEvent("ann", "A1", value=math.inf), "value is inf; allowed are finite numbers"),
        (NewEvent("ann", "A1", event_id=""), "event_id has 0 characters"),
        (NewEvent("ann", "A1", recommendation_id="\n"), "recommendation_id holds the control character U+000A"),
        (NewEvent("ann", "A1", position=-1), "position is -1; allowed are whole numbers from 0"),
        (NewEvent("ann", "A1", position=2**31), "position is 2147483648"),
        (NewEvent("ann", "A1", position=1.0), "position is 1.0"),
        (NewEvent("ann", "A1", properties={"a": math.nan}), "properties are no JSON"),
        (NewEvent("ann", "A1", properties={"a": {1, 2}}), "properties are no JSON"),
        (NewEvent("ann", "A1", properties={"a": "x" * 1020}), "properties have 1,028 bytes; allowed are 1,024"),
    ],
)
def test_what_is_wrong_is_one_line(event, line):
    rejected = check(event)
    assert isinstance(rejected, Rejection)
    assert rejected.index == 7
    assert line in rejected.detail
    assert "\n" not in rejected.detail


@pytest.mark.parametrize("user", ["a", "ü" * 256, "a b", "a/b", "😀", "session:" + "s" * 256, "NULLIFY", "a\u2028b"])
def test_ids_of_many_kinds_are_taken(user):
    assert isinstance(check(NewEvent(user, user[:256])), EventRow)


def test_equal_content_has_one_key():
    def key(*parts, **more):
        return check(NewEvent(*parts, **more)).key

    assert key("ann", "A1", "view", NOW, 1) == key("ann", "A1", "view", int(NOW), 1.0)
    assert key("ann", "A1", "view", NOW, 0.0) == key("ann", "A1", "view", NOW, -0.0)
    assert key("ann", "A1", "view", NOW) != key("ann", "A1", "view", NOW, 0.0)
    assert key("a", "bc") != key("ab", "c")
    assert key("ann", "A1", event_id="e") == key("bob", "A2", event_id="e")
    assert key("ann", "A1", event_id="e") != key("ann", "A1")
