"""What an order of events is worth: ties, files with the newest first, columns that are no order of events at all."""

from __future__ import annotations

from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import ROW, Column, Source

_FEW_ITEMS = 5
_ROWS = 1_000_000
"""Rows beyond which only some users are looked at."""
_OFTEN = 0.05
"""Share of events with the time of another of the user above which it is worth a remark."""


def is_attribute(work: Workspace, events: Source, item: Column, value: str) -> bool:
    """Return whether a value is one of the item and not of the event: every item has one value in all its events."""
    ((items, varying, values),) = work.rows(
        "SELECT count(*) FILTER (n > 1), count(*) FILTER (n > 1 AND low <> high), (count(DISTINCT low)) FROM"
        f" (SELECT count(v) AS n, min(v) AS low, max(v) AS high FROM (SELECT {item.text} AS i, {value} AS v FROM"
        f" {events.scan}) GROUP BY i)"
    )
    return bool(items >= _FEW_ITEMS and not varying and values > 1)


def is_counter(work: Workspace, events: Source, user: Column, column: Column, *, gapless: bool) -> bool:
    """Return whether a column numbers the events of each user: other numbers for each, or 0 or 1 to the last."""
    gaps = "OR low NOT IN (0, 1) OR high - low <> n - 1" if gapless else ""
    ((bad, longest),) = work.rows(
        f"SELECT count(*) FILTER (n <> rows OR n <> different {gaps}), max(n) FROM (SELECT count(*) AS rows,"
        " count(v) AS n, count(DISTINCT v) AS different, min(v) AS low, max(v) AS high FROM"
        f" (SELECT {user.text} AS u, {column.number()} AS v FROM {events.scan}) GROUP BY u)"
    )
    return not bad and longest is not None and longest > 1


def ties_remark(work: Workspace, events: Source, user: Column, column: Column, value: str) -> str:
    """Return what to say of events that share their time with another of the same user; "" where they are few."""
    ((rows,),) = work.rows(f"SELECT count(*) FROM {events.scan}")
    some = f"hash(u) % {1 + rows // _ROWS} = 0"  # whole users, so that their order is seen
    ((n, tied, forward, backward),) = work.rows(
        "SELECT count(*), count(*) FILTER (v = earlier OR v = later), count(*) FILTER (v > above),"
        " count(*) FILTER (v < above) FROM (SELECT v, lag(v) OVER by_time AS earlier, lead(v) OVER by_time AS later,"
        f" lag(v) OVER by_row AS above FROM (SELECT {user.text} AS u, {value} AS v, {ROW} AS row FROM {events.scan})"
        f" WHERE v IS NOT NULL AND {some}"
        " WINDOW by_time AS (PARTITION BY u ORDER BY v), by_row AS (PARTITION BY u ORDER BY row))"
    )
    if not n or tied <= _OFTEN * n:
        return ""
    said = f"{tied / n:.0%} of the events have the same '{column.name}' as another event of their user"
    if backward > 3 * forward:
        return (
            f"{said}; these keep the order of the file, which has the newest first: reverse its rows if that is wrong"
        )
    return f"{said}; these keep the order of the file"


def file_order_remark(work: Workspace, events: Source, user: Column, item: Column) -> str:
    """Return the remark that the file orders the events, with the example of the longest history."""
    rows = work.rows(
        f"SELECT u, arg_min(i, row), arg_max(i, row), count(*) AS n FROM (SELECT {user.text} AS u, {item.text} AS i,"
        f" {ROW} AS row FROM {events.scan}) WHERE u IS NOT NULL GROUP BY u ORDER BY n DESC, min(row) LIMIT 1"
    )
    said = "events are taken in the order of the file, the oldest first, as no column orders them"
    if not rows:
        return said
    user_id, first, last, _ = rows[0]
    return f"{said}: of user '{user_id}' item '{first}' is the oldest and '{last}' the newest, which is predicted"
