"""Stages of baselines and of item neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexirec.core.store import progress_folder
from lexirec.data import neighbors
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.sparse_neighbors import recall_in_words
from lexirec.data.splits import Cases
from lexirec.models.baselines.base import BaselineInputs, BaselineSettings
from lexirec.models.baselines.memory import Memory
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.registry import BASELINES
from lexirec.models.baselines.sasrec import Sasrec
from lexirec.pipeline.components import (
    CoOccurrenceNeighbors,
    MemoryNeighbors,
    NeighborsChoice,
    PublishedNeighbors,
    SasrecNeighbors,
)
from lexirec.pipeline.stages.data import item_names, load_times, load_train, write_summary
from lexirec.pipeline.stages.identifiers import joined_vectors

Folders = Mapping[str, Path]

# -------------------------------------------------------------------------------------------------------- baselines


def fit_baseline(settings: BaselineSettings, inputs: Folders, out: Path) -> None:
    """Fit one baseline on the training part and save it as a complete recommender."""
    catalog = Catalog.load(inputs["catalog"])
    given = replace(baseline_inputs(catalog, inputs, out), validation=Cases.load(inputs["validation"]))
    ScoreRecommender(catalog, BASELINES[settings.kind].fitted(settings, given)).save(out)


def baseline_inputs(catalog: Catalog, inputs: Folders, out: Path) -> BaselineInputs:
    """Return what a baseline can be fitted on, without cases to choose on; read where it is asked for."""
    part = load_train(inputs, len(catalog))
    readers: dict[str, Callable[[], Any]] = {
        "texts": catalog.texts,
        "vectors": lambda: joined_vectors(inputs),
        "neighbors": lambda: Neighbors.load(inputs["neighbors"]),
        "times": lambda: load_times(inputs["times"]) if "times" in inputs else None,
    }
    return BaselineInputs(part.train, part.n_items, None, progress_folder(out), readers)


# ----------------------------------------------------------------------------------------------------------- neighbors


def prepare_neighbors(settings: NeighborsChoice, inputs: Folders, out: Path) -> None:
    """Compute or read the neighbours of every item."""
    catalog = Catalog.load(inputs["catalog"])
    match settings:
        case SasrecNeighbors():
            result = neighbors.nearest(Sasrec.load(inputs["sasrec"] / "scorer").item_vectors(), settings.k)
        case CoOccurrenceNeighbors():
            train = load_train(inputs, len(catalog)).train
            result = neighbors.co_occurrence(train, len(catalog), settings.k, window=settings.window)
        case MemoryNeighbors():
            result = Memory.fitted(settings.baseline(), baseline_inputs(catalog, inputs, out)).neighbors(settings.k)
        case PublishedNeighbors():
            result = neighbors.read_published(inputs["published"], catalog).first(settings.k)
        case _:
            result = neighbors.nearest(joined_vectors(inputs), settings.k)
    result.save(out)
    write_summary(out, "Neighbours", _neighbor_lines(result, catalog))


def _neighbor_lines(similar: Neighbors, catalog: Catalog) -> list[str]:
    without = int((similar.items < 0).all(axis=1).sum())
    name = item_names(catalog)
    lines = [f"items: {len(similar):,}, of which {without:,} have no neighbour"]
    if similar.recall is not None:
        lines.append(f"neighbours by text: {recall_in_words(similar.recall)}")
    for item in range(min(5, len(similar))):
        lines.append(f"{name[item]}: {'; '.join(name[other] for other in similar.items[item, :3] if other >= 0)}")
    return lines
