"""Counts of the catalogue, for metrics: items by state, and how long staged changes have waited for a version."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lexirec.models.living_catalog import STAGED
from lexirec.serving.answering.living import LivingSnapshots
from lexirec.serving.answering.snapshot import Snapshot


class CatalogCounts(NamedTuple):
    """Items by state (live, staged, hidden, removed), and the seconds that the first staged change has waited."""

    states: Mapping[str, int]
    lag: float


class CatalogCounter:
    """Counts what answers and what waits; it reads files of the store."""

    def __init__(self, active: Callable[[], Snapshot], living: Callable[[], LivingSnapshots | None]) -> None:
        """Count items of the snapshot that answers, and of the catalogue that may change, where there is one."""
        self._active, self._living = active, living
        self._since: float | None = None
        self._lock = threading.Lock()

    def counts(self) -> CatalogCounts:
        """Return the present counts."""
        snapshot, living = self._active(), self._living()
        items = len(snapshot.catalog)
        live = items if snapshot.shown is None else int(snapshot.shown.sum())
        states = {"live": live, "staged": 0, "hidden": items - live, "removed": 0}
        if living is None:
            return CatalogCounts(states, 0.0)
        staged = living.catalog.staged
        removed = sum(each in snapshot.numbers for each in staged.removed)
        new = sum(each not in snapshot.numbers for each in staged.ids)
        states |= {"staged": new, "hidden": max(0, items - live - removed), "removed": removed}
        return CatalogCounts(states, self._lag(living, waits=bool(staged)))

    def _lag(self, living: LivingSnapshots, *, waits: bool) -> float:
        """Return the seconds since the first change that waits: the file's time, when this was first asked for."""
        with self._lock:
            if not waits:
                self._since = None
            elif self._since is None:
                try:
                    self._since = (living.catalog.folder / STAGED).stat().st_mtime
                except FileNotFoundError:  # it was published just now
                    return 0.0
            return 0.0 if self._since is None else max(0.0, time.time() - self._since)
