"""Engines: a URL checked, a connection set up the same way each time, and errors told in words without passwords."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.serving.database.errors import DatabaseError, StorageFullError, StorageUnavailableError

WRITING = "lexirec_writing"
"""Execution option of the writer's connection: its transactions take SQLite's write lock at their start."""
CONSISTENT = "lexirec_consistent"
"""Execution option of connections whose queries all see one state, in SQLite."""
POOL_SIZE, POOL_OVERFLOW = 5, 5
PRAGMAS = {"journal_mode": "WAL", "synchronous": "FULL", "busy_timeout": "5000", "foreign_keys": "ON"}
"""What every SQLite connection is set to. FULL keeps acknowledged events when power fails, NORMAL may lose the last."""
_ALLOWED = 'allowed are "sqlite:///lexirec.db" and "postgresql+psycopg://user@host/database"'
_SECRET = re.compile(r"password|passwd|secret|token|passfile", re.IGNORECASE)
_SQLITE_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMOPEN")
_SQLITE_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_SQLITE_BROKEN = ("SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_CORRUPT", "SQLITE_INTERRUPT", "SQLITE_ABORT", "SQLITE_NOTADB")
_SQLITE_READ_ONLY = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
Failure = Literal["full", "lost", "busy", "read-only", "broken", "other"]


def parse_url(text: str) -> URL:
    """Return the URL of a database.

    Raises:
        SettingsError: it is none, or of a database that the service does not write to; the message has no password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(f"storage.url is no URL of a database; {_ALLOWED}.") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        hint = did_you_mean(url.drivername, ("sqlite", "postgresql+psycopg"))
        raise SettingsError(f"storage.url is of '{url.drivername}'; {_ALLOWED}.{hint}")
    if not url.database or url.database == ":memory:" or url.query:
        raise SettingsError(f"storage.url needs the path of a file, without options; {_ALLOWED}.")
    return url


def shown(url: URL) -> str:
    """Return a URL without its password, for messages and logs."""
    query = {name: "hidden" if _SECRET.search(name) else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def connect(url: URL) -> Engine:
    """Return an engine whose connections are all set up; it connects at its first use.

    Raises:
        SettingsError: the folder of a SQLite file does not exist.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    settings = {} if "connect_timeout" in url.query else {"connect_timeout": 5}
    engine = create_engine(
        url, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW, hide_parameters=True, connect_args=settings
    )
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _sqlite(url: URL) -> Engine:
    folder = Path(str(url.database)).parent
    if not folder.is_dir():
        raise SettingsError(f"storage.url: the folder {folder} does not exist; create it or name another one.")
    with suppress(OSError):  # then SQLite says why
        Path(str(url.database)).touch(mode=0o600, exist_ok=True)  # people's events are their owner's alone
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        hide_parameters=True,
        connect_args={"timeout": 5, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says so, not where the driver guesses
    cursor = connection.cursor()
    for name in ("busy_timeout", "journal_mode", "synchronous", "foreign_keys"):  # first how long to wait for a lock
        cursor.execute(f"PRAGMA {name}={PRAGMAS[name]}")
    cursor.execute("PRAGMA secure_delete=ON")  # what was erased is overwritten
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(WRITING):  # a lock that is taken later could be refused in the middle of the transaction
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif options.get(CONSISTENT):
        connection.exec_driver_sql("BEGIN")


def _set_up_postgresql(connection: Any, _: Any) -> None:
    before = connection.autocommit
    connection.autocommit = True
    connection.execute("SET synchronous_commit = on")
    connection.autocommit = before


def is_postgresql(connection: Connection | Engine) -> bool:
    """Whether the database is PostgreSQL."""
    return connection.dialect.name == "postgresql"


# ------------------------------------------------------------------------------------------------------------ errors


def failure_of(error: BaseException) -> Failure:
    """Say what kind of failure a driver's error is; "other" for errors that say nothing about the database's state."""
    if not isinstance(error, DBAPIError):
        return "other"
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name:
        return _sqlite_failure(name)
    if error.connection_invalidated:
        return "lost"
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # the server cannot be reached
        return "lost" if type(error.orig).__name__ == "OperationalError" else "other"
    states: dict[str, Failure] = {
        "53100": "full",
        "40001": "busy",
        "40P01": "busy",
        "55P03": "busy",
        "25006": "read-only",
    }
    return states.get(state, "lost" if state[:2] in ("08", "57", "53") else "other")


def _sqlite_failure(name: str) -> Failure:
    if name in _SQLITE_FULL:
        return "full"
    if name.startswith(_SQLITE_BUSY):
        return "busy"
    if name.startswith(_SQLITE_READ_ONLY):
        return "read-only"
    return "broken" if name.startswith(_SQLITE_BROKEN) else "other"


def told(failure: Failure, engine: Engine) -> DatabaseError:
    """Return the one-line error of a failure; it holds no password and no SQL."""
    where = shown(engine.url)
    match failure:
        case "full":
            return StorageFullError(f"{where}: the disk is full; nothing was written. Free space and try again.")
        case "busy":
            return StorageUnavailableError(f"{where}: another program holds the database's lock; try again.")
        case "read-only":
            return StorageUnavailableError(f"{where}: the database cannot be written; make it writable.")
        case "lost":
            return StorageUnavailableError(f"{where}: the database does not answer; start it or mend the address.")
        case "broken" | "other":
            return DatabaseError(f"{where}: the database failed; the log has the reason.")


def reason(error: BaseException) -> str:
    """Return a driver's own words for the log: one line, without the statement, its values and the rows concerned."""
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return (str(error.orig).splitlines() or [type(error.orig).__name__])[0]
