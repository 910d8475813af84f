"""The catalogue of a service as living data: facts change the snapshot at once, versions by publishing.

The state is files of the store (`serving.catalog_versions`), which `lexirec catalog` changes, too; a service that looks
at them once a second notices what other processes did.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences, load_array
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.transitions import Transitions
from lexirec.models.facts_file import Position, stat_of
from lexirec.models.facts_log import FactsChange
from lexirec.models.living_catalog import KIND, STAGED, VERSIONS, Version
from lexirec.models.present_items import PresentItems
from lexirec.serving.answering.similar import unit_rows
from lexirec.serving.answering.snapshot import ModelIdentity, SimilarItems, SimplerModel, Snapshot, next_revision
from lexirec.serving.answering.snapshots import Snapshots
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.catalog_versions.encodings import map_encodings
from lexirec.serving.memory import give_back

Warm = Callable[[Snapshot], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """The catalogue of training.

    Attributes:
        model: Identity of the model.
        catalog: The items.
        rows: Events that simpler models count, in numbers of these items.
        load: Loads the snapshot that answers with this catalogue; only where it is to answer.
    """

    model: ModelIdentity
    catalog: Catalog
    rows: Sequences
    load: Callable[[], Snapshot]


class LivingSnapshots:
    """Makes snapshots of the active version with present facts, and lets them answer.

    Attributes:
        catalog: The versions, facts and staged changes.
    """

    def __init__(self, catalog: LivingCatalog, trained: Trained, clock: Callable[[], float] = time.time) -> None:
        """Use a recommender's catalogue; `begin` returns the first snapshot, `clock` the seconds since 1970."""
        self.catalog, self._trained, self._clock = catalog, trained, clock
        self._loading, self._lock = threading.Lock(), threading.Lock()
        self._published: _Published | None = None
        self._seen: tuple[Any, ...] = ()
        self._snapshots: Snapshots | None = None
        self._warm: Warm = lambda snapshot: None

    def begin(self) -> Snapshot:
        """Return the snapshot that answers first."""
        with self._loading, self._lock:
            self._seen, version = self.signature(), self.catalog.state.present
            if self._published is None or self._published.snapshot.catalog_version != version.number:
                self._published = _Published(self._load(version))
            return self._with_facts(self._published)

    def attach(self, snapshots: Snapshots, warm: Warm) -> None:
        """Say where snapshots answer, and how a new version is warmed up before it does."""
        self._snapshots, self._warm = snapshots, warm

    def detach(self) -> None:
        """Let nothing of this catalogue answer any more."""
        with self._lock:
            self._snapshots = None

    def refresh(self) -> bool:
        """Let the present state answer, where it has changed since; return whether it had."""
        with self._loading:
            if self.signature() == self._seen or self._snapshots is None:
                return False
            seen, version = self.signature(), self.catalog.state.present
            other = self._published is None or self._published.snapshot.catalog_version != version.number
            if other:
                self._replace(_Published(self._load(version)))
            self.refresh_facts()
            self._seen = seen
        if other:
            give_back()  # nobody holds the version that was replaced now but the requests that run
        return True

    def refresh_facts(self) -> None:
        """Let present facts answer: of the version that answers, also while another one is loaded.

        Who comes while another thread does this waits, and finds its own change done with others.
        """
        with self._lock:
            published, snapshots = self._published, self._snapshots
            if published is not None and snapshots is not None and published.differs(self.catalog):
                snapshots.put(self._with_facts(published))

    def _replace(self, published: _Published) -> None:
        """Warm a version up, then let it answer with the facts of that moment."""
        self._warm(self._with_facts(published))
        with self._lock:
            self._published = published
            if self._snapshots is not None:  # the model was dropped meanwhile
                self._snapshots.put(self._with_facts(published))

    def _with_facts(self, published: _Published) -> Snapshot:
        return published.present(self.catalog, next_revision(), self._clock())

    def _load(self, version: Version) -> Snapshot:
        """Return the snapshot of a version, without facts."""
        trained = self._trained
        if not version.number:
            snapshot = trained.load()
            prepare(snapshot.recommender)
            return snapshot
        recommender = self.catalog.load(version.number)
        map_encodings(self.catalog.store, version.key, recommender)
        prepare(recommender)  # here, not on the engine's thread, which goes on answering meanwhile
        newer: NDArray[np.bool_] | None = getattr(recommender, "newer_items", None)
        vectors = self.catalog.store.path(KIND, version.key) / "vectors.npy"
        similar = SimilarItems()
        if vectors.is_file():
            similar = SimilarItems(vectors=unit_rows([load_array(vectors)]), names=("vectors",))
        rows = _renumbered(self._trained.rows, trained.catalog, recommender.catalog)
        return Snapshot(
            trained.model,
            recommender,
            recommender.catalog,
            catalog_version=version.number,
            simpler=simpler_models(recommender.catalog, rows),
            similar=similar,
            newer=newer if newer is not None and newer.any() else None,
            reads=reads_of(recommender),
        )

    def signature(self) -> tuple[Any, ...]:
        """Return what changes with every change of the files."""
        folder = self.catalog.folder
        return stat_of(folder / VERSIONS), stat_of(folder / STAGED), self.catalog.facts_file.signature()


class _Published:
    """A version that answers: its snapshot without facts, and the facts over it so far."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._items = PresentItems(snapshot.catalog)
        self.snapshot.__dict__.setdefault("numbers", self._items.numbers)
        self._own = self._items.windows
        self._position: Position | None = None
        self._removed: tuple[str, ...] = ()

    def differs(self, catalog: LivingCatalog) -> bool:
        """Say whether facts or removals have changed since."""
        return catalog.facts_file.catch_up() != self._position or catalog.staged.removed != self._removed

    def present(self, catalog: LivingCatalog, revision: int, now: float) -> Snapshot:
        """Return the snapshot with present facts."""
        file, self._removed = catalog.facts_file, catalog.staged.removed
        with file.still():
            position = file.catch_up()
            changes = file.changes_after(self._position)
            if changes is None:
                self._items = PresentItems(self.snapshot.catalog, self._own)
                changes = [FactsChange(file.values, tuple(file.hidden))]
            for change in changes:
                self._items.put(change)
            items = self._items.catalog(file.kinds)
            self._position = position
        shown = ~self._items.hidden
        shown[[self._items.numbers[item] for item in self._removed if item in self._items.numbers]] = False
        windows = self._items.windows or None
        return self.snapshot.with_facts(items, None if shown.all() else shown, windows, revision, now)


def prepare(recommender: Recommender) -> None:
    """Let a recommender compute what all its searches share, such as the encodings of all items."""
    for part in [recommender, *(part.recommender for part in getattr(recommender, "parts", ()))]:
        getattr(part, "searcher", None)


def reads_of(recommender: Recommender) -> tuple[int, int]:
    """Return how many events of a history a model reads at most, and about how many tokens of each."""
    settings = getattr(recommender, "settings", None)
    network, prompts = getattr(settings, "network", None), getattr(settings, "prompts", None)
    longest = getattr(network, "max_history", None) or getattr(prompts, "max_history", None) or 50
    identifiers = getattr(recommender, "identifiers", None)
    tokens = identifiers.tokens.shape[1] if identifiers is not None else 1
    prompts_of_items = getattr(recommender, "item_prompts", None)
    if prompts_of_items is not None and len(prompts_of_items.lengths):
        tokens = int(prompts_of_items.lengths.float().mean())
    return int(longest), max(1, int(tokens))


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
