"""Items as rows of the table: the row as JSON, the text that is searched, and the facts that masks need."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import Row

from lexirec.serving.database.errors import BadValueError
from lexirec.serving.database.ids import id_problem

ItemState = Literal["live", "staged", "hidden", "removed"]
STATES: tuple[ItemState, ...] = get_args(ItemState)
MAX_ROW = 65_536
AVAILABILITY = ("available_from", "available_until")
_OWN = ("item_id", "state")


@dataclass(frozen=True)
class ItemWrite:
    """An item to be written.

    Attributes:
        item_id: The item.
        row: Its columns, without `item_id` and `state`; `available_from` and `available_until` are seconds since 1970
            or RFC 3339.
        state: Its new state; None keeps the state of an item that is there, and stages a new one.
        pending: Whether the change waits for the next catalogue version; None keeps it, and is true for a new item.
    """

    item_id: str
    row: Mapping[str, Any]
    state: ItemState | None = None
    pending: bool | None = None


@dataclass(frozen=True)
class Item:
    """An item as it is stored.

    Attributes:
        item_id: The item.
        row: Its columns.
        state: `live` items are recommended, `staged` ones wait for a version, `hidden` and `removed` ones are masked.
        pending: Whether a change waits for the next catalogue version.
        available_from: Start of its availability in seconds since 1970, or None.
        available_until: End of its availability, or None.
        revision: The revision of the items at which it changed last.
        updated: Time of that change.
    """

    item_id: str
    row: Mapping[str, Any]
    state: ItemState
    pending: bool
    available_from: float | None
    available_until: float | None
    revision: int
    updated: float


def item_values(item_id: str, row: Mapping[str, Any], title: str) -> dict[str, Any]:
    """Return the values of the columns that hold an item's row; `title` is the column that is searched.

    Raises:
        BadValueError: the id or the row is not allowed.
    """
    problem = id_problem("item_id", item_id)
    if problem is not None:
        raise BadValueError(f"{problem}.")
    wrong = next((name for name in _OWN if name in row), None)
    if wrong is not None:
        raise BadValueError(f"item '{item_id}': '{wrong}' stands beside the row, not in it.")
    try:
        written = json.dumps(dict(row), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise BadValueError(
            f"item '{item_id}' is no JSON object of texts, finite numbers, true, false, null and lists."
        ) from None
    if len(written) > MAX_ROW:
        raise BadValueError(f"item '{item_id}' has {len(written):,} bytes; allowed are {MAX_ROW:,}.")
    start, end = (moment(item_id, name, row.get(name)) for name in AVAILABILITY)
    if start is not None and end is not None and start >= end:
        raise BadValueError(f"item '{item_id}': available_until is not after available_from.")
    return {
        "row": written,
        "search": searched(item_id, row.get(title)),
        "available_from": start,
        "available_until": end,
    }


def searched(*texts: object) -> str:
    """Return texts as they are searched: without case, and without what databases do not store."""
    words = "\n".join(each for each in texts if isinstance(each, str)).casefold()
    return words.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def moment(item_id: str, name: str, value: object) -> float | None:
    """Return a time in seconds since 1970, given as such or as RFC 3339 (UTC where it names no zone)."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise BadValueError(
        f"item '{item_id}': {name} is {value!r}; allowed are seconds since 1970 or times such as 2026-11-30T09:00:00Z."
    )


def item_of(row: Row[Any]) -> Item:
    """Return a row of the table as an item."""
    return Item(
        row.item_id,
        json.loads(row.row),
        row.state,
        bool(row.pending),
        row.available_from,
        row.available_until,
        row.revision,
        row.updated,
    )
