"""Snapshots from disk: a recommender of a finished experiment or a folder, with simpler models beside it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np

from lexirec.core.runs import RunRecord, find_run, recommenders
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.splits import Split
from lexirec.models.item_windows import Windows
from lexirec.models.loading import chosen, load_recommender
from lexirec.models.saving import MANIFEST, read_manifest
from lexirec.serving.answering.living import LivingSnapshots, Trained, reads_of, simpler_models
from lexirec.serving.answering.similar import unit_rows
from lexirec.serving.answering.snapshot import ModelIdentity, SimilarItems, SimplerModel, Snapshot
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.catalog_versions.encodings import map_encodings

_log = logging.getLogger(__name__)
_DIGITS = 12


def load_snapshot(store: Store, name: str, wanted: str | None = None) -> tuple[Snapshot, LivingSnapshots | None]:
    """Load what answers requests first, and for an experiment the catalogue that may change.

    Args:
        store: of finished experiments.
        name: of an experiment, or the folder of a saved recommender, whose catalogue stays as it is.
        wanted: name of one of the experiment's recommenders; by default the last trained model, else the best baseline.

    Raises:
        ArtifactError: there is no such experiment, folder or recommender, or its files are damaged.
    """
    if (Path(name) / MANIFEST).is_file():
        folder = Path(name)
        identity = ModelIdentity(folder.resolve().name, str(read_manifest(folder)["catalog"])[:_DIGITS])
        recommender = load_recommender(folder)
        popularity = simpler_models(recommender.catalog, Sequences.from_lists([]))[-1:]  # there are no events to count
        return _within_windows(_snapshot(identity, recommender, popularity)), None
    run = find_run(store, name)
    part = chosen(run, wanted)
    stage = recommenders(run)[part]
    identity = ModelIdentity(f"{run.name}:{part}" if wanted else run.name, stage.key[:_DIGITS])
    rows, catalog = _rows(store, run), Catalog.load(stage.folder / "catalog")

    def load() -> Snapshot:
        store.check(stage.folder)
        recommender = load_recommender(stage.folder)
        map_encodings(store, stage.key, recommender)
        return _snapshot(identity, recommender, simpler_models(recommender.catalog, rows), _similar(store, run))

    living = LivingSnapshots(LivingCatalog(store, run.name, part, stage), Trained(identity, catalog, rows, load))
    return living.begin(), living


def _snapshot(
    identity: ModelIdentity,
    recommender: Recommender,
    simpler: tuple[SimplerModel, ...],
    similar: SimilarItems | None = None,
) -> Snapshot:
    catalog, reads = recommender.catalog, reads_of(recommender)
    return Snapshot(identity, recommender, catalog, simpler=simpler, similar=similar or SimilarItems(), reads=reads)


def _within_windows(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot whose items are available as their own columns say."""
    windows = Windows.of(snapshot.catalog)
    return snapshot.with_facts(snapshot.catalog, None, windows, 0, time.time()) if windows else snapshot


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
