"""What came of the recorded answers, added up in the database by variant, day and user.

An event that names an answer came of it. One that names none came of the user's newest answer within a day before it
that held its item, and is called inferred. Everything is added up by the database; what is read is one row per user,
day and variant, as a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    CTE,
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    cast,
    column,
    distinct,
    func,
    literal,
    null,
    select,
    union_all,
)

from lexirec.serving.database.access import Access
from lexirec.serving.database.connections import is_postgresql
from lexirec.serving.database.impressions import INFERRED_SECONDS, NEW_MARK
from lexirec.serving.database.tables import events, impressions

MOST_TYPES = 20
"""Types of events that are told apart: the most frequent ones."""
DAY = 86_400
_ANONYMOUS = "\x01"  # no id of a user begins with a control character
_AT_ONCE = 10_000
COLUMNS = ("impressions", "known", "fallbacks", "places", "new", "hits", "inferred", "clicked", "reciprocal")
"""Names of the first columns of `OnlineRows.sums`."""


class Window(NamedTuple):
    """Which answers are evaluated.

    Attributes:
        since, until: Times of the answers, seconds since 1970.
        k: Places that count.
        clicks: Types of events that are clicks; None for all but `no_clicks`.
        no_clicks: Types that are none.
        variant: The only variant; None for all.
    """

    since: float
    until: float
    k: int
    clicks: tuple[str, ...] | None = None
    no_clicks: tuple[str, ...] = ()
    variant: str | None = None


class OnlineRows(NamedTuple):
    """One row per user, day and variant; answers to nobody known are users of their own.

    Attributes:
        variants: Names of the variants.
        variant: Number of the variant: int32 (rows,).
        day: Days since 1970: int32 (rows,).
        user: Number of the user, in ascending order: int64 (rows,).
        sums: float32 (rows, columns): answers, answers to known users, answers by simpler models, first k places that
            are filled, those of them with items newer than the model, hits, inferred hits, answers with a click on the
            first k places, their reciprocal ranks, and for every type the answers with a hit of it.
        types: The types.
        shown: (variant, day or None for all) -> different items on the first k places.
    """

    variants: tuple[str, ...]
    variant: NDArray[np.int32]
    day: NDArray[np.int32]
    user: NDArray[np.int64]
    sums: NDArray[np.float32]
    types: tuple[str, ...]
    shown: dict[tuple[str, int | None], int]

    def place(self, name: str) -> int:
        """Return the place of a column of `sums` by its name in `COLUMNS`, or by its type as `type:NAME`."""
        kind = name.removeprefix("type:")
        return len(COLUMNS) + self.types.index(kind) if kind != name else COLUMNS.index(name)


def read_online_rows(access: Access, window: Window) -> OnlineRows:
    """Add up what came of the answers of a window; takes seconds with hundreds of thousands of them.

    Raises:
        DatabaseError: the database does not answer.
    """

    def query(connection: Connection) -> OnlineRows:
        types = _types(connection, window)
        shown = {(variant, day): count for variant, day, count in connection.execute(_shown(connection, window))}
        streamed = connection.execution_options(stream_results=True, max_row_buffer=_AT_ONCE)
        return _collected(streamed.execute(_sums(connection, window, types)).partitions(_AT_ONCE), types, shown)

    return access.read_at_once(query)


def _collected(parts: Any, types: tuple[str, ...], shown: dict[tuple[str, int | None], int]) -> OnlineRows:
    names: dict[str, int] = {}
    keys, sums = [np.empty((0, 3), np.int64)], [np.empty((0, len(COLUMNS) + len(types)), np.float32)]
    user, last = -1, None
    for part in parts:
        numbers = []
        for row in part:
            user += row[0] != last
            last = row[0]
            numbers.append((names.setdefault(row[1], len(names)), row[2], user))
        keys.append(np.array(numbers, dtype=np.int64))
        sums.append(np.array([tuple(row)[3:] for row in part], dtype=np.float32))
    every = np.concatenate(keys)
    return OnlineRows(
        tuple(names),
        every[:, 0].astype(np.int32),
        every[:, 1].astype(np.int32),
        every[:, 2],
        np.concatenate(sums),
        types,
        shown,
    )


# ------------------------------------------------------------------------------------------------------------- queries


def _in_window(window: Window) -> ColumnElement[bool]:
    of = and_(impressions.c.time >= window.since, impressions.c.time <= window.until)
    return of if window.variant is None else and_(of, impressions.c.variant == window.variant)


def _day(connection: Connection) -> ColumnElement[int]:
    days = impressions.c.time / DAY
    return cast(func.floor(days), BigInteger) if is_postgresql(connection) else cast(days, Integer)


class _Places(NamedTuple):
    """The places of a recorded list as rows."""

    rows: FromClause
    item_id: ColumnElement[str]
    rank: ColumnElement[int]
    new: ColumnElement[bool]


def _places(connection: Connection, items: ColumnElement[Any]) -> _Places:
    if is_postgresql(connection):
        values = func.json_array_elements(cast(items, JSON)).table_valued(
            column("value", JSON), with_ordinality="place", name="places", joins_implicitly=True
        )
        rows = values.render_derived()
        place = rows.c.value
        return _Places(rows, place["item_id"].as_string(), rows.c.place, place["new"].as_string() == "true")
    rows = func.json_each(items).table_valued(
        column("key", Integer), column("value"), name="places", joins_implicitly=True
    )
    is_new = func.json_extract(rows.c.value, "$.new") == 1
    return _Places(rows, func.json_extract(rows.c.value, "$.item_id"), rows.c.key + 1, is_new)


def _filled(connection: Connection, k: int) -> ColumnElement[int]:
    """Return the number of filled places among the first k."""
    items = impressions.c["items"]
    if is_postgresql(connection):
        return func.least(func.json_array_length(cast(items, JSON)), k)
    return func.min(func.json_array_length(items), k)


def _new(connection: Connection, k: int) -> ColumnElement[int]:
    """Return the number of items newer than the model on the first k places; most lists have none and are not read."""
    places = _places(connection, impressions.c["items"])
    number = select(func.count()).select_from(places.rows).where(places.new, places.rank <= k)
    read = number.correlate(impressions).scalar_subquery()
    return case((impressions.c["items"].like(f"%{NEW_MARK}%"), read), else_=0)


def _types(connection: Connection, window: Window) -> tuple[str, ...]:
    """Return the most frequent types of events of the window."""
    number = func.count()
    of = select(events.c.type).where(events.c.time >= window.since).group_by(events.c.type)
    return tuple(connection.scalars(of.order_by(number.desc(), events.c.type).limit(MOST_TYPES)))


def _shown(connection: Connection, window: Window) -> Select[Any]:
    """Return the query for the numbers of different items, by variant and day, and by variant."""
    places = _places(connection, impressions.c["items"])
    day = _day(connection).label("day")
    columns = select(impressions.c.variant, day, places.item_id.label("item_id"))
    items = columns.select_from(impressions, places.rows).where(_in_window(window), places.rank <= window.k)
    one = items.distinct().cte("one").prefix_with("MATERIALIZED")
    by_day = select(one.c.variant, one.c.day, func.count()).group_by(one.c.variant, one.c.day)
    every = select(one.c.variant, cast(null(), BigInteger), func.count(distinct(one.c.item_id))).group_by(one.c.variant)
    return select(union_all(by_day, every).subquery())


def _hits(connection: Connection, window: Window) -> CTE:
    """Return the events that came of answers of the window: answer, type, rank in its list, whether inferred."""
    named = select(
        events.c.recommendation_id.label("answer"), events.c.type, events.c.item_id, literal(0).label("inferred")
    ).where(events.c.recommendation_id.is_not(None), events.c.time >= window.since)
    before = impressions.alias("before")
    held = _places(connection, before.c["items"])
    newest = (
        select(before.c.recommendation_id)
        .select_from(before, held.rows)
        .where(
            before.c.user_id == events.c.user_id,
            before.c.time <= events.c.time,
            before.c.time >= events.c.time - INFERRED_SECONDS,
            held.item_id == events.c.item_id,
        )
        .order_by(before.c.time.desc(), before.c.recommendation_id.desc())
        .limit(1)
        .correlate(events)
        .scalar_subquery()
    )
    unnamed = select(newest.label("answer"), events.c.type, events.c.item_id, literal(1).label("inferred")).where(
        events.c.recommendation_id.is_(None), events.c.time >= window.since
    )
    found = union_all(named, unnamed).cte("found").prefix_with("MATERIALIZED")  # else an answer is looked for twice
    places = _places(connection, impressions.c["items"])
    rank = (
        select(func.min(places.rank))
        .select_from(places.rows)
        .where(places.item_id == found.c.item_id)
        .correlate(impressions, found)
        .scalar_subquery()
    )
    joined = found.join(impressions, impressions.c.recommendation_id == found.c.answer)
    columns = select(found.c.answer, found.c.type, found.c.inferred, rank.label("rank"))
    return columns.select_from(joined).where(_in_window(window)).cte("hits")


def _sums(connection: Connection, window: Window, types: Sequence[str]) -> Select[Any]:
    """Return the query for the rows of `OnlineRows`, by user: user, variant, day, sums."""
    hits = _hits(connection, window)
    is_click = hits.c.type.not_in(window.no_clicks) if window.clicks is None else hits.c.type.in_(window.clicks)
    best = func.min(case((and_(is_click, hits.c.rank <= window.k), hits.c.rank)))
    of_types = [func.max(case((hits.c.type == kind, 1), else_=0)).label(f"t{n}") for n, kind in enumerate(types)]
    counts = func.count().label("hits"), func.sum(hits.c.inferred).label("inferred")
    answers = select(hits.c.answer, *counts, best.label("best"), *of_types).group_by(hits.c.answer).cte("answers")
    user = func.coalesce(impressions.c.user_id, literal(_ANONYMOUS).concat(impressions.c.recommendation_id))
    clicked = answers.c.best.is_not(None)
    return (
        select(
            user.label("user"),
            impressions.c.variant,
            _day(connection).label("day"),
            func.count(),
            func.count(impressions.c.user_id),
            func.count(impressions.c.fallback),
            func.sum(_filled(connection, window.k)),
            func.sum(_new(connection, window.k)),
            func.coalesce(func.sum(answers.c.hits), 0),
            func.coalesce(func.sum(answers.c.inferred), 0),
            func.sum(case((clicked, 1), else_=0)),
            func.sum(case((clicked, 1.0 / cast(answers.c.best, Float)), else_=0.0)),
            *(func.coalesce(func.sum(answers.c[f"t{n}"]), 0) for n in range(len(types))),
        )
        .select_from(impressions.outerjoin(answers, answers.c.answer == impressions.c.recommendation_id))
        .where(_in_window(window))
        .group_by("user", impressions.c.variant, "day")
        .order_by("user")
    )
