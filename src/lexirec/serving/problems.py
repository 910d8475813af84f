"""Problems: errors of requests with a kind, a status and one line for the client (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lexirec.core.errors import LexirecError
from lexirec.core.printable import printable
from lexirec.serving.schemas.problem import ProblemBody, ProblemPlace

MEDIA_TYPE = "application/problem+json"
LONGEST_DETAIL = 500
_FOLDERS = re.compile(r"(?<![\w/.:])/(?:[^\s/'\"()]+/)+")


class ProblemKind(NamedTuple):
    """A kind of problem: status of the answer, title, and what its page says to do."""

    status: int
    title: str
    advice: str


KINDS: dict[str, ProblemKind] = {
    "bad-request": ProblemKind(400, "The request cannot be read", "Send JSON in UTF-8, as the API's pages show."),
    "unauthorized": ProblemKind(
        401, "A key is needed", "Send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'; lexirec key add makes one."
    ),
    "forbidden": ProblemKind(403, "The key lacks the scope", "Use a key with the scope that the message names."),
    "not-found": ProblemKind(404, "There is no such thing", "Check the path and the id; ids with '/' go into bodies."),
    "method-not-allowed": ProblemKind(405, "The method is not allowed here", "Use a method of the header Allow."),
    "timeout": ProblemKind(408, "The request arrived too slowly", "Send headers and body at once."),
    "conflict": ProblemKind(409, "The request contradicts what is stored", "Read the present state, then decide."),
    "too-large": ProblemKind(413, "The request is too large", "Send fewer rows at a time."),
    "unsupported-media-type": ProblemKind(
        415, "The media type is not read here", "Send application/json (events and items also application/x-ndjson)."
    ),
    "invalid-request": ProblemKind(422, "A value is not allowed", "The message and 'errors' say which and why."),
    "unknown-field": ProblemKind(422, "A field does not exist", "Check its spelling; no field is ignored."),
    "invalid-filter": ProblemKind(
        422, "A filter cannot be used", "Write field=value; the operators are = != ~ < <= > >=, and quotes keep signs."
    ),
    "unknown-item": ProblemKind(422, "An item is unknown", "Send items first, or on_unknown='skip' to leave them out."),
    "erased-user": ProblemKind(422, "The user was erased", "Late events of an erased user are refused for 30 days."),
    "rejected": ProblemKind(422, "The row was not taken", "The message says why."),
    "rate-limited": ProblemKind(429, "Too many requests", "Wait as long as the header Retry-After says."),
    "head-too-large": ProblemKind(431, "The head of the request is too large", "Send fewer and shorter headers."),
    "internal": ProblemKind(500, "The service failed", "Report it with the id of the request; the log has the cause."),
    "overloaded": ProblemKind(503, "Too many requests wait", "Try again after the time in the header Retry-After."),
    "not-ready": ProblemKind(503, "The service is not ready", "Ask /health/ready, which says what is missing."),
    "deadline": ProblemKind(503, "The model did not answer in time", "Raise timeout_ms, or allow the fallback."),
    "storage-full": ProblemKind(507, "Nothing can be written", "Free space for the database; reading goes on."),
}
"""Kinds of problems by the last part of their `type`."""
RETRY_SECONDS = {"overloaded": 1, "not-ready": 1, "storage-full": 30}
"""Seconds of the header Retry-After."""


class ProblemError(LexirecError):
    """A problem that ends a request.

    Attributes:
        kind: of `KINDS`.
        places: The wrong places of the request.
        headers: Further headers of the answer.
    """

    def __init__(
        self, kind: str, detail: str, places: Sequence[tuple[str, str]] = (), headers: dict[str, str] | None = None
    ) -> None:
        """Make a problem; `detail` says what was given, where, what is allowed and what to do."""
        super().__init__(detail)
        self.kind, self.detail, self.places = kind, detail, tuple(places)
        self.headers = dict(headers or {})
        if kind in RETRY_SECONDS:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS[kind]))

    @property
    def status(self) -> int:
        """Status of the answer."""
        return KINDS[self.kind].status

    def body(self, instance: str | None = None) -> ProblemBody:
        """Return the body of the answer; `instance` is the id of the request."""
        kind = KINDS[self.kind]
        places = tuple(ProblemPlace(pointer=_short(pointer), detail=_short(detail)) for pointer, detail in self.places)
        return ProblemBody(
            type=f"/problems/{self.kind}",
            title=kind.title,
            status=kind.status,
            detail=_short(self.detail),
            instance=instance,
            errors=places,
        )


def _short(text: str) -> str:
    line = printable(" ".join(text.encode("utf-8", "replace").decode("utf-8").split()))
    return line if len(line) <= LONGEST_DETAIL else f"{line[:LONGEST_DETAIL]}…"


def for_clients(error: LexirecError) -> str:
    """Return the message of an error without the folders of the files that it names."""
    return _FOLDERS.sub("", str(error))
