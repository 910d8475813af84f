"""`INSERT … ON CONFLICT`, which both databases have and SQLAlchemy offers in two dialects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from lexirec.serving.database.connections import is_postgresql

Insert = postgresql.Insert | sqlite.Insert


def insert(connection: Connection, table: Table) -> Insert:
    """Return the dialect's INSERT, which has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)


def insert_if_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not there."""
    if rows:
        connection.execute(_if_new(table, is_postgresql(connection)), rows)


@cache
def _if_new(table: Table, on_postgresql: bool) -> Insert:
    return (postgresql.insert(table) if on_postgresql else sqlite.insert(table)).on_conflict_do_nothing()


def insert_or_update(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], keep: Collection[str] = ()
) -> None:
    """Insert rows, and replace those whose primary key is there; columns of `keep` stay as they are then."""
    if not rows:
        return
    statement = insert(connection, table)
    keys = [column.name for column in table.primary_key]
    new = {name: statement.excluded[name] for name in rows[0] if name not in keys and name not in keep}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)
