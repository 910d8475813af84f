"""Impressions say why a simpler model answered, and what else was true of the answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "lexirec_0002"
down_revision = "lexirec_0001"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add two columns; of older rows nothing more is known, and they say nothing."""
    op.add_column("impressions", sa.Column("fallback", _ID))
    op.add_column("impressions", sa.Column("details", sa.Text, nullable=False, server_default="{}"))
    for unused in ("items", "catalog_versions", "jobs"):  # the catalogue is kept in files of the store
        op.drop_table(unused)
