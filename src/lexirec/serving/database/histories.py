"""Histories of many users in one query, whole or with only the newest events of each user one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    func,
    null,
    select,
    union_all,
)

from lexirec.serving.database.connections import is_postgresql
from lexirec.serving.database.event_rules import UserEvents
from lexirec.serving.database.tables import events, merges

_BEFORE_ALL = -1.0
"""A time before that of every event."""


def read_histories(connection: Connection, user_ids: Sequence[str], newest: int | None) -> dict[str, UserEvents]:
    """Return the events of the users that have some; see `UserStore.histories`."""
    postgresql = is_postgresql(connection)
    given: dict[str, Any] = {"ids": user_ids if postgresql else json.dumps(user_ids)}
    if newest is None:
        rows = connection.execute(_whole(postgresql), given).all()
    else:
        rows = connection.execute(_capped(postgresql), given | {"others": max(0, newest - 1)}).all()
    return {user: _user_events(list(own), newest) for user, own in groupby(rows, itemgetter(0))}


def _user_events(rows: list[Any], newest: int | None) -> UserEvents:
    """Return the events of one user; rows are (user, item, type, time), where older events have no time."""
    older: dict[tuple[str, str], None] = {}
    if newest is not None:
        dated = [row for row in rows if row[3] is not None]
        cut = max(0, len(dated) - newest)  # not 0 where the oldest of the newest have one time
        older = dict.fromkeys((row[1], row[2]) for row in (*(row for row in rows if row[3] is None), *dated[:cut]))
        rows = dated[cut:]
    if not rows:
        return UserEvents(older=tuple(older))
    _, items, kinds, times = zip(*rows, strict=True)
    return UserEvents(items, kinds, times, tuple(older))


def _asked(postgresql: bool) -> tuple[ColumnElement[Any], FromClause, ColumnElement[Any]]:
    """Return the ids that were asked for, one parameter for all; their table; the users they belong to."""
    if postgresql:
        asked = func.unnest(bindparam("ids", type_=ARRAY(Text))).table_valued("value").render_derived()
    else:
        asked = func.json_each(bindparam("ids", type_=Text)).table_valued("value")
    joined = asked.outerjoin(merges, merges.c.from_id == asked.c.value)
    return asked.c.value, joined, func.coalesce(merges.c.into_id, asked.c.value)


@cache
def _whole(postgresql: bool) -> Select[Any]:
    asked, joined, owner = _asked(postgresql)
    columns = select(asked, events.c.item_id, events.c.type, events.c.time)
    rows = columns.select_from(joined.join(events, events.c.user_id == owner))
    return rows.order_by(asked, events.c.time, events.c.seq)


@cache
def _capped(postgresql: bool) -> Select[Any]:
    """Return the query for events from the time of the newest-but-`others` one on, and pairs of those before."""
    asked, joined, owner = _asked(postgresql)
    own = events.alias("own")
    others = bindparam("others", type_=Integer)
    ordered = select(own.c.time).where(own.c.user_id == owner).order_by(own.c.time.desc(), own.c.seq.desc())
    start = func.coalesce(ordered.limit(1).offset(others).scalar_subquery(), _BEFORE_ALL)
    columns = select(asked.label("asked"), owner.label("owner"), start.label("start"))
    wanted = columns.select_from(joined).cte("wanted").prefix_with("MATERIALIZED")
    pairs = (wanted.c.asked, events.c.item_id, events.c.type)
    with_events = wanted.join(events, events.c.user_id == wanted.c.owner)
    recent = select(*pairs, events.c.time, events.c.seq).where(events.c.time >= wanted.c.start)
    nothing = cast(null(), Double).label("time"), cast(null(), BigInteger).label("seq")
    older = select(*pairs, *nothing).where(events.c.time < wanted.c.start).distinct()
    every = union_all(recent.select_from(with_events), older.select_from(with_events)).subquery()
    rows = select(every.c.asked, every.c.item_id, every.c.type, every.c.time)
    return rows.order_by(every.c.asked, every.c.time, every.c.seq)
