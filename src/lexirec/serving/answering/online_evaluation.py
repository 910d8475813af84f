"""Online evaluation on a thread of its own, one after the other, so that neither requests nor the model wait for it."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lexirec.serving.answering.online_figures import CANDIDATE, differences, variant_figures
from lexirec.serving.database.impressions import INFERRED_SECONDS
from lexirec.serving.database.online_rows import DAY, OnlineRows, Window, read_online_rows
from lexirec.serving.database.opening import Database
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.evaluation import EvaluationAnswer
from lexirec.serving.settings import ImpressionSettings, ServeSettings

WAITING = 4
"""Evaluations that may run and wait together; the next one is refused."""


class Asked(NamedTuple):
    """Which lists are evaluated.

    Attributes:
        variant: The only variant; None for all.
        days: Days before now.
        k: Places of a list that count.
        since: The first day, in UTC, in place of `days`.
    """

    variant: str | None = None
    days: int = 7
    k: int = 10
    since: datetime.date | None = None


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

    async def answer(self, asked: Asked) -> EvaluationAnswer:
        """Return the figures of the last days.

        Raises:
            ProblemError: several evaluations wait already, or the first day is later than today.
            DatabaseError: the database does not answer.
        """
        if not self._room.acquire(blocking=False):
            raise ProblemError("overloaded", f"{WAITING} evaluations run or wait already; try again in a while")
        try:
            work = self._thread.submit(evaluate_online, self._database, self._settings, self._n_items(), asked)
            return await asyncio.wrap_future(work)
        finally:
            self._room.release()


def evaluate_online(database: Database, settings: ServeSettings, n_items: int, asked: Asked) -> EvaluationAnswer:
    """Return the figures of what was shown until now, as `GET /v1/evaluation` answers them.

    Args:
        database: of the service.
        settings: of the service.
        n_items: size of the catalogue.
        asked: which lists, and how many places of them.

    Raises:
        ProblemError: the first day is later than today.
        DatabaseError: the database does not answer.
    """
    until = database.access.clock()
    since = until - asked.days * DAY if asked.since is None else _start_of(asked.since)
    if since > until:
        raise ProblemError("invalid-request", f"since is {asked.since}, which has not come yet; give a day until today")
    events, impressions = settings.events, settings.impressions
    window = Window(since, until, asked.k, impressions.clicks, events.never, asked.variant)
    rows = read_online_rows(database.access, window)
    return EvaluationAnswer(
        since=window.since,
        until=until,
        k=asked.k,
        clicks=impressions.clicks,
        variants=variant_figures(rows, max(1, n_items)),
        differences=differences(rows),
        recorded_share=impressions.share,
        remarks=tuple(_remarks(rows, window, impressions)),
    )


def _start_of(day: datetime.date) -> float:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp()


def _remarks(rows: OnlineRows, window: Window, settings: ImpressionSettings) -> Iterator[str]:
    if not len(rows.user):
        yield "no list was recorded in this time"
    if settings.share < 1:
        yield f"only the lists of {settings.share:.0%} of the users are recorded (impressions.share)"
    if settings.keep_days * DAY < window.until - window.since:
        yield f"lists are kept for {settings.keep_days:g} days (impressions.keep_days); older ones are deleted"
    if len(rows.user):
        yield f"events may still come of lists of the last {INFERRED_SECONDS / 3600:.0f} hours"
    if CANDIDATE in rows.variants:
        first = rows.day[rows.variant == rows.variants.index(CANDIDATE)].min()
        if first <= window.since // DAY:
            yield (
                "the candidate has lists on the first day of this time: if it began before, ask with `since`, the day "
                "of its first list, as verdicts hold for looks that all begin on the same day"
            )
