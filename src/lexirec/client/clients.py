"""`Client` and `AsyncClient`: the calls of `client.calls`, sent and tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import date
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from lexirec.client import calls
from lexirec.client.calls import RETRIED, Call, ServiceError
from lexirec.client.catalog_clients import AsyncCatalogClient, CatalogClient
from lexirec.client.model_clients import AsyncModelClient, ModelClient
from lexirec.serving.schemas.evaluation import EvaluationAnswer, PastRecommendation
from lexirec.serving.schemas.events import (
    ErasedAnswer,
    EventPage,
    EventsAnswer,
    MergeAnswer,
    NewEvent,
    StoredEvent,
    UserAnswer,
)
from lexirec.serving.schemas.recommend import BatchAnswer, Recommendation, SimilarAnswer
from lexirec.serving.schemas.service import HealthAnswer, InfoAnswer

A = TypeVar("A", bound=BaseModel)
Event = Mapping[str, Any] | NewEvent
_JSON = {"content-type": "application/json"}


def _headers(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _lost(url: httpx.URL, error: httpx.TransportError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"{url}: the service cannot be reached ({reason}); is it started?")


class Client(CatalogClient, ModelClient):
    """A client that waits for answers; use it in a `with` statement, from any number of threads."""

    def __init__(
        self, url: str, key: str | None = None, *, timeout: float = 10.0, retries: int = 4, **options: Any
    ) -> None:
        """Connect to a service.

        Args:
            url: Its address, such as `http://127.0.0.1:8000`.
            key: Of the service; None where it has none.
            timeout: Seconds of one try.
            retries: Further tries after a refusal (429, 503 …) or a lost connection.
            options: Of `httpx.Client`, such as `transport`.
        """
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=timeout, **options)
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recommend(self, **request: Any) -> Recommendation:
        """Return a list; arguments are the fields of `RecommendRequest`.

        Raises:
            ServiceError: the service refuses, or cannot be reached.
        """
        return self._send(calls.recommend(request))

    def rank(self, **request: Any) -> Recommendation:
        """Return candidates with their scores; arguments are the fields of `RankRequest`."""
        return self._send(calls.rank(request))

    def recommend_batch(self, requests: Sequence[Mapping[str, Any]]) -> BatchAnswer:
        """Return several lists, or problems in their places."""
        return self._send(calls.batch(requests))

    def similar(self, **request: Any) -> SimilarAnswer:
        """Return items like others; arguments are the fields of `SimilarRequest`."""
        return self._send(calls.similar(request))

    def send_events(self, events: Iterable[Event], *, atomic: bool = False) -> EventsAnswer:
        """Store events; when this returns, those that are not in `rejected` are stored."""
        return self._send(calls.send_events(events, atomic=atomic))

    def user(self, user_id: str) -> UserAnswer:
        """Return a user's attributes and counts."""
        return self._send(calls.user(user_id))

    def set_user(self, user_id: str, **attributes: Any) -> UserAnswer:
        """Set a user's attributes."""
        return self._send(calls.set_user(user_id, attributes))

    def erase_user(self, user_id: str) -> ErasedAnswer:
        """Erase a user: attributes, events and recorded answers."""
        return self._send(calls.erase_user(user_id))

    def merge(self, user_id: str, session_id: str) -> MergeAnswer:
        """Give the events of a session to a user."""
        return self._send(calls.merge(user_id, session_id))

    def user_events(self, user_id: str, limit: int = 100, cursor: str | None = None) -> EventPage:
        """Return a page of a user's events, the newest first."""
        return self._send(calls.user_events(user_id, limit, cursor))

    def all_user_events(self, user_id: str) -> Iterator[StoredEvent]:
        """Yield all events of a user, the newest first."""
        cursor: str | None = None
        while True:
            page = self.user_events(user_id, 1000, cursor)
            yield from page.events
            cursor = page.next_cursor
            if cursor is None:
                return

    def recommendation(self, recommendation_id: str, *, explain: bool = False) -> PastRecommendation:
        """Return a list that was answered, and what came of it; `explain` computes the reasons anew."""
        return self._send(calls.recommendation(recommendation_id, explain=explain))

    def evaluation(
        self, variant: str | None = None, *, days: int = 7, k: int = 10, since: date | None = None
    ) -> EvaluationAnswer:
        """Return online figures of the last days by variant and day."""
        return self._send(calls.evaluation(variant, days, k, since))

    def info(self) -> InfoAnswer:
        """Return what the service says about itself."""
        return self._send(calls.info())

    def ready(self) -> HealthAnswer:
        """Return whether the service is ready, part by part."""
        return self._send(calls.ready(), retries=0)

    def _send(self, call: Call[A], retries: int | None = None) -> A:
        last = self._retries if retries is None else retries
        for attempt in range(last + 1):
            response: httpx.Response | None = None
            try:
                response = self._http.request(
                    call.method, call.path, content=call.body, params=call.query, headers=_JSON if call.body else None
                )
                if attempt == last or response.status_code not in RETRIED:
                    return calls.decode(call, response)
            except httpx.TransportError as error:
                if attempt == last:
                    raise _lost(self._http.base_url, error) from None
            time.sleep(calls.pause(attempt, response))
        raise AssertionError("the last try returns or raises")


