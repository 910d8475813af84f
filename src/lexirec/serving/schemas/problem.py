"""The body of every error: RFC 9457, `application/problem+json`."""

from __future__ import annotations

from lexirec.serving.schemas.common import Answer


class ProblemPlace(Answer):
    """One place of a request that is wrong."""

    pointer: str
    """Where it is, as a JSON pointer: `/allow/0`; `#/query/limit`-like places name what is not in the body."""
    detail: str


class ProblemBody(Answer):
    """An error: what was given, where, what is allowed and what to do."""

    type: str
    """`/problems/KIND`, a page of the service."""
    title: str
    status: int
    detail: str
    instance: str | None = None
    """Id of the request, as in the header X-Request-ID and in the log."""
    errors: tuple[ProblemPlace, ...] = ()
    """The wrong places, where there are several."""
