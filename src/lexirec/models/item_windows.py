"""When items may be recommended: the facts `available_from` and `available_until`, and a mask that follows the clock.

An item is available from the moment `available_from` on, and no longer from `available_until` on; a missing one is no
limit. The moments of all items are sorted once, so asking costs a comparison as long as none of them passes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.core.times import rfc3339, seconds_of
from lexirec.data.catalog import Catalog

_log = logging.getLogger(__name__)
FROM, UNTIL = "available_from", "available_until"
"""Names of the columns."""
LIMITS = {FROM: -np.inf, UNTIL: np.inf}
"""What a missing value means, in seconds since 1970."""


class Span(NamedTuple):
    """A stretch of time in which the same items are available: from `begin` on, until `end`, in seconds since 1970."""

    begin: float
    end: float

    def holds(self, now: float) -> bool:
        """Say whether a moment lies in it."""
        return self.begin <= now < self.end


ALWAYS = Span(-np.inf, np.inf)


class Windows:
    """The windows of all items of a catalogue; immutable."""

    def __init__(self, begins: NDArray[np.float64], ends: NDArray[np.float64]) -> None:
        """Take the first and the last limit of every item, in seconds since 1970; infinite ones are none."""
        self.begins, self.ends = begins, ends
        moments = np.concatenate([begins, ends])
        self._moments = np.unique(moments[np.isfinite(moments)])

    @classmethod
    def of(cls, catalog: Catalog) -> Windows:
        """Return the windows of a catalogue's columns; values that are no times are no limits, and the log says so."""
        limits = {}
        for name, missing in LIMITS.items():
            if name in catalog.table.column_names:
                limits[name] = _read(name, catalog.table.column(name).to_pylist(), missing)
            else:
                limits[name] = np.full(len(catalog), missing)
        return cls(limits[FROM], limits[UNTIL])

    def __bool__(self) -> bool:
        """Whether any item has a limit."""
        return bool(len(self._moments))

    def span(self, now: float) -> Span:
        """Return the stretch of time around a moment in which the same items are available."""
        place = int(np.searchsorted(self._moments, now, side="right"))
        begin = float(self._moments[place - 1]) if place else -np.inf
        return Span(begin, float(self._moments[place]) if place < len(self._moments) else np.inf)

    def available(self, now: float) -> NDArray[np.bool_]:
        """Return which items are available at a moment: bool (n_items,)."""
        available: NDArray[np.bool_] = (self.begins <= now) & (now < self.ends)
        return available


def _read(name: str, values: Iterable[Any], missing: float) -> NDArray[np.float64]:
    limits, wrong = list[float](), 0
    for value in values:
        try:
            limits.append(limit_of(value, missing))
        except ValueError:
            limits.append(missing)
            wrong += 1
    if wrong:
        _log.warning("%s of %d items is no time; such items have no limit", name, wrong)
    return np.array(limits, dtype=np.float64)


def limit_of(value: Any, missing: float) -> float:
    """Return a limit in seconds since 1970; `missing` where it is null or empty.

    Raises:
        ValueError: it is no time.
    """
    if isinstance(value, datetime) and value.tzinfo is None:  # of a column without zones
        value = value.replace(tzinfo=UTC)
    return missing if value is None or value == "" else seconds_of(_number(value))


def time_text(name: str, item_id: str, value: Any) -> str | None:
    """Return a limit as it is stored, after RFC 3339 in UTC; None where it is null or empty.

    Raises:
        DataError: it is no time.
    """
    if value is None or value == "":
        return None
    try:
        return rfc3339(seconds_of(_number(value)))
    except ValueError as error:
        raise DataError(f"{name} of item '{item_id}' is {value!r}, which {error}") from None


def _number(value: Any) -> Any:
    """Return the number that a text of digits is: tables of text have no other."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
