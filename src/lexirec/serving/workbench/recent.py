"""What happened in the last minutes, in intervals of a few seconds: a small histogram each, whatever the traffic."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from lexirec.serving.schemas.workbench import Interval

SECONDS = 10.0
"""Length of an interval."""
KEPT = 90
"""Intervals that are kept: a quarter of an hour."""
_BINS = 96
_FIRST = 0.0005
_STEP = math.log(30 / _FIRST) / (_BINS - 1)  # from half a millisecond to 30 s, about 12 % apart


@dataclass
class _Bucket:
    number: int
    bins: list[int] = field(default_factory=lambda: [0] * _BINS)
    fallbacks: int = 0
    events: int = 0


class Recent:
    """Counts requests for lists, fallbacks and events by interval; any thread may tell it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Know nothing yet; the clock returns seconds since 1970."""
        self._clock, self._lock = clock, threading.Lock()
        self._buckets: deque[_Bucket] = deque(maxlen=KEPT)

    def answered(self, seconds: float) -> None:
        """Count a request for a list."""
        place = round(math.log(max(seconds, _FIRST) / _FIRST) / _STEP)
        with self._lock:
            self._bucket().bins[min(place, _BINS - 1)] += 1

    def fell_back(self) -> None:
        """Count a list of a simpler model."""
        with self._lock:
            self._bucket().fallbacks += 1

    def received(self, events: int) -> None:
        """Count accepted events."""
        with self._lock:
            self._bucket().events += events

    def _bucket(self) -> _Bucket:
        number = int(self._clock() / SECONDS)
        if not self._buckets or self._buckets[-1].number < number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]

    def intervals(self) -> tuple[Interval, ...]:
        """Return the last intervals, the present one included, oldest first; those without requests are there, too."""
        now = int(self._clock() / SECONDS)
        with self._lock:
            known = {each.number: each for each in self._buckets}
            numbers = range(max(now - KEPT + 1, min(known, default=now)), now + 1)
            return tuple(_interval(known.get(number) or _Bucket(number)) for number in numbers)

    def percentile(self, share: float) -> float | None:
        """Return the milliseconds within which this share of the requests of all kept intervals was answered."""
        oldest = int(self._clock() / SECONDS) - KEPT
        with self._lock:
            return _percentile([each.bins for each in self._buckets if each.number > oldest], share)


def _interval(bucket: _Bucket) -> Interval:
    return Interval(
        time=bucket.number * SECONDS,
        lists=sum(bucket.bins),
        p50=_percentile([bucket.bins], 0.5),
        p99=_percentile([bucket.bins], 0.99),
        fallbacks=bucket.fallbacks,
        events=bucket.events,
    )


def _percentile(histograms: Iterable[list[int]], share: float) -> float | None:
    total = [sum(column) for column in zip(*histograms)]
    count = sum(total)
    if not count:
        return None
    place = next(place for place, below in enumerate(accumulate(total)) if below >= share * count)
    return round(1000 * _FIRST * math.exp(place * _STEP), 2)
