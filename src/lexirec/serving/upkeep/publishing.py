"""Publish staged changes: on request, or by themselves after a time or a number of changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from lexirec.core.errors import DataError, LexirecError
from lexirec.models.living_catalog import Version
from lexirec.serving.answering.living import LivingSnapshots
from lexirec.serving.catalog_versions.staging import Staged
from lexirec.serving.http.jobs import Jobs
from lexirec.serving.http.metrics import Metrics
from lexirec.serving.problems import for_clients
from lexirec.serving.schemas.catalog import JobAnswer
from lexirec.serving.settings import CatalogSettings

_log = logging.getLogger(__name__)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0
"""Seconds after a failure until staged changes are published by themselves again: doubled with each further one."""


class Publisher:
    """Makes versions of what is staged, one at a time, as jobs.

    Attributes:
        last_problem: Why the last one failed; None after one that did not.
    """

    def __init__(
        self,
        living: Callable[[], LivingSnapshots | None],
        jobs: Jobs,
        metrics: Metrics,
        settings: Callable[[], CatalogSettings],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Publish changes of a living catalogue.

        Args:
            living: returns the catalogue of the active model; None where it cannot change.
            jobs: that run one after the other.
            metrics: that count.
            settings: returns when to publish without being asked.
            clock: seconds of any origin.
        """
        self.last_problem: str | None = None
        self._living, self._jobs, self._metrics, self._settings, self._clock = living, jobs, metrics, settings, clock
        self._staged: tuple[Staged, float] | None = None  # what is staged, and since when something is
        self._failures, self._failed = 0, 0.0
        self._published = clock()
        self._running = threading.Lock()
        self._job: Future[None] | None = None

    # --------------------------------------------------------------------------------------------------- publishing

    def start_job(self) -> JobAnswer:
        """Start a job that publishes what is staged."""
        self._job = done = Future[None]()

        def run() -> dict[str, Any]:
            try:
                return self.publish()
            finally:
                done.set_result(None)

        return self._jobs.start("publish", run)

    def publish(self) -> dict[str, Any]:
        """Publish the staged changes and let the new version answer; return what the job says.

        Raises:
            LexirecError: nothing is staged, or the changes cannot be made; nothing has changed then.
        """
        with self._running:
            living = self._present()
            catalog = living.catalog
            try:
                version = catalog.publish()
                living.refresh()
            except Exception as error:
                if catalog.staged:  # else there was nothing to publish
                    self._fail(error)
                raise
            self.last_problem, self._failures, self._published, self._staged = None, 0, self._clock(), None
            self._metrics.publishes.labels("done").inc()
            self._metrics.swaps.labels("catalog", "done").inc()
            return {
                "version": version.number,
                "counts": dict(version.counts),
                "seconds": version.seconds,
                "refused": catalog.refused(version.number),
            }

    def roll_back(self, number: int | None) -> Version:
        """Make an earlier version active and let it answer."""
        living = self._present()
        version = living.catalog.rollback(number)
        living.refresh()
        self._metrics.swaps.labels("catalog", "back").inc()
        return version

    def _present(self) -> LivingSnapshots:
        living = self._living()
        if living is None:
            raise DataError("another model answers now, whose catalogue cannot change")
        return living

    def _fail(self, error: Exception) -> None:
        self.last_problem = "the service failed; the log has the cause"
        if isinstance(error, LexirecError):
            self.last_problem = for_clients(error)
        _log.error("staged changes were not published: %s", error)
        self._failures, self._failed = self._failures + 1, self._clock()
        self._metrics.publishes.labels("failed").inc()
        self._metrics.swaps.labels("catalog", "failed").inc()

    # ----------------------------------------------------------------------------------------------- by themselves

    @property
    def lag(self) -> float:
        """Seconds that something has been staged, as far as this process knows."""
        staged = self._look()
        return 0.0 if staged is None else self._clock() - staged[1]

    def due_in(self) -> float | None:
        """Return the seconds until staged changes are to be published; None where they are not."""
        settings, staged = self._settings(), self._look()
        if staged is None or (settings.publish_every is None and settings.publish_after is None):
            return None
        now, times = self._clock(), list[float]()
        if settings.publish_after is not None and staged[0].size >= settings.publish_after:
            times.append(now)
        if settings.publish_every is not None:
            times.append(max(self._published, staged[1]) + seconds_of(settings.publish_every))
        if not times:
            return None
        if self._failures:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._failures - 1))
            return max(0.0, min(times) - now, self._failed + pause - now)
        return max(0.0, min(times) - now)

    def publish_if_due(self) -> bool:
        """Start a job that publishes where it is time to, and none runs already; return whether it was."""
        due = self.due_in()
        if due is None or due > 0 or self._running.locked() or (self._job is not None and not self._job.done()):
            return False
        self.start_job()
        return True

    def _look(self) -> tuple[Staged, float] | None:
        """Return what is staged, and since when anything is; None for nothing."""
        living, before = self._living(), self._staged
        staged = living.catalog.staged if living is not None else None
        if not staged:
            self._staged = None
        elif before is None or before[0] is not staged:
            self._staged = staged, self._clock() if before is None else before[1]
        return self._staged


def seconds_of(text: str) -> float:
    """Return the seconds of a setting such as `60s`, `15m` or `6h`."""
    return float(text[:-1]) * _UNITS[text[-1]]
