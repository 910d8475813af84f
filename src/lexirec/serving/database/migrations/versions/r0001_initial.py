"""The first schema: users, events, merges, tombstones, items, versions, models, impressions, keys and jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "lexirec_0001"
down_revision = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables."""
    _people()
    _catalog()
    _service()


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
    )
    op.create_table(
        "events",
        sa.Column("seq", _SEQUENCE, autoincrement=True),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("event_id", _ID),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("type", _ID, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("recommendation_id", _ID),
        sa.Column("position", sa.Integer),
        sa.Column("properties", sa.Text),
        sa.Column("received", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sa.UniqueConstraint("key", name="uq_events_key"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_events_user_id"),
        sqlite_autoincrement=True,
    )
    history = ["user_id", "time", "seq", "item_id", "type"]
    op.create_index(f"ix_events_{'_'.join(history)}", "events", history)
    op.create_index("ix_events_time", "events", ["time"])
    given = sa.text("recommendation_id IS NOT NULL")
    op.create_index(
        "ix_events_recommendation_id", "events", ["recommendation_id"], sqlite_where=given, postgresql_where=given
    )
    op.create_table(
        "merges",
        sa.Column("from_id", _ID, nullable=False),
        sa.Column("into_id", _ID, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("from_id", name="pk_merges"),
        sa.ForeignKeyConstraint(["into_id"], ["users.user_id"], name="fk_merges_into_id"),
    )
    op.create_index("ix_merges_into_id", "merges", ["into_id"])
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_tombstones"),
    )


def _catalog() -> None:
    op.create_table(
        "items",
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("row", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("state", _ID, nullable=False),
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.Column("available_from", sa.Double),
        sa.Column("available_until", sa.Double),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_items"),
    )
    op.create_index("ix_items_state", "items", ["state"])
    op.create_index("ix_items_revision", "items", ["revision"])
    op.create_table(
        "counters",
        sa.Column("name", _ID, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.create_table(
        "catalog_versions",
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("parent", sa.Integer),
        sa.Column("model", _ID, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_catalog_versions"),
    )
    op.create_table(
        "models",
        sa.Column("name", _ID, nullable=False),
        sa.Column("version", _ID, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("state", _ID, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )


def _service() -> None:
    op.create_table(
        "impressions",
        sa.Column("recommendation_id", _ID, nullable=False),
        sa.Column("user_id", _ID),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("variant", _ID, nullable=False),
        sa.Column("snapshot", _ID, nullable=False),
        sa.Column("scenario", _ID),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("items", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("recommendation_id", name="pk_impressions"),
    )
    op.create_index("ix_impressions_time", "impressions", ["time"])
    op.create_index("ix_impressions_user_id_time", "impressions", ["user_id", "time"])
    op.create_table(
        "keys",
        sa.Column("name", _ID, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("revoked", sa.Double),
        sa.PrimaryKeyConstraint("name", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("state", _ID, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("lease", sa.Double),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
