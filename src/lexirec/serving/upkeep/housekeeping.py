"""Housekeeping: what is kept too long is deleted, in small transactions, on a thread of its own."""

from __future__ import annotations

import logging
import threading

from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.opening import Database
from lexirec.serving.settings import ServeSettings

_log = logging.getLogger(__name__)
EVERY_SECONDS = 3600.0
_DAY = 86_400.0


class Housekeeping:
    """Deletes old events, recorded answers and tombstones once an hour.

    Attributes:
        settings: That say how long is long enough.
    """

    def __init__(self, database: Database, settings: ServeSettings, every: float = EVERY_SECONDS) -> None:
        """Prepare; `start` starts the thread."""
        self._database, self.settings, self._every = database, settings, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lexirec-housekeeping", daemon=True)

    def start(self) -> None:
        """Start the thread; the first round is a minute after the start."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def clean(self, now: float) -> dict[str, int]:
        """Delete what is older than the settings allow; return how many rows of each kind."""
        keep, database = self.settings.events.keep_days, self._database
        events = 0 if keep is None else database.events.purge(now - keep * _DAY)
        impressions = database.impressions.purge(now - self.settings.impressions.keep_days * _DAY)
        return {"events": events, "impressions": impressions, "tombstones": database.users.purge_tombstones()}

    def _run(self) -> None:
        pause = min(60.0, self._every)
        while not self._stop.wait(pause):
            pause = self._every
            try:
                gone = self.clean(self._database.access.clock())
            except DatabaseError as error:
                _log.warning("old rows were not deleted: %s", error)
                continue
            if any(gone.values()):
                _log.info("deleted what was kept long enough", extra={"fields": gone})
