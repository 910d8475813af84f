"""Stages of baselines and of item neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lexirec.core.store import progress_folder
from lexirec.data import neighbors
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
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
from lexirec.pipeline.stages.data import item_names, load_catalog, load_split, load_times, write_summary
from lexirec.pipeline.stages.identifiers import joined_vectors

Folders = Mapping[str, Path]

# -------------------------------------------------------------------------------------------------------- baselines


def fit_baseline(settings: BaselineSettings, inputs: Folders, out: Path) -> None:
    """Fit one baseline on the training part and save it as a complete recommender."""
    scorer = BASELINES[settings.kind].fitted(settings, baseline_inputs(inputs, out))
    ScoreRecommender(load_catalog(inputs["data"]), scorer).save(out)


def baseline_inputs(inputs: Folders, out: Path) -> BaselineInputs:
    """Return what a baseline can be fitted on, read from the folders of a stage where it is asked for."""
    split = load_split(inputs["data"])
    readers: dict[str, Callable[[], Any]] = {
        "texts": lambda: load_catalog(inputs["data"]).texts(),
        "vectors": lambda: joined_vectors(inputs),
        "neighbors": lambda: Neighbors.load(inputs["neighbors"]),
        "times": lambda: load_times(inputs["times"]) if "times" in inputs else None,
    }
    return BaselineInputs(split.train, split.n_items, split.validation, progress_folder(out), readers)


# ----------------------------------------------------------------------------------------------------------- neighbors


def prepare_neighbors(settings: NeighborsChoice, inputs: Folders, out: Path) -> None:
    """Compute or read the neighbours of every item."""
    split, catalog = load_split(inputs["data"]), load_catalog(inputs["data"])
    match settings:
        case SasrecNeighbors():
            result = neighbors.nearest(Sasrec.load(inputs["sasrec"] / "scorer").item_vectors(), settings.k)
        case CoOccurrenceNeighbors():
            result = neighbors.co_occurrence(split.train, len(catalog), settings.k, window=settings.window)
        case MemoryNeighbors():
            result = Memory.fitted(settings.baseline(), baseline_inputs(inputs, out)).neighbors(settings.k)
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
    for item in range(min(5, len(similar))):
        lines.append(f"{name[item]}: {'; '.join(name[other] for other in similar.items[item, :3] if other >= 0)}")
    return lines
