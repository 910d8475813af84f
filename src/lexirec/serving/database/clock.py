"""A clock that never goes back, so that what arrives later is never stored as earlier."""

from __future__ import annotations

import threading
import time


class SteadyClock:
    """Seconds since 1970; where the system's clock is set back, it runs at half speed until that has caught up.

    Times of arrival order a user's events, so an hour that comes twice would put new events before old ones.
    """

    def __init__(self) -> None:
        """Begin with the system's clock."""
        self._now, self._tick = time.time(), time.monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time."""
        with self._lock:
            tick = time.monotonic()
            self._now = max(time.time(), self._now + (tick - self._tick) / 2)
            self._tick = tick
            return self._now


class SimulatedClock:
    """Seconds since 1970 that stand still until they are set forward: for shoppers whose weeks take minutes."""

    def __init__(self) -> None:
        """Begin with the system's clock."""
        self._now = time.time()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time."""
        return self._now

    def advance(self, to: float) -> None:
        """Go forward to a time; one that is past already changes nothing."""
        with self._lock:
            self._now = max(self._now, to)
