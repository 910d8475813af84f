"""Times as people give them: seconds since 1970, or RFC 3339 with a zone; written as RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0
"""Seconds of the years 1 to 9999, which RFC 3339 can write."""
NO_TIME = "is no time; give seconds since 1970, or a text with its zone such as 2026-01-31T12:00:00Z"
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST = len("2026-01-31") + 1


def seconds_of(value: Any) -> float:
    """Return a time in seconds since 1970.

    Args:
        value: A number of seconds, a text after RFC 3339, or a `datetime` with its zone.

    Raises:
        ValueError: it is none; the message goes on after the name of what was given.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) >= _SHORTEST else None
        except ValueError:
            value = None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(NO_TIME)
        return (value - _BEGIN).total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(NO_TIME)
    if not FIRST <= value <= LAST:  # NaN is not
        raise ValueError("is no second of the years 1 to 9999; give seconds since 1970 (not milliseconds)")
    return float(value)


def rfc3339(seconds: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 in UTC, to the microsecond where it has a fraction."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
