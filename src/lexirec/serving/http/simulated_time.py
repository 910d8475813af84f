"""Requests that say what time it is, for simulations: a service whose clock is simulated goes forward with them."""

from __future__ import annotations

from lexirec.serving.database.clock import SimulatedClock
from lexirec.serving.database.event_rows import EARLIEST
from lexirec.serving.http.requests import App, Receive, Scope, Send

HEADER = "x-simulated-time"
_LATEST = 4_102_444_800.0  # 2100


class SimulatedTime:
    """Sets the clock forward to the time of the header, in seconds since 1970; other values are passed over."""

    def __init__(self, app: App, clock: SimulatedClock) -> None:
        """Wrap an application."""
        self._app, self._clock = app, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the clock, and answer."""
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(HEADER.encode())
            seconds = _seconds(given) if given is not None else None
            if seconds is not None:
                self._clock.advance(seconds)
        await self._app(scope, receive, send)


def _seconds(given: bytes) -> float | None:
    try:
        seconds = float(given)
    except ValueError:
        return None
    return seconds if EARLIEST <= seconds <= _LATEST else None
