"""Give a service the events that its experiment was made from, so that it knows their users from the first request."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from lexirec.core.config import validate_settings
from lexirec.core.progress import Progress
from lexirec.core.runs import find_run
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.stages.data import read_tables
from lexirec.serving.database.event_rows import EARLIEST, NewEvent
from lexirec.serving.database.events import EventsWritten
from lexirec.serving.database.opening import Database

BATCH = 500
_UNDER_WAY = 4


class Imported(NamedTuple):
    """What came of an import: events that are new, that were there already, and that were refused with the reason."""

    accepted: int
    duplicates: int
    rejected: int
    first_reason: str


def import_experiment_events(store: Store, name: str, database: Database) -> Imported:
    """Write the events of an experiment's tables into the database of its service.

    Each event counts once, so the import may be repeated, also after it was killed. Events without times get seconds
    from 1990 on in the order of their user's history, so that everything later comes after them.

    Raises:
        ArtifactError: there is no such experiment.
        DataError: its tables cannot be read any more.
    """
    run = find_run(store, name)
    experiment = validate_settings({**run.settings, "name": run.name}, Experiment, f"run {run.name}")
    _, catalog, interactions = read_tables(experiment.data)
    accepted = duplicates = rejected = 0
    reason = ""
    waiting: deque[Future[EventsWritten]] = deque()
    with Progress("Importing events", total=len(interactions.sequences.items)) as progress:
        for batch in _batches(catalog, interactions):
            waiting.append(database.events.ingest(batch))
            while len(waiting) >= _UNDER_WAY:
                accepted, duplicates, rejected, reason = _add(
                    waiting.popleft().result(), (accepted, duplicates, rejected, reason)
                )
            progress.advance(len(batch))
        for future in waiting:
            accepted, duplicates, rejected, reason = _add(future.result(), (accepted, duplicates, rejected, reason))
    return Imported(accepted, duplicates, rejected, reason)


def _add(written: EventsWritten, to: tuple[int, int, int, str]) -> tuple[int, int, int, str]:
    accepted, duplicates, rejected, reason = to
    reason = reason or (written.rejected[0].detail if written.rejected else "")
    return accepted + written.accepted, duplicates + written.duplicates, rejected + len(written.rejected), reason


def _batches(catalog: Catalog, interactions: Interactions) -> Iterator[list[NewEvent]]:
    """Yield events in batches, user by user, each user's oldest first."""
    ids, sequences, times = catalog.item_ids, interactions.sequences, interactions.times
    places = np.arange(len(sequences.items)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    moments = places + float(EARLIEST) if times is None else times
    users = np.repeat(interactions.user_ids, sequences.lengths)
    for first in range(0, len(sequences.items), BATCH):
        part = slice(first, first + BATCH)
        yield [
            NewEvent(str(user), ids[item], time=float(moment))
            for user, item, moment in zip(users[part], sequences.items[part].tolist(), moments[part], strict=True)
        ]
