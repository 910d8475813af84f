"""What a database refuses, each error with the `kind` by which the service names the problem."""

from __future__ import annotations

from typing import ClassVar

from lexirec.core.errors import LexirecError


class DatabaseError(LexirecError):
    """Base class of what a database refuses; the message is one line for the user."""

    kind: ClassVar[str] = "storage"


class SchemaError(DatabaseError):
    """The database has another schema than this version of lexirec."""

    kind = "schema"


class OverloadedError(DatabaseError):
    """More rows wait for the writer than may wait; try again later."""

    kind = "overloaded"


class StorageFullError(DatabaseError):
    """The disk is full: nothing was written, reads go on, and writing resumes when there is space."""

    kind = "storage-full"


class StorageUnavailableError(DatabaseError):
    """The database does not answer, is locked or cannot be written; what was to be written is not acknowledged."""

    kind = "storage-unavailable"


class BadCursorError(DatabaseError):
    """A cursor that no page gave out."""

    kind = "bad-cursor"


class BadValueError(DatabaseError):
    """An id, row or attribute that the database does not take."""

    kind = "bad-value"


class NotFoundError(DatabaseError):
    """What was to be changed does not exist."""

    kind = "not-found"


class ErasedError(DatabaseError):
    """The user was erased, and nothing is written under this id before the tombstone has expired."""

    kind = "erased"


class ConflictError(DatabaseError):
    """The name or id is taken by something else."""

    kind = "conflict"
