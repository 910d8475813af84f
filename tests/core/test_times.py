from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lexirec.core.times import rfc3339, seconds_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_700_000_000, 1_700_000_000.0),
        (1.5, 1.5),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        (datetime(1970, 1, 2, tzinfo=UTC), 86_400.0),
        (-1, -1.0),
    ],
)
def test_times_in_any_form_are_seconds(value, seconds):
    assert seconds_of(value) == seconds
    assert seconds_of(rfc3339(seconds)) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "is no time"),
        (None, "is no time"),
        ("yesterday", "is no time"),
        ("2026-01-31", "is no time"),
        ("2026-01-31T12:00:00", "is no time"),  # without its zone
        (datetime(1970, 1, 2), "is no time"),
        (1e15, "not milliseconds"),
        (float("nan"), "no second"),
    ],
)
def test_what_is_no_time_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        seconds_of(value)


def test_fractions_are_written_where_there_are_any():
    assert rfc3339(0.5) == "1970-01-01T00:00:00.500000Z"
    assert rfc3339(1_700_000_000) == "2023-11-14T22:13:20Z"