class AsyncClient(AsyncCatalogClient, AsyncModelClient):
    """The same for asyncio; use it in an `async with` statement."""

    def __init__(
        self, url: str, key: str | None = None, *, timeout: float = 10.0, retries: int = 4, **options: Any
    ) -> None:
        """Connect to a service; arguments as for `Client`."""
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=timeout, **options)
        self._retries = retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def recommend(self, **request: Any) -> Recommendation:
        """Return a list; arguments are the fields of `RecommendRequest`."""
        return await self._send(calls.recommend(request))

    async def rank(self, **request: Any) -> Recommendation:
        """Return candidates with their scores; arguments are the fields of `RankRequest`."""
        return await self._send(calls.rank(request))

    async def recommend_batch(self, requests: Sequence[Mapping[str, Any]]) -> BatchAnswer:
        """Return several lists, or problems in their places."""
        return await self._send(calls.batch(requests))

    async def similar(self, **request: Any) -> SimilarAnswer:
        """Return items like others; arguments are the fields of `SimilarRequest`."""
        return await self._send(calls.similar(request))

    async def send_events(self, events: Iterable[Event], *, atomic: bool = False) -> EventsAnswer:
        """Store events; when this returns, those that are not in `rejected` are stored."""
        return await self._send(calls.send_events(events, atomic=atomic))

    async def user(self, user_id: str) -> UserAnswer:
        """Return a user's attributes and counts."""
        return await self._send(calls.user(user_id))

    async def set_user(self, user_id: str, **attributes: Any) -> UserAnswer:
        """Set a user's attributes."""
        return await self._send(calls.set_user(user_id, attributes))

    async def erase_user(self, user_id: str) -> ErasedAnswer:
        """Erase a user: attributes, events and recorded answers."""
        return await self._send(calls.erase_user(user_id))

    async def merge(self, user_id: str, session_id: str) -> MergeAnswer:
        """Give the events of a session to a user."""
        return await self._send(calls.merge(user_id, session_id))

    async def user_events(self, user_id: str, limit: int = 100, cursor: str | None = None) -> EventPage:
        """Return a page of a user's events, the newest first."""
        return await self._send(calls.user_events(user_id, limit, cursor))

    async def all_user_events(self, user_id: str) -> AsyncIterator[StoredEvent]:
        """Yield all events of a user, the newest first."""
        cursor: str | None = None
        while True:
            page = await self.user_events(user_id, 1000, cursor)
            for event in page.events:
                yield event
            cursor = page.next_cursor
            if cursor is None:
                return

    async def recommendation(self, recommendation_id: str, *, explain: bool = False) -> PastRecommendation:
        """Return a list that was answered, and what came of it; `explain` computes the reasons anew."""
        return await self._send(calls.recommendation(recommendation_id, explain=explain))

    async def evaluation(
        self, variant: str | None = None, *, days: int = 7, k: int = 10, since: date | None = None
    ) -> EvaluationAnswer:
        """Return online figures of the last days by variant and day."""
        return await self._send(calls.evaluation(variant, days, k, since))

    async def info(self) -> InfoAnswer:
        """Return what the service says about itself."""
        return await self._send(calls.info())

    async def ready(self) -> HealthAnswer:
        """Return whether the service is ready, part by part."""
        return await self._send(calls.ready(), retries=0)

    async def _send(self, call: Call[A], retries: int | None = None) -> A:
        last = self._retries if retries is None else retries
        for attempt in range(last + 1):
            response: httpx.Response | None = None
            try:
                response = await self._http.request(
                    call.method, call.path, content=call.body, params=call.query, headers=_JSON if call.body else None
                )
                if attempt == last or response.status_code not in RETRIED:
                    return calls.decode(call, response)
            except httpx.TransportError as error:
                if attempt == last:
                    raise _lost(self._http.base_url, error) from None
            await asyncio.sleep(calls.pause(attempt, response))
        raise AssertionError("the last try returns or raises")
