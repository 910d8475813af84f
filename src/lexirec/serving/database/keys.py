"""Keys of the service: 32 random bytes that are shown once, stored as SHA-256, with scopes, and revocable."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, select, update

from lexirec.core.errors import did_you_mean
from lexirec.serving.database.access import Access
from lexirec.serving.database.errors import BadValueError, ConflictError, NotFoundError
from lexirec.serving.database.ids import checked
from lexirec.serving.database.tables import keys
from lexirec.serving.database.upserts import insert_if_new
from lexirec.serving.database.write_queue import single

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
SECRET_BYTES = 32
MAX_NAME = 64
FRESH_SECONDS = 1.0
"""How long `check` trusts what it read: a key that another process revokes is refused after this time."""
_PREFIX = "lexirec_"


@dataclass(frozen=True)
class Key:
    """A key without its secret.

    Attributes:
        name: Its name, which logs may show.
        scopes: What it may do; admin may do everything.
        created: Time in seconds since 1970.
        revoked: Time of its revocation, or None.
    """

    name: str
    scopes: frozenset[str]
    created: float
    revoked: float | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the key has a scope."""
        return scope in self.scopes or "admin" in self.scopes


class KeyStore:
    """The keys of a database."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._read: tuple[float, list[tuple[bytes, Key]]] | None = None

    def add(self, name: str, scopes: Collection[str]) -> str:
        """Make a key and return its secret, which is stored nowhere.

        Raises:
            BadValueError: the name or a scope is not allowed.
            ConflictError: there is, or was, a key of this name.
        """
        checked("name", name, MAX_NAME)
        for scope in scopes:
            if scope not in SCOPES:
                raise BadValueError(f"scope '{scope}'; allowed are {', '.join(SCOPES)}.{did_you_mean(scope, SCOPES)}")
        if not scopes:
            raise BadValueError(f"a key needs a scope; allowed are {', '.join(SCOPES)}.")
        secret = _PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        row = {
            "name": name,
            "hash": _hash(secret),
            "scopes": ",".join(scope for scope in SCOPES if scope in scopes),
            "created": self._access.clock(),
            "revoked": None,
        }

        def run(connection: Connection) -> bool:
            insert_if_new(connection, keys, [row])
            return connection.scalar(select(keys.c.hash).where(keys.c.name == name)) == row["hash"]

        if not self._access.writer.submit(single(run)).result():
            raise ConflictError(f"there is a key '{name}' already, or there was; choose another name.")
        self._read = None
        return secret

    def every(self) -> list[Key]:
        """Return all keys in order of their names, revoked ones, too."""
        query = select(keys).order_by(keys.c.name)
        return self._access.read(lambda connection: [_key(row) for row in connection.execute(query)])

    def revoke(self, name: str) -> Key:
        """Revoke a key, at once in this process and within `FRESH_SECONDS` in others; return it.

        Raises:
            NotFoundError: there is no such key.
        """
        now = self._access.clock()
        unrevoked = update(keys).where(keys.c.name == name, keys.c.revoked.is_(None)).values(revoked=now)

        def run(connection: Connection) -> Key | None:
            connection.execute(unrevoked)
            row = connection.execute(select(keys).where(keys.c.name == name)).one_or_none()
            return None if row is None else _key(row)

        key = self._access.writer.submit(single(run)).result()
        if key is None:
            names = [each.name for each in self.every()]
            raise NotFoundError(f"there is no key '{name}'.{did_you_mean(name, names)}")
        self._read = None
        return key

    def check(self, secret: str) -> Key | None:
        """Return the key that a secret belongs to; None for an unknown or revoked one.

        The secret's hash is compared with that of every key in constant time.
        """
        given = _hash(secret)
        found: Key | None = None
        for stored, key in self._valid():
            if hmac.compare_digest(stored, given):
                found = key
        return found

    def forget(self) -> None:
        """Read the keys from the database before the next one is checked."""
        self._read = None

    def in_use(self) -> bool:
        """Whether there is a key that is not revoked."""
        return bool(self._valid())

    def _valid(self) -> list[tuple[bytes, Key]]:
        read = self._read
        if read is None or time.monotonic() - read[0] > FRESH_SECONDS:
            started = time.monotonic()
            query = select(keys).where(keys.c.revoked.is_(None))
            rows = self._access.read(lambda connection: connection.execute(query).all())
            read = self._read = (started, [(bytes(row.hash), _key(row)) for row in rows])
        return read[1]


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _key(row: Row[Any]) -> Key:
    return Key(row.name, frozenset(row.scopes.split(",")), row.created, row.revoked)
