"""A thread that looks once a second whether another process has changed the catalogue, and whether to publish."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from lexirec.core.errors import LexirecError
from lexirec.serving.upkeep.publishing import Publisher

_log = logging.getLogger(__name__)


class Refreshable(Protocol):
    """What a watch looks after."""

    def refresh(self) -> bool:
        """Let the present state answer; return whether it had changed."""


class CatalogWatch:
    """Lets changes of other processes answer, and publishes what is staged when it is time."""

    def __init__(self, living: Refreshable, publisher: Publisher, every: float = 1.0) -> None:
        """Watch; `start` starts the threads."""
        self._living, self._publisher, self._every = living, publisher, every
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(work, what), name=f"lexirec-{name}", daemon=True)
            for work, what, name in (
                (living.refresh, "the catalogue cannot be read; the snapshot before goes on answering", "catalog"),
                (publisher.publish_if_due, "staged changes cannot be looked at", "publish"),
            )
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    def _run(self, work: Callable[[], bool], what: str) -> None:
        while not self._stop.wait(self._every):
            try:
                work()
            except LexirecError as error:
                _log.error("%s: %s", what, error)
            except Exception as error:  # the threads must outlive what nobody expected
                _log.error("%s", what, exc_info=error)
