"""Online evaluation on a thread of its own, one after the other, so that neither requests nor the model wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lexirec.serving.answering.online_figures import differences, variant_figures
from lexirec.serving.database.impressions import INFERRED_SECONDS
from lexirec.serving.database.online_rows import DAY, Window, read_online_rows
from lexirec.serving.database.opening import Database
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.evaluation import EvaluationAnswer
from lexirec.serving.settings import ServeSettings

WAITING = 4
"""Evaluations that may run and wait together; the next one is refused."""


class OnlineEvaluation:
    """Evaluates what was shown."""

    def __init__(self, database: Database, settings: ServeSettings, n_items: Callable[[], int]) -> None:
        """Read from a database; `n_items` returns the size of the catalogue that answers."""
        self._database, self._settings, self._n_items = database, settings, n_items
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lexirec-evaluation")
        self._room = threading.Semaphore(WAITING)

    def close(self) -> None:
        """End the thread; what waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def answer(self, variant: str | None, days: int, k: int) -> EvaluationAnswer:
        """Return the figures of the last days.

        Raises:
            ProblemError: several evaluations wait already.
            DatabaseError: the database does not answer.
        """
        if not self._room.acquire(blocking=False):
            raise ProblemError("overloaded", f"{WAITING} evaluations run or wait already; try again in a while")
        try:
            work = self._thread.submit(self.compute, variant, days, k, self._database.access.clock())
            return await asyncio.wrap_future(work)
        finally:
            self._room.release()

    def compute(self, variant: str | None, days: int, k: int, until: float) -> EvaluationAnswer:
        """Return the figures of the days before a time."""
        events, share = self._settings.events, self._settings.impressions.share
        clicks = self._settings.impressions.clicks
        window = Window(until - days * DAY, until, k, clicks, events.never, variant)
        rows = read_online_rows(self._database.access, window)
        remarks = []
        if not len(rows.user):
            remarks.append("no list was recorded in this time")
        if share < 1:
            remarks.append(f"only the lists of {share:.0%} of the users are recorded (impressions.share)")
        if (kept := self._settings.impressions.keep_days) < days:
            remarks.append(f"lists are kept for {kept:g} days (impressions.keep_days); older ones are deleted")
        if len(rows.user):
            remarks.append(f"events may still come of lists of the last {INFERRED_SECONDS / 3600:.0f} hours")
        return EvaluationAnswer(
            since=window.since,
            until=until,
            k=k,
            clicks=clicks,
            variants=variant_figures(rows, max(1, self._n_items())),
            differences=differences(rows),
            recorded_share=share,
            remarks=tuple(remarks),
        )
