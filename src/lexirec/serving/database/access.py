"""What all stores share: the engine for reading, the writer, the clock, and errors told in one line."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lexirec.serving.database.connections import CONSISTENT, failure_of, is_postgresql, reason, told
from lexirec.serving.database.errors import BadCursorError, BadValueError
from lexirec.serving.database.writer import Writer

_log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_PAGE = 1_000


class Access:
    """A database as its stores see it.

    Attributes:
        engine: Connections, for `read` and for long streams.
        writer: The one thread that writes.
        clock: Seconds since 1970.
    """

    def __init__(self, engine: Engine, writer: Writer, clock: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.writer = writer
        self.clock = clock
        # One statement needs no transaction: PostgreSQL is spared two round trips, SQLite begins none by itself.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT") if is_postgresql(engine) else engine

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run queries, each of which sees what was committed before it; once more if the connection was lost.

        Raises:
            DatabaseError: the database does not answer; the line has no password and no SQL.
        """
        for last in (False, True):
            try:
                with self._reading.connect() as connection:
                    return query(connection)
            except SQLAlchemyError as error:
                if not last and isinstance(error, DBAPIError) and error.connection_invalidated:
                    continue  # a server that was restarted: the pool has new connections now
                _log.error("a query failed: %s", reason(error))
                raise told(failure_of(error), self.engine) from None
        raise AssertionError("unreachable")

    def read_at_once(self, query: Callable[[Connection], T]) -> T:
        """Run queries that all see one state of the database, as `read` does otherwise."""
        if is_postgresql(self.engine):
            options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"}
        else:
            options = {CONSISTENT: True}
        try:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                return query(connection)
        except SQLAlchemyError as error:
            raise told(failure_of(error), self.engine) from None


def page_size(limit: int) -> int:
    """Return the size of a page.

    Raises:
        BadValueError: it is not allowed.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise BadValueError(f"limit is {limit}; allowed are 1 to {MAX_PAGE:,}.")
    return limit


def cursor_of(*parts: Any) -> str:
    """Return the opaque cursor of the last row of a page."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type) -> list[Any]:
    """Return the parts of a cursor, which have the given types.

    Raises:
        BadCursorError: no page gave out this cursor.
    """
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if isinstance(parts, list) and [type(part) for part in parts] == list(kinds) and all(map(_storable, parts)):
            return parts
    except (ValueError, binascii.Error, RecursionError):
        pass
    raise BadCursorError("the cursor is not one that a page gave out; start again without a cursor.")


def _storable(part: Any) -> bool:
    """Whether a database takes a value: what somebody wrote into a cursor by hand may be anything."""
    if isinstance(part, str):
        return not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in part)
    return math.isfinite(part) if isinstance(part, float) else abs(part) < 2**63
