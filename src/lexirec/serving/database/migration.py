"""The schema of a database: created in an empty one, checked in every other, and brought up to date when asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, Text, column, inspect, select, table, text

from lexirec.serving.database.connections import WRITING, is_postgresql, shown
from lexirec.serving.database.errors import SchemaError

REVISIONS = ("lexirec_0001", "lexirec_0002")
"""All revisions of the schema, oldest first; alembic's folder holds the same (a test compares them)."""
_FOLDER = Path(__file__).parent / "migrations"
_PREFIX = "lexirec_"
_LOCK = 0x6C657869  # any number that other programs do not use for their advisory locks
_VERSION = table("alembic_version", column("version_num", Text))


def prepare(engine: Engine, *, migrate: bool) -> None:
    """Create the tables of an empty database, and check or migrate those of any other.

    Args:
        engine: The database.
        migrate: Bring an older schema up to date; otherwise it is refused.

    Raises:
        SchemaError: the database has an older or newer schema, or tables of something else.
    """
    with engine.connect() as connection:
        revision = _revision(connection)
        if revision == REVISIONS[-1]:
            return
        if revision is not None or inspect(connection).get_table_names():
            _check(engine, revision, migrate)
    with engine.connect().execution_options(**{WRITING: True}) as connection, connection.begin(), _alone(connection):
        if _revision(connection) == revision:  # else another process has just done it
            _upgrade(connection)


def current_revision(engine: Engine) -> str | None:
    """Return the revision of a database's schema; None where it has none."""
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(select(_VERSION.c.version_num)).scalar()


def _check(engine: Engine, revision: str | None, migrate: bool) -> None:
    """Refuse a schema that is not to be migrated."""
    where = shown(engine.url)
    if revision is None or not revision.startswith(_PREFIX):
        raise SchemaError(f"{where} holds tables of something else than lexirec; name another database.")
    if revision not in REVISIONS:
        raise SchemaError(
            f"{where} was written by a newer lexirec (schema {revision}, this one knows {REVISIONS[-1]}); install that"
            " version, or restore a backup made before it."
        )
    if not migrate:
        raise SchemaError(
            f"{where} was written by an older lexirec (schema {revision}, this one needs {REVISIONS[-1]}); back it up,"
            " then run: lexirec serve NAME --migrate"
        )


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Keep other processes from migrating: SQLite's write lock does so by itself."""
    if is_postgresql(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    yield


def _upgrade(connection: Connection) -> None:
    """Run the missing revisions inside the connection's transaction: all of them or, after a crash, none."""
    from alembic.config import Config  # costs a second, and only a new or older database needs it
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    environment = EnvironmentContext(
        config,
        scripts,
        fn=lambda revision, _: scripts._upgrade_revs("head", revision),
    )
    environment.configure(connection=connection, transactional_ddl=True)
    environment.run_migrations()
