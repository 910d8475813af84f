"""Who is who: users that were merged into others, and users that were erased. Runs inside the writer's transactions."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from lexirec.serving.database.errors import ConflictError, ErasedError
from lexirec.serving.database.ids import digest_of
from lexirec.serving.database.tables import events, impressions, merges, tombstones, users
from lexirec.serving.database.upserts import insert_if_new, insert_or_update

# Statements that every event needs are built once: building one costs more than a small database needs to answer it.
_OWNERS = select(merges.c.from_id, merges.c.into_id).where(merges.c.from_id.in_(bindparam("ids", expanding=True)))
_ERASED = select(tombstones.c.digest).where(
    tombstones.c.digest.in_(bindparam("digests", expanding=True)), tombstones.c.time >= bindparam("since")
)


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        user_id: The user who has the events now.
        events: Number of events that moved.
        already: Whether both were one user before.
    """

    user_id: str
    events: int
    already: bool


@dataclass(frozen=True)
class Erased:
    """What an erasure removed.

    Attributes:
        user_ids: The user and all ids that were merged into them.
        events: Number of events.
        impressions: Number of impressions.
        existed: Whether there was such a user.
    """

    user_ids: tuple[str, ...]
    events: int
    impressions: int
    existed: bool


def canonical(connection: Connection, user_ids: Collection[str]) -> dict[str, str]:
    """Return the ids that were merged -> the ids of the users who have their events."""
    return {old: new for old, new in connection.execute(_OWNERS, {"ids": list(user_ids)})}  # noqa: C416, rows are typed


def erased_among(connection: Connection, user_ids: Collection[str], since: float) -> set[str]:
    """Return the ids whose tombstone was set at or after a time."""
    digests = {digest_of(each): each for each in user_ids}
    return {digests[bytes(each)] for each in connection.scalars(_ERASED, {"digests": list(digests), "since": since})}


def refuse_erased(connection: Connection, user_ids: Collection[str], since: float) -> None:
    """Raise where one of the users was erased.

    Raises:
        ErasedError: nothing is written under this id yet.
    """
    for each in sorted(erased_among(connection, user_ids, since)):
        raise ErasedError(f"user '{each}' was erased; nothing is written under this id before the tombstone expires.")


def create_users(connection: Connection, user_ids: Collection[str], now: float) -> None:
    """Create the users that are not there."""
    rows = [{"user_id": each, "attributes": "{}", "created": now, "updated": now} for each in user_ids]
    insert_if_new(connection, users, rows)


def merge(connection: Connection, from_id: str, into_id: str, now: float) -> Merged:
    """Give the events, impressions and attributes of one user to another.

    Chains end at the last user: after a into b and b into c, a's events are c's. A user who already is the other one,
    also the other way round, stays.

    Raises:
        ConflictError: `from_id` belongs to a third user already, whose events are not to move along.
    """
    known = canonical(connection, [from_id, into_id])
    into = known.get(into_id, into_id)
    if known.get(from_id, from_id) == into:
        return Merged(into, 0, already=True)
    if from_id in known:
        raise ConflictError(
            f"'{from_id}' was merged into '{known[from_id]}' before; merge '{known[from_id]}' into '{into_id}' if they"
            " are one user."
        )
    create_users(connection, [into], now)
    moved = connection.execute(update(events).where(events.c.user_id == from_id).values(user_id=into)).rowcount
    connection.execute(update(impressions).where(impressions.c.user_id == from_id).values(user_id=into))
    connection.execute(update(merges).where(merges.c.into_id == from_id).values(into_id=into))
    insert_or_update(connection, merges, [{"from_id": from_id, "into_id": into, "time": now}])
    _join_attributes(connection, from_id, into, now)
    return Merged(into, moved, already=False)


def _join_attributes(connection: Connection, from_id: str, into: str, now: float) -> None:
    """Fill the gaps of one user's attributes with the other's, who is no user any more."""
    query = select(users).where(users.c.user_id.in_([from_id, into]))
    rows = {row.user_id: row for row in connection.execute(query)}
    old = rows.get(from_id)
    if old is None:
        return
    new = rows[into]
    joined: dict[str, Any] = json.loads(old.attributes) | json.loads(new.attributes)
    values = {"attributes": json.dumps(joined), "created": min(old.created, new.created), "updated": now}
    connection.execute(update(users).where(users.c.user_id == into).values(values))
    connection.execute(delete(users).where(users.c.user_id == from_id))


def erase(connection: Connection, user_id: str, now: float) -> Erased:
    """Remove a user with all ids merged into them, and set tombstones for all of these ids."""
    user = canonical(connection, [user_id]).get(user_id, user_id)
    others = connection.scalars(select(merges.c.from_id).where(merges.c.into_id == user)).all()
    names = (user, *sorted(others))
    n_events = connection.execute(delete(events).where(events.c.user_id == user)).rowcount
    n_impressions = connection.execute(delete(impressions).where(impressions.c.user_id.in_(names))).rowcount
    connection.execute(delete(merges).where(merges.c.into_id == user))
    existed = connection.execute(delete(users).where(users.c.user_id == user)).rowcount > 0
    insert_or_update(connection, tombstones, [{"digest": digest_of(each), "time": now} for each in names])
    return Erased(names, n_events, n_impressions, existed)
