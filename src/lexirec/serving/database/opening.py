"""Open a database: `open_database(url)` checks its schema and returns the stores, which share one writer."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from lexirec.serving.database.access import Access
from lexirec.serving.database.clock import SteadyClock
from lexirec.serving.database.connections import connect, failure_of, parse_url, shown, told
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.event_rows import EventPolicy
from lexirec.serving.database.events import EventStore
from lexirec.serving.database.impressions import ImpressionStore
from lexirec.serving.database.keys import KeyStore
from lexirec.serving.database.migration import REVISIONS, current_revision, prepare
from lexirec.serving.database.models import ModelStore
from lexirec.serving.database.users import UserStore
from lexirec.serving.database.writer import Writer


class Database:
    """An open database.

    Attributes:
        name: Its URL without the password.
        engine: SQLAlchemy's engine.
        writer: The thread that writes.
        access: What the stores share.
        events, users, impressions, keys, models: The stores.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float], policy: EventPolicy | None) -> None:
        self.name = shown(engine.url)
        self.engine = engine
        self.writer = Writer(engine)
        self.access = Access(engine, self.writer, clock)
        self.events = EventStore(self.access, policy)
        self.users = UserStore(self.access, self.events)
        self.impressions = ImpressionStore(self.access, self.events)
        self.keys = KeyStore(self.access)
        self.models = ModelStore(self.access)

    def check(self) -> None:
        """Ask the database for its schema, as a sign of life.

        Raises:
            DatabaseError: it does not answer, or its schema was changed meanwhile.
        """
        try:
            revision = current_revision(self.engine)
        except SQLAlchemyError as error:
            raise told(failure_of(error), self.engine) from None
        if revision != REVISIONS[-1]:
            raise DatabaseError(f"{self.name}: its schema is {revision} now; this version needs {REVISIONS[-1]}.")

    def close(self, timeout: float = 25.0) -> bool:
        """Write what waits and close all connections; return whether everything was written in time."""
        done = self.writer.close(timeout)
        self.engine.dispose()
        return done

    def __enter__(self) -> Self:
        """Return the database, which is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the database."""
        self.close()


def open_database(
    url: str,
    *,
    migrate: bool = False,
    clock: Callable[[], float] | None = None,
    policy: EventPolicy | None = None,
) -> Database:
    """Open a database; a new, empty one gets its tables.

    Args:
        url: `sqlite:///lexirec.db` (a relative path starts from the working directory) or
            `postgresql+psycopg://user:password@host/database`.
        migrate: Bring an older schema up to date; without it, an older one is refused.
        clock: Seconds since 1970; by default the system's, which never goes back.
        policy: Which events are taken.

    Raises:
        SettingsError: the URL is of no database that the service writes to, or the file's folder does not exist.
        SchemaError: the schema is older, newer or of something else.
        DatabaseError: the database does not answer, or the file is none.
    """
    engine = connect(parse_url(url))
    try:
        prepare(engine, migrate=migrate)
    except SQLAlchemyError as error:
        engine.dispose()
        failure = failure_of(error)
        if "not a database" in str(getattr(error, "orig", "")):
            raise DatabaseError(f"{shown(engine.url)}: the file is no SQLite database; name another one.") from None
        raise told(failure, engine) from error
    except BaseException:
        engine.dispose()
        raise
    return Database(engine, clock or SteadyClock(), policy)
