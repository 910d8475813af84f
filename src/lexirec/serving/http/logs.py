"""Logs of the service: one JSON object a line on standard error; users' ids as keyed hashes by default."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from lexirec.core.printable import printable

REQUESTS = "lexirec.serving.requests"
"""Logger of the lines of requests, whose `extra` has a table `fields`."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, message, fields, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class UserNames:
    """Names of users in logs."""

    def __init__(self, plain: bool) -> None:
        """Choose plain ids, or hashes under a key that is new with each start."""
        self._key = None if plain else secrets.token_bytes(16)

    def of(self, user_id: str | None) -> str | None:
        """Return the name of a user: the id itself, or 16 digits of its hash."""
        if user_id is None or self._key is None:
            return user_id
        return hashlib.blake2b(user_id.encode("utf-8", "replace"), key=self._key, digest_size=8).hexdigest()


def log_as_json(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Write the logs of lexirec and of the server as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("lexirec", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = [handler], False
        logger.setLevel(level)
    logging.getLogger("uvicorn.error").handlers[:] = []
    logging.getLogger("uvicorn.error").propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # the lines of requests are ours
