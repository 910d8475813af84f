"""Tables of the database, in SQLAlchemy Core; the migrations build exactly these (a test compares them).

Times are seconds since 1970 in UTC. JSON is text that Python wrote, so that both databases give back the same bytes.
Ids are compared byte by byte in both databases, so that pages have one order.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

ID = Text().with_variant(Text(collation="C"), "postgresql")
"""Ids, compared by their bytes: SQLite's own order, and PostgreSQL's collation "C"."""
SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")
"""Numbers that the database counts up; SQLite does so for INTEGER columns only."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("user_id", ID, primary_key=True),
    Column("attributes", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)
"""Users and sessions (see `ids.session_user`); an id that was merged into another is in `merges` instead."""

events = Table(
    "events",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("key", LargeBinary, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("event_id", ID),
    Column("user_id", ID, ForeignKey("users.user_id"), nullable=False),
    Column("item_id", ID, nullable=False),
    Column("type", ID, nullable=False),
    Column("time", Double, nullable=False),
    Column("value", Double),
    Column("recommendation_id", ID),
    Column("position", Integer),
    Column("properties", Text),
    Column("received", Double, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, so the order of arrival outlives deletions
)
"""Events; `key` makes them idempotent and `body` tells a retry from another event (see `event_rows`)."""
# Histories are read from this index alone: a user's events lie next to each other in it, and all over the table.
Index(None, events.c.user_id, events.c.time, events.c.seq, events.c.item_id, events.c.type)
Index(
    "ix_events_recommendation_id",
    events.c.recommendation_id,
    sqlite_where=events.c.recommendation_id.is_not(None),
    postgresql_where=events.c.recommendation_id.is_not(None),
)
Index("ix_events_time", events.c.time)

merges = Table(
    "merges",
    metadata,
    Column("from_id", ID, primary_key=True),
    Column("into_id", ID, ForeignKey("users.user_id"), nullable=False, index=True),
    Column("time", Double, nullable=False),
)
"""Ids whose events belong to another user; `into_id` is always the last of a chain."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("time", Double, nullable=False),
)
"""SHA-256 of the ids of erased users, so that the id itself is gone, too."""

counters = Table(
    "counters",
    metadata,
    Column("name", ID, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers that count changes: `items` is the revision of the items."""

models = Table(
    "models",
    metadata,
    Column("name", ID, primary_key=True),
    Column("version", ID, nullable=False),
    Column("folder", Text, nullable=False),
    Column("state", ID, nullable=False),
    Column("details", Text, nullable=False),
    Column("created", Double, nullable=False),
)
"""Models that were loaded, and which of them is active."""

impressions = Table(
    "impressions",
    metadata,
    Column("recommendation_id", ID, primary_key=True),
    Column("user_id", ID),
    Column("time", Double, nullable=False, index=True),
    Column("variant", ID, nullable=False),
    Column("snapshot", ID, nullable=False),
    Column("scenario", ID),
    Column("request", Text, nullable=False),
    Column("items", Text, nullable=False),
    Column("fallback", ID),
    Column("details", Text, nullable=False, server_default="{}"),
)
"""Answers that were given: the request, the items with ranks, scores and sources, and further facts, as JSON."""
Index(None, impressions.c.user_id, impressions.c.time)

keys = Table(
    "keys",
    metadata,
    Column("name", ID, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("revoked", Double),
)
"""Keys of the service, as SHA-256 of the secret."""
