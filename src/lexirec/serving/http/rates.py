"""Limits on the rate of requests: a token bucket per key, in memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
MOST_BUCKETS = 10_000


class RateLimit:
    """Token buckets that fill at the given rate and hold one period's worth.

    A bucket per key or address; beyond `MOST_BUCKETS` the least recently used are dropped, which fills them.
    """

    def __init__(self, rate: str) -> None:
        """Take a rate such as `200/second`."""
        count, _, period = rate.partition("/")
        self.capacity = float(count)
        self._per_second = self.capacity / _SECONDS[period]
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, now: float | None = None) -> float:
        """Take a token; return 0, or the seconds after which there is one."""
        now = time.monotonic() if now is None else now
        with self._lock:
            level, since = self._buckets.pop(name, (self.capacity, now))
            level = min(self.capacity, level + max(now - since, 0.0) * self._per_second)
            wait = 0.0 if level >= 1.0 else (1.0 - level) / self._per_second
            self._buckets[name] = (level - 1.0 if not wait else level, now)
            while len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        return wait
