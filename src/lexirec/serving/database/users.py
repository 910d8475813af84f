"""Users: their histories for a batch of requests in one query, their attributes, merges and erasure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, delete, func, select

from lexirec.serving.database import identities
from lexirec.serving.database.access import Access
from lexirec.serving.database.errors import BadValueError
from lexirec.serving.database.event_rules import UserEvents
from lexirec.serving.database.events import EventStore
from lexirec.serving.database.histories import read_histories
from lexirec.serving.database.identities import Erased, Merged, canonical
from lexirec.serving.database.ids import SESSION_PREFIX, checked_user, possible_users
from lexirec.serving.database.tables import events, merges, tombstones, users
from lexirec.serving.database.upserts import insert_or_update
from lexirec.serving.database.write_queue import single

MAX_ATTRIBUTES = 65_536
_NO_EVENTS = UserEvents()


@dataclass(frozen=True)
class User:
    """A user or session.

    Attributes:
        user_id: The id under which the events are.
        attributes: What `put` stored.
        created: Time of the first event or `put`, in seconds since 1970.
        updated: Time of the last `put` or merge.
        events: Number of events by type.
        first_time: Time of the oldest event, or None.
        last_time: Time of the newest event, or None.
        merged: Other ids that were merged into this user.
    """

    user_id: str
    attributes: Mapping[str, Any]
    created: float
    updated: float
    events: Mapping[str, int] = field(default_factory=dict)
    first_time: float | None = None
    last_time: float | None = None
    merged: tuple[str, ...] = ()


class UserStore:
    """The users of a database."""

    def __init__(self, access: Access, event_store: EventStore) -> None:
        self._access = access
        self._event_store = event_store  # its policy says how long tombstones count

    def histories(self, user_ids: Collection[str], *, newest: int | None = None) -> dict[str, UserEvents]:
        """Return the events of many users with one query, oldest first; ids that were merged have the user's events.

        Args:
            user_ids: Users, or sessions' user ids; those without events get none.
            newest: Number of newest events of each user that come with their times. Of older ones only the pairs of
                item and type come, since an old purchase still counts as seen. None brings all.
        """
        wanted = possible_users(user_ids)
        found = self._access.read(lambda connection: read_histories(connection, wanted, newest)) if wanted else {}
        return {user: found.get(user, _NO_EVENTS) for user in user_ids}

    def get(self, user_id: str) -> User | None:
        """Return a user, also under an id that was merged into theirs; None where there is none."""
        known = possible_users([user_id])
        return self._access.read_at_once(lambda connection: _user(connection, user_id)) if known else None

    def find(self, prefix: str, after: str, limit: int) -> list[tuple[str, int]]:
        """Return users whose ids begin with a text, without sessions, by id, with the number of their events.

        Args:
            prefix: of the ids; "" for all users.
            after: id that the ones returned come after.
            limit: most users.
        """
        count = select(func.count()).where(events.c.user_id == users.c.user_id).scalar_subquery()
        query = select(users.c.user_id, count).where(users.c.user_id > after)
        query = query.where(~users.c.user_id.startswith(SESSION_PREFIX, autoescape=True))
        if prefix:
            query = query.where(users.c.user_id.startswith(prefix, autoescape=True))
        rows = query.order_by(users.c.user_id).limit(limit)
        return self._access.read(lambda connection: [(row[0], row[1]) for row in connection.execute(rows)])

    def put(self, user_id: str, attributes: Mapping[str, Any]) -> Future[str]:
        """Set a user's attributes in place of the earlier ones, and create the user where needed.

        Returns:
            The id of the user who has them now.

        Raises:
            BadValueError: the id or the attributes are not allowed. The future raises ErasedError for an erased user.
        """
        checked_user(user_id)
        written = _attributes(attributes)
        now = self._access.clock()

        def run(connection: Connection) -> str:
            identities.refuse_erased(connection, [user_id], self._erased_since())
            user = canonical(connection, [user_id]).get(user_id, user_id)
            row = {"user_id": user, "attributes": written, "created": now, "updated": now}
            insert_or_update(connection, users, [row], keep=["created"])
            return user

        return self._access.writer.submit(single(run))

    def merge(self, from_id: str, into_id: str) -> Future[Merged]:
        """Give one user's or session's events to another; later events of the old id go there, too. Idempotent.

        Raises:
            BadValueError: an id is not allowed, or both are the same. The future raises ErasedError for an erased user,
                and ConflictError where `from_id` belongs to a third user already.
        """
        if checked_user(from_id) == checked_user(into_id):
            raise BadValueError(f"'{from_id}' cannot be merged into itself; name two users.")

        def run(connection: Connection) -> Merged:
            identities.refuse_erased(connection, [from_id, into_id], self._erased_since())
            return identities.merge(connection, from_id, into_id, self._access.clock())

        return self._access.writer.submit(single(run, alone=True))

    def erase(self, user_id: str) -> Future[Erased]:
        """Remove a user's events, impressions, attributes and merged ids, and refuse late retries. Idempotent.

        Raises:
            BadValueError: the id is not allowed.
        """
        checked_user(user_id)
        now = self._access.clock()
        return self._access.writer.submit(
            single(lambda connection: identities.erase(connection, user_id, now), alone=True)
        )

    def counts(self) -> dict[str, int]:
        """Return the number of `users` and `sessions`."""
        is_session = users.c.user_id.startswith(SESSION_PREFIX, autoescape=True)
        query = select(func.count(), func.coalesce(func.sum(case((is_session, 1), else_=0)), 0)).select_from(users)
        every, sessions = self._access.read(lambda connection: connection.execute(query).one())
        return {"users": every - sessions, "sessions": int(sessions)}

    def purge_tombstones(self) -> int:
        """Remove the tombstones that have expired; return how many."""
        old = delete(tombstones).where(tombstones.c.time < self._erased_since())
        return self._access.writer.submit(single(lambda connection: connection.execute(old).rowcount)).result()

    def _erased_since(self) -> float:
        return self._access.clock() - self._event_store.policy.tombstone_seconds


def _attributes(attributes: Mapping[str, Any]) -> str:
    try:
        written = json.dumps(dict(attributes), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise BadValueError("attributes are no JSON object of texts, numbers, true, false, null and lists.") from None
    if len(written) > MAX_ATTRIBUTES:
        raise BadValueError(f"attributes have {len(written):,} bytes; allowed are {MAX_ATTRIBUTES:,}.")
    return written


def _user(connection: Connection, user_id: str) -> User | None:
    user = canonical(connection, [user_id]).get(user_id, user_id)
    row = connection.execute(select(users).where(users.c.user_id == user)).one_or_none()
    if row is None:
        return None
    per_type = select(events.c.type, func.count(), func.min(events.c.time), func.max(events.c.time))
    found = connection.execute(per_type.where(events.c.user_id == user).group_by(events.c.type)).all()
    merged = select(merges.c.from_id).where(merges.c.into_id == user).order_by(merges.c.from_id)
    return User(
        user,
        json.loads(row.attributes),
        row.created,
        row.updated,
        {kind: count for kind, count, _, _ in sorted(map(tuple, found))},
        min((first for _, _, first, _ in found), default=None),
        max((last for _, _, _, last in found), default=None),
        tuple(connection.scalars(merged)),
    )
