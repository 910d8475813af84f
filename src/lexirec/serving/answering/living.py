"""The catalogue of a service as living data: facts change the snapshot at once, versions by publishing.

The state is files of the store (`serving.catalog_versions`), which `lexirec catalog` changes, too; a service that looks
at them once a second notices what other processes did.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import LexirecError
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences, load_array
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.transitions import Transitions
from lexirec.models.living_catalog import FACTS, KIND, STAGED, VERSIONS, Facts, Version
from lexirec.serving.answering.similar import unit_rows
from lexirec.serving.answering.snapshot import SimilarItems, SimplerModel, Snapshot, next_revision
from lexirec.serving.answering.snapshots import Snapshots
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.memory import give_back

_log = logging.getLogger(__name__)
Warm = Callable[[Snapshot], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """The snapshot of the catalogue of training, and the events that its simpler models count, in its item numbers."""

    snapshot: Snapshot
    rows: Sequences


class LivingSnapshots:
    """Makes snapshots of the active version with present facts, and lets them answer.

    Attributes:
        catalog: The versions, facts and staged changes.
    """

    def __init__(self, catalog: LivingCatalog, trained: Trained) -> None:
        """Use a recommender's catalogue; `begin` returns the first snapshot."""
        self.catalog, self._trained = catalog, trained
        self._lock = threading.RLock()
        self._published: Snapshot | None = None  # of the active version, without facts
        self._seen: tuple[Any, ...] = ()
        self._snapshots: Snapshots | None = None
        self._warm: Warm = lambda snapshot: None

    def begin(self) -> Snapshot:
        """Return the snapshot that answers first."""
        with self._lock:
            return self._present()

    def attach(self, snapshots: Snapshots, warm: Warm) -> None:
        """Say where snapshots answer, and how a new version is warmed up before it does."""
        self._snapshots, self._warm = snapshots, warm

    def detach(self) -> None:
        """Let nothing of this catalogue answer any more."""
        with self._lock:
            self._snapshots = None

    def refresh(self) -> bool:
        """Let the present state answer, where it has changed since; return whether it had."""
        with self._lock:
            if self.signature() == self._seen or self._snapshots is None:
                return False
            before = self._published
            snapshot = self._present()
            published = self._published is not before
            if published:
                self._warm(snapshot)
            self._snapshots.put(snapshot)
        del before  # the version that was replaced: nobody holds it now but the requests that run
        if published:
            give_back()
        return True

    def _present(self) -> Snapshot:
        self._seen = self.signature()
        version, facts = self.catalog.state.present, self.catalog.facts
        if self._published is None or self._published.catalog_version != version.number:
            self._published = self._load(version)
        published = self._published
        shown = facts.mask(published.catalog)
        return published.with_facts(facts.applied(published.catalog), None if shown.all() else shown, next_revision())

    def _load(self, version: Version) -> Snapshot:
        """Return the snapshot of a version, without facts."""
        trained = self._trained.snapshot
        if not version.number:
            return trained
        recommender = self.catalog.load(version.number)
        prepare(recommender)  # here, not on the engine's thread, which goes on answering meanwhile
        newer: NDArray[np.bool_] | None = getattr(recommender, "newer_items", None)
        vectors = self.catalog.store.path(KIND, version.key) / "vectors.npy"
        similar = SimilarItems()
        if vectors.is_file():
            similar = SimilarItems(vectors=unit_rows([load_array(vectors)]), names=("vectors",))
        rows = _renumbered(self._trained.rows, trained.catalog, recommender.catalog)
        return replace(
            trained,
            recommender=recommender,
            catalog=recommender.catalog,
            catalog_version=version.number,
            simpler=simpler_models(recommender.catalog, rows),
            similar=similar,
            newer=newer if newer is not None and newer.any() else None,
        )

    def signature(self) -> tuple[Any, ...]:
        """Return what changes with every change of the files."""
        found = []
        for name in (VERSIONS, FACTS, STAGED):
            try:
                stat = (self.catalog.folder / name).stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except FileNotFoundError:
                found.append((0, 0, 0))
        return tuple(found)


def prepare(recommender: Recommender) -> None:
    """Let a recommender compute what all its searches share, such as the encodings of all items."""
    for part in [recommender, *(part.recommender for part in getattr(recommender, "parts", ()))]:
        getattr(part, "searcher", None)


def item_state(item_id: str, known: set[str], staged: list[str], out: tuple[tuple[str, ...], Facts]) -> str | None:
    """Return the state of an item: live, staged, hidden or removed; None where nobody knows it."""
    removed, facts = out
    if item_id not in known:
        return "staged" if item_id in staged else None
    if item_id in removed:
        return "removed"
    return "hidden" if item_id in facts.hidden else "live"


def simpler_models(catalog: Catalog, rows: Sequences) -> tuple[SimplerModel, ...]:
    """Fit the models that answer instead: counts of what follows what, then popularity."""
    models = (("memory", Transitions()), ("popularity", Popularity()))
    return tuple(
        SimplerModel(source, ScoreRecommender(catalog, model.fit(rows, len(catalog)))) for source, model in models
    )


def _renumbered(rows: Sequences, before: Catalog, now: Catalog) -> Sequences:
    """Return rows of item numbers in terms of another catalogue, without items that it lacks."""
    numbers = now.find(before.item_ids)[rows.items]
    kept = numbers >= 0
    through = np.concatenate([[0], np.cumsum(kept)])
    return Sequences(numbers[kept].astype(np.int32), through[rows.offsets].astype(np.int64))


class Refreshable(Protocol):
    """What a watch looks after."""

    def refresh(self) -> bool:
        """Let the present state answer; return whether it had changed."""


class CatalogWatch:
    """Looks once a second whether another process has changed the catalogue."""

    def __init__(self, living: Refreshable, every: float = 1.0) -> None:
        """Watch; `start` starts the thread."""
        self._living, self._every = living, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lexirec-catalog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self._living.refresh()
            except LexirecError as error:
                _log.error("the catalogue cannot be read; the snapshot before goes on answering: %s", error)
            except Exception as error:  # the thread must outlive what nobody expected
                _log.error("the catalogue cannot be read; the snapshot before goes on answering", exc_info=error)
