"""Snapshots from disk: a recommender of a finished experiment or a folder, with simpler models beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from lexirec.core.digests import file_digest
from lexirec.core.runs import RunRecord
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.splits import Split
from lexirec.models.living_catalog import CATALOGS, Facts
from lexirec.models.loading import load_recommender, metrics_of
from lexirec.serving.answering.living import LivingSnapshots, Trained, reads_of, simpler_models
from lexirec.serving.answering.similar import unit_rows
from lexirec.serving.answering.snapshot import ModelIdentity, SimilarItems, SimplerModel, Snapshot, next_revision
from lexirec.serving.answering.sources import Source
from lexirec.serving.catalog_versions.carrying import Place
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.catalog_versions.encodings import map_encodings

_DIGITS = 12
_FOLDERS = "=folders"
"""Folder for the facts of saved recommenders, beside those of experiments; no experiment can have this name."""


class ModelCard(NamedTuple):
    """What the record of a run says about a model: when the run ended, and what it measured."""

    finished: str | None = None
    metrics: Mapping[str, Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model that was loaded.

    Attributes:
        model: Its identity.
        living: Its catalogue that may change; None for a saved recommender, whose catalogue stays as it is.
        saved: Snapshot of a saved recommender, without facts; None for one whose catalogue may change.
        source: Where it comes from; None for one that was made in memory.
        card: What its run measured.
        state: Folder of the facts of a saved recommender; None for others, and for a model in memory.
    """

    model: ModelIdentity
    living: LivingSnapshots | None = None
    saved: Snapshot | None = None
    source: Source | None = None
    card: ModelCard = field(default=ModelCard())
    state: Path | None = None

    @classmethod
    def of(cls, snapshot: Snapshot) -> Loaded:
        """Return a model that was made in memory."""
        return cls(snapshot.model, saved=snapshot)

    def place(self) -> Place | None:
        """Return where facts of other models are carried to; None for a model in memory."""
        if self.living is not None:
            return Place.of(self.living.catalog)
        if self.state is None or self.saved is None:
            return None
        return Place.in_folder(self.state, self.saved.catalog)

    def begin(self) -> Snapshot:
        """Return the snapshot of the present state."""
        if self.living is not None:
            return self.living.begin()
        assert self.saved is not None, "a model has a catalogue that may change, or was saved"
        facts, catalog = Facts.read(self.state) if self.state is not None else Facts(), self.saved.catalog
        (present, windows), shown = facts.items(catalog), facts.mask(catalog)
        if shown.all() and not facts.values and not windows:
            return self.saved
        return self.saved.with_facts(
            present, None if shown.all() else shown, windows or None, next_revision(), time.time()
        )


def load_model(source: Source) -> Loaded:
    """Load a model and what answers beside it: simpler models, similar items, and the catalogue that may change.

    Raises:
        ArtifactError: there is no such experiment, folder or recommender, or its files are damaged.
    """
    if source.folder is not None:
        return _load_folder(source, source.folder)
    run, part, stage = source.stage()
    store = source.store
    identity = ModelIdentity(f"{run.name}:{part}" if source.part else run.name, stage.key[:_DIGITS])
    rows, catalog = _rows(store, run), Catalog.load(stage.folder / "catalog")

    def load() -> Snapshot:
        store.check(stage.folder)
        recommender = load_recommender(stage.folder)
        map_encodings(store, stage.key, recommender)
        return _snapshot(identity, recommender, simpler_models(recommender.catalog, rows), _similar(store, run))

    living = LivingSnapshots(LivingCatalog(store, run.name, part, stage), Trained(identity, catalog, rows, load))
    card = ModelCard(run.finished, metrics_of(run, part))
    return Loaded(identity, living, source=source.exact(stage.key), card=card)


def _load_folder(source: Source, folder: Path) -> Loaded:
    """Load a saved recommender; what its files hold tells it from another one of the same name."""
    identity = ModelIdentity(folder.resolve().name, file_digest(folder)[:_DIGITS])
    recommender = load_recommender(folder)
    popularity = simpler_models(recommender.catalog, Sequences.from_lists([]))[-1:]  # there are no events to count
    state = source.store.root / CATALOGS / _FOLDERS / identity.name / identity.version
    return Loaded(identity, None, _snapshot(identity, recommender, popularity), source, state=state)


def _snapshot(
    identity: ModelIdentity,
    recommender: Recommender,
    simpler: tuple[SimplerModel, ...],
    similar: SimilarItems | None = None,
) -> Snapshot:
    catalog, reads = recommender.catalog, reads_of(recommender)
    return Snapshot(identity, recommender, catalog, simpler=simpler, similar=similar or SimilarItems(), reads=reads)


def _rows(store: Store, run: RunRecord) -> Sequences:
    """Return the events of all folds, which simpler models count: they answer users and are not measured."""
    data = run.stages.get("data")
    if data is None:
        return Sequences.from_lists([])
    store.check(data.folder)
    split = Split.load(data.folder / "split")
    # a test history holds all events of its user but the target; others have their training row only
    others = np.flatnonzero(~np.isin(split.train_users, split.test.users))
    return Sequences.concatenate([split.train.take(others), split.test.histories])


def _similar(store: Store, run: RunRecord) -> SimilarItems:
    """Read the lists of neighbours and the vectors that the experiment has."""
    neighbors: Neighbors | None = None
    names: tuple[str, ...] = ()
    if "neighbors" in run.stages:
        store.check(run.stages["neighbors"].folder)
        neighbors, names = Neighbors.load(run.stages["neighbors"].folder), ("neighbors",)
    sources = {name: stage.folder for name, stage in run.stages.items() if stage.group == "vectors"}
    vectors = [load_array(folder / "vectors.npy") for folder in sources.values()]
    names = (*names, *sources)
    return SimilarItems(
        neighbors.items if neighbors is not None else None,
        neighbors.scores if neighbors is not None else None,
        unit_rows(vectors) if vectors else None,
        names,
    )
