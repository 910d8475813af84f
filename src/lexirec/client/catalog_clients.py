"""The catalogue's part of both clients: items, versions, jobs, settings."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from lexirec.client import catalog_calls as calls
from lexirec.client.calls import Call, ServiceError
from lexirec.serving.schemas.catalog import (
    DifferenceAnswer,
    ItemAnswer,
    ItemPage,
    ItemsChanged,
    ItemsWritten,
    JobAnswer,
    VersionAnswer,
    VersionsAnswer,
)
from lexirec.serving.schemas.service import CatalogAnswer, ReloadAnswer

A = TypeVar("A", bound=BaseModel)
_PAUSE = 0.1


class CatalogClient(ABC):
    """Waits for answers; `Client` derives from it."""

    @abstractmethod
    def _send(self, call: Call[A], retries: int | None = None) -> A:
        """Send a call, and return its answer."""

    def write_items(self, rows: Iterable[Mapping[str, Any]]) -> ItemsWritten:
        """Add new items and change known ones: texts and new items with the next version, all other columns at once."""
        return self._send(calls.write_items(rows))

    def put_item(self, item_id: str, fields: Mapping[str, Any], *, hidden: bool | None = None) -> ItemAnswer:
        """Add an item, or replace all its columns."""
        return self._send(calls.put_item(item_id, fields, hidden))

    def change_item(self, item_id: str, *, hidden: bool | None = None, **fields: Any) -> ItemAnswer:
        """Change columns of an item, hide it or show it again; what no text reads acts when this returns."""
        return self._send(calls.change_item(item_id, fields, hidden))

    def remove_item(self, item_id: str) -> ItemsChanged:
        """Remove an item: hidden at once, it leaves with the next version."""
        return self._send(calls.remove_item(item_id))

    def item(self, item_id: str) -> ItemAnswer:
        """Return an item."""
        return self._send(calls.item(item_id))

    def items_of(self, item_ids: Sequence[str]) -> ItemPage:
        """Return items by their ids; unknown ones are left out."""
        return self._send(calls.items_of(item_ids))

    def items(
        self, q: str | None = None, state: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> ItemPage:
        """Return a page of items: with a part of an id or a title, in a state."""
        return self._send(calls.items(q, state, limit, cursor))

    def catalog(self) -> CatalogAnswer:
        """Return what is to be said about the catalogue."""
        return self._send(calls.catalog())

    def versions(self) -> VersionsAnswer:
        """Return the versions that are kept."""
        return self._send(calls.versions())

    def difference(self, first: int, second: int) -> DifferenceAnswer:
        """Compare two versions."""
        return self._send(calls.difference(first, second))

    def start_publish(self) -> JobAnswer:
        """Start to make a version of the staged changes; `job` says what became of it."""
        return self._send(calls.publish())

    def roll_back(self, version: int | None = None) -> VersionAnswer:
        """Go back to an earlier version, by default the one before."""
        return self._send(calls.roll_back(version))

    def job(self, job_id: str) -> JobAnswer:
        """Return what became of a job."""
        return self._send(calls.job(job_id))

    def reload(self) -> ReloadAnswer:
        """Let the service read its settings and keys again."""
        return self._send(calls.reload())

    def all_items(self, q: str | None = None, state: str | None = None) -> Iterator[ItemAnswer]:
        """Yield all items, in the order of the catalogue."""
        cursor: str | None = None
        while True:
            page = self.items(q, state, 1000, cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def publish(self, *, timeout: float = 600.0) -> JobAnswer:
        """Make a version of the staged changes, and return when it answers.

        Raises:
            ServiceError: it was not made, or takes longer than so many seconds.
        """
        job, end = self.start_publish(), time.monotonic() + timeout
        while job.state == "running":
            if time.monotonic() > end:
                raise ServiceError(f"the job {job.job_id} still runs after {timeout:g} s; ask for it later")
            time.sleep(_PAUSE)
            job = self.job(job.job_id)
        if job.state == "failed":
            raise ServiceError(f"the version was not made: {job.problem}")
        return job


class AsyncCatalogClient(ABC):
    """The same for asyncio; `AsyncClient` derives from it."""

    @abstractmethod
    async def _send(self, call: Call[A], retries: int | None = None) -> A:
        """Send a call, and return its answer."""

    async def write_items(self, rows: Iterable[Mapping[str, Any]]) -> ItemsWritten:
        """Add new items and change known ones: texts and new items with the next version, all other columns at once."""
        return await self._send(calls.write_items(rows))

    async def put_item(self, item_id: str, fields: Mapping[str, Any], *, hidden: bool | None = None) -> ItemAnswer:
        """Add an item, or replace all its columns."""
        return await self._send(calls.put_item(item_id, fields, hidden))

    async def change_item(self, item_id: str, *, hidden: bool | None = None, **fields: Any) -> ItemAnswer:
        """Change columns of an item, hide it or show it again; what no text reads acts when this returns."""
        return await self._send(calls.change_item(item_id, fields, hidden))

    async def remove_item(self, item_id: str) -> ItemsChanged:
        """Remove an item: hidden at once, it leaves with the next version."""
        return await self._send(calls.remove_item(item_id))

    async def item(self, item_id: str) -> ItemAnswer:
        """Return an item."""
        return await self._send(calls.item(item_id))

    async def items_of(self, item_ids: Sequence[str]) -> ItemPage:
        """Return items by their ids; unknown ones are left out."""
        return await self._send(calls.items_of(item_ids))

    async def items(
        self, q: str | None = None, state: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> ItemPage:
        """Return a page of items: with a part of an id or a title, in a state."""
        return await self._send(calls.items(q, state, limit, cursor))

    async def catalog(self) -> CatalogAnswer:
        """Return what is to be said about the catalogue."""
        return await self._send(calls.catalog())

    async def versions(self) -> VersionsAnswer:
        """Return the versions that are kept."""
        return await self._send(calls.versions())

    async def difference(self, first: int, second: int) -> DifferenceAnswer:
        """Compare two versions."""
        return await self._send(calls.difference(first, second))

    async def start_publish(self) -> JobAnswer:
        """Start to make a version of the staged changes; `job` says what became of it."""
        return await self._send(calls.publish())

    async def roll_back(self, version: int | None = None) -> VersionAnswer:
        """Go back to an earlier version, by default the one before."""
        return await self._send(calls.roll_back(version))

    async def job(self, job_id: str) -> JobAnswer:
        """Return what became of a job."""
        return await self._send(calls.job(job_id))

    async def reload(self) -> ReloadAnswer:
        """Let the service read its settings and keys again."""
        return await self._send(calls.reload())

    async def all_items(self, q: str | None = None, state: str | None = None) -> AsyncIterator[ItemAnswer]:
        """Yield all items, in the order of the catalogue."""
        cursor: str | None = None
        while True:
            page = await self.items(q, state, 1000, cursor)
            for each in page.items:
                yield each
            cursor = page.next_cursor
            if cursor is None:
                return

    async def publish(self, *, timeout: float = 600.0) -> JobAnswer:
        """Make a version of the staged changes, and return when it answers.

        Raises:
            ServiceError: it was not made, or takes longer than so many seconds.
        """
        job, end = await self.start_publish(), time.monotonic() + timeout
        while job.state == "running":
            if time.monotonic() > end:
                raise ServiceError(f"the job {job.job_id} still runs after {timeout:g} s; ask for it later")
            await asyncio.sleep(_PAUSE)
            job = await self.job(job.job_id)
        if job.state == "failed":
            raise ServiceError(f"the version was not made: {job.problem}")
        return job
