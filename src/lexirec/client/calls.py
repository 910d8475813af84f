"""Calls of the service as data, the same for both clients: method, path, body, and the model of the answer."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from lexirec.core.errors import LexirecError
from lexirec.serving.schemas.evaluation import EvaluationAnswer, PastRecommendation
from lexirec.serving.schemas.events import (
    ErasedAnswer,
    EventPage,
    EventsAnswer,
    MergeAnswer,
    NewEvent,
    UserAnswer,
    UserBody,
)
from lexirec.serving.schemas.problem import ProblemBody
from lexirec.serving.schemas.recommend import (
    BatchAnswer,
    RankRequest,
    Recommendation,
    RecommendRequest,
    SimilarAnswer,
    SimilarRequest,
)
from lexirec.serving.schemas.service import HealthAnswer, InfoAnswer

A = TypeVar("A", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)
RETRIED = (408, 429, 502, 503, 504)
"""Statuses after which a request is sent again."""
_LONGEST_PAUSE = 10.0


class ServiceError(LexirecError):
    """The service refused a request, or could not be reached.

    Attributes:
        status: of the answer; None where there was none.
        problem: what the service says; None where it says nothing that can be read.
    """

    def __init__(self, message: str, status: int | None = None, problem: ProblemBody | None = None) -> None:
        """Make an error of a message, a status and a problem."""
        super().__init__(message)
        self.status, self.problem = status, problem


@dataclass(frozen=True)
class Call(Generic[A]):
    """One call.

    Attributes:
        method: of HTTP.
        path: below the address of the service.
        answer: the model of the answer.
        body: JSON text; None for none.
        query: of the address.
        ok: further statuses whose body is an answer.
    """

    method: str
    path: str
    answer: type[A]
    body: str | None = None
    query: Mapping[str, str] | None = None
    ok: tuple[int, ...] = ()


def checked(kind: type[B], values: Mapping[str, Any]) -> B:
    """Return the model of a body.

    Raises:
        ServiceError: a value is not allowed, or a field does not exist.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise ServiceError(f"{place or kind.__name__}: {problem['msg']}; given is {problem['input']!r}") from None


def body_of(model: BaseModel) -> str:
    """Return the JSON of a body: the fields that were given."""
    return model.model_dump_json(exclude_unset=True, by_alias=True)


def recommend(values: Mapping[str, Any]) -> Call[Recommendation]:
    """Return the call for a list."""
    return Call("POST", "/v1/recommend", Recommendation, body_of(checked(RecommendRequest, values)))


def rank(values: Mapping[str, Any]) -> Call[Recommendation]:
    """Return the call that ranks candidates."""
    return Call("POST", "/v1/rank", Recommendation, body_of(checked(RankRequest, values)))


def batch(requests: Sequence[Mapping[str, Any]]) -> Call[BatchAnswer]:
    """Return the call for several lists."""
    parts = ",".join(body_of(checked(RecommendRequest, values)) for values in requests)
    return Call("POST", "/v1/recommend/batch", BatchAnswer, f'{{"requests":[{parts}]}}')


def similar(values: Mapping[str, Any]) -> Call[SimilarAnswer]:
    """Return the call for similar items."""
    return Call("POST", "/v1/similar", SimilarAnswer, body_of(checked(SimilarRequest, values)))


def send_events(events: Iterable[Mapping[str, Any] | NewEvent], *, atomic: bool) -> Call[EventsAnswer]:
    """Return the call that stores events; those without an id get one, so that a repeated call counts once."""
    rows = [event if isinstance(event, NewEvent) else checked(NewEvent, event) for event in events]
    named = [row if row.event_id else row.model_copy(update={"event_id": secrets.token_hex(16)}) for row in rows]
    parts = ",".join(row.model_dump_json(exclude_none=True) for row in named)
    query = {"atomic": "true"} if atomic else None
    return Call("POST", "/v1/events", EventsAnswer, f'{{"events":[{parts}]}}', query)


def user(user_id: str) -> Call[UserAnswer]:
    """Return the call for a user."""
    return Call("GET", f"/v1/users/{in_path(user_id)}", UserAnswer)


def set_user(user_id: str, attributes: Mapping[str, Any]) -> Call[UserAnswer]:
    """Return the call that sets a user's attributes."""
    body = body_of(checked(UserBody, {"attributes": attributes}))
    return Call("PUT", f"/v1/users/{in_path(user_id)}", UserAnswer, body)


def erase_user(user_id: str) -> Call[ErasedAnswer]:
    """Return the call that erases a user."""
    return Call("DELETE", f"/v1/users/{in_path(user_id)}", ErasedAnswer)


def merge(user_id: str, session_id: str) -> Call[MergeAnswer]:
    """Return the call that gives a session's events to a user."""
    body = json.dumps({"from_session": session_id})
    return Call("POST", f"/v1/users/{in_path(user_id)}/merge", MergeAnswer, body)


def user_events(user_id: str, limit: int, cursor: str | None) -> Call[EventPage]:
    """Return the call for a page of a user's events."""
    query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
    return Call("GET", f"/v1/users/{in_path(user_id)}/events", EventPage, query=query)


def recommendation(recommendation_id: str, *, explain: bool) -> Call[PastRecommendation]:
    """Return the call for a list that was answered."""
    query = {"explain": "true"} if explain else None
    return Call("GET", f"/v1/recommendations/{in_path(recommendation_id)}", PastRecommendation, query=query)


def evaluation(variant: str | None, days: int, k: int, since: date | None = None) -> Call[EvaluationAnswer]:
    """Return the call for online figures."""
    query = {"days": str(days), "k": str(k)} | ({"variant": variant} if variant else {})
    query |= {"since": since.isoformat()} if since is not None else {}
    return Call("GET", "/v1/evaluation", EvaluationAnswer, query=query)


def info() -> Call[InfoAnswer]:
    """Return the call for the service's description of itself."""
    return Call("GET", "/v1/info", InfoAnswer)


def ready() -> Call[HealthAnswer]:
    """Return the call that asks whether the service is ready."""
    return Call("GET", "/health/ready", HealthAnswer, ok=(503,))


def in_path(given: str) -> str:
    """Return an id as it stands in a path.

    Raises:
        ServiceError: it holds a '/', which no path can.
    """
    if "/" in given:
        raise ServiceError(
            f"'{given}' holds a '/', which no path of the service can; use the routes that take ids in bodies"
        )
    return quote(given, safe="")


# ------------------------------------------------------------------------------------------------ answers and retries


def decode(call: Call[A], response: httpx.Response) -> A:
    """Return the answer of a response.

    Raises:
        ServiceError: the service refused, or answered with something else.
    """
    if response.is_success or response.status_code in call.ok:
        try:
            return call.answer.model_validate_json(response.content)
        except ValidationError as error:
            if response.is_success:
                raise ServiceError(
                    f"{call.method} {call.path}: the answer is not that of the service ({error.errors()[0]['msg']})",
                    response.status_code,
                ) from None
    try:
        problem = ProblemBody.model_validate_json(response.content)
    except ValidationError:
        text = " ".join(response.text.split())[:200]
        raise ServiceError(
            f"{call.method} {call.path}: status {response.status_code}: {text}", response.status_code
        ) from None
    raise ServiceError(f"{call.method} {call.path}: {problem.detail}", response.status_code, problem)


def pause(attempt: int, response: httpx.Response | None) -> float:
    """Return the seconds to wait before the next try: what the service asks for, else doubling, with jitter."""
    asked = response.headers.get("retry-after", "") if response is not None else ""
    base = float(asked) if asked.isdigit() else 0.1 * 2.0**attempt
    return min(base, _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
