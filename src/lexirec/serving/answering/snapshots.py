"""The snapshots that answer: one per loaded model, one of them active; a change replaces a reference."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping

from lexirec.core.errors import did_you_mean
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.problems import ProblemError

MOST_PATIENT = 1_000
"""Requests that may wait for a version of the catalogue; the next one is refused."""


class Snapshots:
    """Snapshots by the name of their model. Reading takes no lock; changes do.

    Items are available or not by the clock: the first reader after a moment at which that changes makes the change.
    """

    def __init__(self, active: Snapshot, clock: Callable[[], float] = time.time) -> None:
        """Begin with one snapshot, the active one; `clock` says the time in seconds since 1970."""
        self._lock = threading.Lock()
        self._by_name: Mapping[str, Snapshot] = {active.model.name: active}
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
        return (active, *(each for name, each in self._by_name.items() if name != active.model.name))

    def pick(self, name: str | None, catalog_version: int | None) -> Snapshot:
        """Return the snapshot that a request asks for.

        Raises:
            ProblemError: there is no such model, or the catalogue has another version.
        """
        snapshot = self._find(name)
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
        if self._find(name).catalog_version >= least:
            return
        if len(self._patient) >= MOST_PATIENT:
            raise ProblemError("overloaded", f"{MOST_PATIENT:,} requests wait for a catalogue version; try later")
        patient = _Patient()
        self._patient.add(patient)
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                while self._find(name).catalog_version < least:
                    await patient.wait()
        except TimeoutError:
            present = self._find(name).catalog_version
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
            self._by_name = {**self._by_name, snapshot.model.name: snapshot}
            if activate or self._active.model.name == snapshot.model.name:
                self._active = snapshot
        self._tell()

    def change(self, of: Callable[[Snapshot], Snapshot]) -> None:
        """Replace every snapshot by what a function makes of it, all at once."""
        with self._lock:
            self._by_name = {name: of(each) for name, each in self._by_name.items()}
            self._active = self._by_name[self._active.model.name]
        self._tell()

    def _find(self, name: str | None) -> Snapshot:
        """Return a model's snapshot as it is now."""
        if name is None:
            return self.active
        snapshot = self._by_name.get(name)
        if snapshot is None:
            loaded = list(self._by_name)
            named = ", ".join(f"'{each}'" for each in loaded)
            raise ProblemError(
                "not-found", f"there is no model '{name}'; loaded are {named}.{did_you_mean(name or '', loaded)}"
            )
        self._follow_clock(snapshot)
        return self._by_name[name]

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
