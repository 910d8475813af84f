"""Exceptions for users' mistakes, each with a one-line message.

Every error a user can cause derives from `LexirecError`; the command line prints its message on one line and exits
with status 1. The message says what was given, where, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LexirecError(Exception):
    """Base class of users' mistakes; the message is one line for the user."""


class DataError(LexirecError):
    """A table, file or vector that cannot be used as it is."""


class SettingsError(LexirecError):
    """A setting that does not exist or has a value that is not allowed."""


class ArtifactError(LexirecError):
    """A stored artifact that is missing, damaged or belongs to other inputs."""


class TrainingError(LexirecError):
    """A training that diverged, or a fitted model whose weights or scores are not finite."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest allowed word, or an empty string when none is close."""
    close = close_to(given, allowed)
    return f" Did you mean '{close}'?" if close is not None else ""


def close_to(given: str, allowed: Iterable[str]) -> str | None:
    """Return the closest allowed word, or None when none is close."""
    return next(iter(difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.6)), None)
