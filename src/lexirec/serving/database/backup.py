"""Backups: a copy of a SQLite database while it is in use."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from lexirec.core.files import sync
from lexirec.serving.database.access import Access
from lexirec.serving.database.connections import failure_of, is_postgresql, shown, told
from lexirec.serving.database.errors import DatabaseError


def back_up(access: Access, out: Path | str) -> Path:
    """Write a copy of a SQLite database while it is in use; the copy is a database that opens.

    Raises:
        DatabaseError: the database is PostgreSQL (the line says what to run), the file exists, or the disk is full.
    """
    path = Path(out)
    if is_postgresql(access.engine):
        address = shown(access.engine.url.set(drivername="postgresql", password=None))
        raise DatabaseError(f"PostgreSQL is backed up by its own program: pg_dump -Fc -f {path} '{address}'")
    if path.exists():
        raise DatabaseError(f"{path} exists; name a new file, or remove it.")
    if not path.parent.is_dir():
        raise DatabaseError(f"{path}: the folder does not exist; create it or name another one.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch(mode=0o600)  # VACUUM takes an empty file; the copy is its owner's alone, as the database is
        with access.engine.connect() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(partial),))
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except DBAPIError as error:
        raise told(failure_of(error), access.engine) from None
    finally:
        partial.unlink(missing_ok=True)
    return path
