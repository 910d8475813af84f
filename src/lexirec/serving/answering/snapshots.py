"""The snapshots that answer: one per loaded model, one of them active; a change replaces a reference."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lexirec.core.errors import did_you_mean
from lexirec.serving.answering.snapshot import ModelIdentity, Snapshot
from lexirec.serving.answering.traffic import Split
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.recommend import Variant

MOST_PATIENT = 1_000
"""Requests that may wait for a version of the catalogue; the next one is refused."""


class Routed(NamedTuple):
    """The snapshot that answers a request, and why that one."""

    snapshot: Snapshot
    variant: Variant


class Snapshots:
    """Snapshots by the identity of their model. Reading takes no lock; changes do.

    Items are available or not by the clock: the first reader after a moment at which that changes makes the change.
    """

    def __init__(self, active: Snapshot, clock: Callable[[], float] = time.time, *, split: Split | None = None) -> None:
        """Begin with one snapshot, the active one.

        Args:
            active: the snapshot.
            clock: seconds since 1970.
            split: says which users another model answers.
        """
        self._lock = threading.Lock()
        self._loaded: Mapping[ModelIdentity, Snapshot] = {active.model: active}
        self.split = split or Split()
        self._active, self._clock = active, clock
        self._patient: set[_Patient] = set()

    @property
    def active(self) -> Snapshot:
        """The snapshot that answers requests which name no model."""
        self._follow_clock(self._active)
        return self._active

    @property
    def all(self) -> tuple[Snapshot, ...]:
        """All snapshots, the active one first."""
        active = self.active
        return (active, *(each for model, each in self._loaded.items() if model != active.model))

    @property
    def candidate(self) -> Snapshot | None:
        """The snapshot that answers a share of the users; None where there is none besides the active one."""
        model = self.split.candidate
        return None if model is None or model == self._active.model else self.get(model)

    def get(self, model: ModelIdentity) -> Snapshot | None:
        """Return the snapshot of a model; None where it is not loaded."""
        snapshot = self._loaded.get(model)
        if snapshot is not None:
            self._follow_clock(snapshot)
        return self._loaded.get(model)

    def route(self, name: str | None, catalog_version: int | None, owner: str | None) -> Routed:
        """Return the snapshot that answers a request, and the variant of the traffic that it counts as.

        Raises:
            ProblemError: there is no such model, or the catalogue has another version.
        """
        if name is not None or catalog_version is not None:
            return Routed(self.pick(name, catalog_version), "pinned")
        if self.split.candidate is not None and not self.split.shadow and self.split.takes(owner):
            candidate = self.candidate
            if candidate is not None:
                return Routed(candidate, "candidate")
        return Routed(self.active, "active")

    def pick(self, name: str | None, catalog_version: int | None) -> Snapshot:
        """Return the snapshot that a request asks for.

        Raises:
            ProblemError: there is no such model, or the catalogue has another version.
        """
        snapshot = self.find(name)
        if catalog_version not in (None, snapshot.catalog_version):
            raise ProblemError(
                "conflict",
                f"catalog_version is {catalog_version}, but version {snapshot.catalog_version} answers; "
                "leave it out, or ask again later",
            )
        return snapshot

    async def reached(self, name: str | None, least: int, seconds: float) -> None:
        """Wait until a version of the catalogue, or a later one, answers.

        Args:
            name: of the model; None for the active one.
            least: number of the version.
            seconds: to wait at most.

        Raises:
            ProblemError: an earlier version still answers then, too many requests wait, or there is no such model.
        """
        if self.find(name).catalog_version >= least:
            return
        if len(self._patient) >= MOST_PATIENT:
            raise ProblemError("overloaded", f"{MOST_PATIENT:,} requests wait for a catalogue version; try later")
        patient = _Patient()
        self._patient.add(patient)
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                while self.find(name).catalog_version < least:
                    await patient.wait()
        except TimeoutError:
            present = self.find(name).catalog_version
            raise ProblemError(
                "conflict",
                f"min_catalog_version is {least}, but version {present} still answers after timeout_ms; "
                "publish first, raise timeout_ms, or ask again later",
            ) from None
        finally:
            self._patient.discard(patient)

    def put(self, snapshot: Snapshot, *, activate: bool = False) -> None:
        """Add a snapshot, or replace that of the same model; `activate` lets it answer by default."""
        with self._lock:
            self._loaded = {**self._loaded, snapshot.model: snapshot}
            if activate or self._active.model == snapshot.model:
                self._active = snapshot
        self._tell()

    def drop(self, model: ModelIdentity) -> None:
        """Forget the snapshot of a model that is not the active one; requests that run keep it until they end."""
        with self._lock:
            if model != self._active.model:
                self._loaded = {each: snapshot for each, snapshot in self._loaded.items() if each != model}

    def change(self, of: Callable[[Snapshot], Snapshot]) -> None:
        """Replace every snapshot by what a function makes of it, all at once."""
        with self._lock:
            self._loaded = {model: of(each) for model, each in self._loaded.items()}
            self._active = self._loaded[self._active.model]
        self._tell()

    def find(self, name: str | None) -> Snapshot:
        """Return a loaded model's snapshot: `NAME@VERSION`; or `NAME`, the active one of that name, else the newest.

        Raises:
            ProblemError: there is none.
        """
        active = self.active
        if name is None or active.model.name == name:
            return active
        for model in reversed(list(self._loaded)):
            if name in (model.name, model.reference) and (found := self.get(model)) is not None:
                return found
        references = [model.reference for model in self._loaded]
        named = ", ".join(f"'{each}'" for each in references)
        hint = did_you_mean(name, [*references, *(model.name for model in self._loaded)])
        raise ProblemError("not-found", f"there is no model '{name}'; loaded are {named}.{hint}")

    def _follow_clock(self, snapshot: Snapshot) -> None:
        """Where a moment has passed at which items of a snapshot become available, or end to be, say so in all."""
        now = self._clock()
        if not snapshot.span.holds(now):
            self.change(lambda each: each.at(now))

    def _tell(self) -> None:
        for patient in tuple(self._patient):
            patient.wake()


class _Patient:
    """A request that waits on its event loop; any thread wakes it."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)
