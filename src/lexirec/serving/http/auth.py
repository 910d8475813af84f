"""Who may ask: keys with scopes, checked against the database or the environment's single key."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from fastapi import Header, Request

from lexirec.core.errors import SettingsError
from lexirec.serving.database.keys import SCOPES, KeyStore, Scope
from lexirec.serving.http.rates import RateLimit
from lexirec.serving.problems import ProblemError


class KeyHolder(NamedTuple):
    """Who asks: the name and the scopes of the key."""

    name: str
    scopes: frozenset[str]


ANYBODY = KeyHolder("(none)", frozenset(SCOPES))
"""Who asks where no key is needed."""


class Gate:
    """Checks the key and the rate of every request.

    Attributes:
        open: Whether no key is needed, as none exists.
    """

    def __init__(self, keys: KeyStore, single: str | None, rate: str | None) -> None:
        """Take the stored keys, the environment's single key, and the limit on the rate."""
        self._keys = keys
        self._single = hashlib.sha256(single.encode()).digest() if single else None
        self.limit_rate(rate)

    def limit_rate(self, rate: str | None) -> None:
        """Limit the rate from now on; None for no limit."""
        self._rate = RateLimit(rate) if rate else None

    @property
    def open(self) -> bool:
        """Whether no key is needed, as none exists."""
        return self._single is None and not self._keys.in_use()

    def admit(self, key: str | None, scope: Scope | None, address: str) -> KeyHolder:
        """Return who asks.

        Args:
            key: of the request; None without one.
            scope: that the route needs; None for none.
            address: of the client, for the rate of those without a key.

        Raises:
            ProblemError: the key is missing or unknown, lacks the scope, or asks too often.
        """
        holder = self._holder(key, scope)
        wait = self._rate.take(holder.name if holder is not ANYBODY else address) if self._rate else 0.0
        if wait:
            seconds = max(1, round(wait + 0.5))
            raise ProblemError(
                "rate-limited", f"too many requests; try again in {seconds} s", (), {"Retry-After": str(seconds)}
            )
        return holder

    def _holder(self, key: str | None, scope: Scope | None) -> KeyHolder:
        if scope is None or self.open:
            return ANYBODY
        challenge = {"WWW-Authenticate": "Bearer"}
        if not key:
            message = "no key was sent; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
            raise ProblemError("unauthorized", message, (), challenge)
        holder = self._look_up(key)
        if holder is None:
            raise ProblemError("unauthorized", "the key is unknown or revoked; use another one", (), challenge)
        if scope not in holder.scopes:
            has = ", ".join(sorted(holder.scopes)) or "none"
            raise ProblemError("forbidden", f"the key '{holder.name}' has the scopes {has}; this needs '{scope}'")
        return holder

    def _look_up(self, key: str) -> KeyHolder | None:
        digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        if self._single is not None and hmac.compare_digest(digest, self._single):
            return KeyHolder("environment", frozenset(SCOPES))
        stored = self._keys.check(key)
        if stored is None:
            return None
        return KeyHolder(stored.name, frozenset(scope for scope in SCOPES if stored.may(scope)))


def needs(scope: Scope | None) -> Callable[..., Awaitable[KeyHolder]]:
    """Return a dependency that admits requests with a key of this scope; None for routes without one."""

    async def admit(
        request: Request,
        authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
        x_api_key: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> KeyHolder:
        gate: Gate = request.app.state.service.gate
        word, _, bearer = (authorization or "").partition(" ")
        key = bearer.strip() if word.lower() == "bearer" else x_api_key
        holder = gate.admit(key, scope, request.client.host if request.client else "")
        request.state.request.fields["key"] = holder.name
        return holder

    return admit


def check_address(host: str, *, has_key: bool, insecure: bool) -> None:
    """Check that an address other than loopback is bound with a key only.

    Raises:
        SettingsError: it would be open to everybody.
    """
    if has_key or insecure or is_loopback(host):
        return
    raise SettingsError(
        f"host '{host}' would be open to everybody, as there is no key; make one with lexirec key add NAME, set "
        "LEXIREC_API_KEY, bind 127.0.0.1, or say --insecure"
    )


def is_loopback(host: str) -> bool:
    """Say whether an address reaches this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
