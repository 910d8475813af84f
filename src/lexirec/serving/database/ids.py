"""Ids of users, sessions, items and events: what is allowed, and where sessions stand among the users.

A session is a user nobody knows yet. It lives in the same tables under the reserved prefix `session:`, so user "77"
and session "77" are two, and every operation on users (history, merge, erasure) works for sessions, too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from hashlib import sha256

from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.serving.database.errors import BadValueError

MAX_ID = 256
SESSION_PREFIX = "session:"
_NULL_WORDS = frozenset(NULL_WORDS)


def session_user(session_id: str) -> str:
    """Return the user id under which a session is stored."""
    return SESSION_PREFIX + session_id


def is_session(user_id: str) -> bool:
    """Whether a user id is a session's."""
    return user_id.startswith(SESSION_PREFIX)


def id_problem(name: str, value: object, longest: int = MAX_ID) -> str | None:
    """Return what is wrong with an id, as one line, or None.

    Ids that tables read as missing values ("null", "NA", blanks) are refused, because exported events would be.
    """
    if not isinstance(value, str):
        return f"{name} is {_kind(value)}; allowed are texts of 1 to {longest} characters"
    if not value or len(value) > longest:
        return f"{name} has {len(value):,} characters; allowed are 1 to {longest}"
    if not value.isprintable():
        bad = next((each for each in value if unicodedata.category(each) in ("Cc", "Cs")), None)
        if bad is not None:
            return f"{name} holds the control character U+{ord(bad):04X}; allowed is printable text"
    if value.strip() in _NULL_WORDS or not value.strip():
        return f"{name} is {value!r}, which tables read as a missing value; use another id"
    return None


def user_problem(user_id: object) -> str | None:
    """Return what is wrong with the id of a user or session, or None."""
    if isinstance(user_id, str) and is_session(user_id):
        return id_problem("session_id", user_id.removeprefix(SESSION_PREFIX))
    return id_problem("user_id", user_id)


def possible_users(user_ids: Iterable[str]) -> list[str]:
    """Return the ids that users may have, each once: others are of nobody, and databases may not even take them."""
    return [each for each in dict.fromkeys(user_ids) if user_problem(each) is None]


def possible_ids(ids: Iterable[str]) -> list[str]:
    """Return the ids that items, events and answers may have, each once."""
    return [each for each in dict.fromkeys(ids) if id_problem("id", each) is None]


def checked_user(user_id: str) -> str:
    """Return the id of a user or session.

    Raises:
        BadValueError: it is not allowed.
    """
    problem = user_problem(user_id)
    if problem is not None:
        raise BadValueError(f"{problem}.")
    return user_id


def checked(name: str, value: str, longest: int = MAX_ID) -> str:
    """Return an id.

    Raises:
        BadValueError: it is not allowed.
    """
    problem = id_problem(name, value, longest)
    if problem is not None:
        raise BadValueError(f"{problem}.")
    return value


def digest_of(user_id: str) -> bytes:
    """Return what stands for an erased user's id."""
    return sha256(user_id.encode()).digest()


def _kind(value: object) -> str:
    kinds = {type(None): "missing", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), f"of type {type(value).__name__}")
