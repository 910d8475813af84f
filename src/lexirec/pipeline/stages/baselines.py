"""Stages of baselines and of item neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lexirec.core.config import Settings
from lexirec.core.store import progress_folder
from lexirec.data import neighbors
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.splits import Split
from lexirec.models.baselines.als import Als, AlsSettings
from lexirec.models.baselines.base import Scorer
from lexirec.models.baselines.gru4rec import Gru4Rec, Gru4RecSettings
from lexirec.models.baselines.hstu import Hstu, HstuSettings
from lexirec.models.baselines.item_similarity import Ease, EaseSettings, ItemKnn, ItemKnnSettings
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.baselines.popularity import Popularity, Recency, RecencySettings
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.sasrec import Sasrec, SasrecSettings
from lexirec.models.baselines.sequential import SequenceScorer
from lexirec.models.baselines.sequential_training import fit_sequences
from lexirec.models.baselines.transitions import Transitions, TransitionsSettings
from lexirec.pipeline.components import (
    CoOccurrenceNeighbors,
    Evidence,
    MemoryBaseline,
    MemoryNeighbors,
    NeighborsChoice,
    PublishedNeighbors,
    SasrecBaseline,
    SasrecNeighbors,
)
from lexirec.pipeline.stages.data import item_names, load_catalog, load_split, load_times, write_summary
from lexirec.pipeline.stages.identifiers import joined_vectors

Folders = Mapping[str, Path]


def fit_baseline(settings: Settings, inputs: Folders, out: Path) -> None:
    """Fit one baseline on the training part and save it as a recommender."""
    catalog, split = load_catalog(inputs["data"]), load_split(inputs["data"])
    scorer = _fitted(settings, inputs, split, out)
    ScoreRecommender(catalog, scorer).save(out)


def _fitted(settings: Settings, inputs: Folders, split: Split, out: Path) -> Scorer:
    match settings:
        case MemoryBaseline():
            return fit_memory(settings.alone(), settings.evidence, inputs)
        case TransitionsSettings():
            return Transitions(settings).fit(split.train, split.n_items)
        case RecencySettings():
            times = load_times(inputs["times"]) if "times" in inputs else None
            return Recency(settings).fit(split.train, split.n_items, times=times)
        case SasrecSettings():
            return _fit_sequences(Sasrec(_alone(settings)), settings, inputs, out)
        case Gru4RecSettings():
            return _fit_sequences(Gru4Rec(settings), settings, inputs, out)
        case HstuSettings():
            return _fit_sequences(Hstu(settings), settings, inputs, out)
        case AlsSettings():
            return Als(settings).fit(split.train, split.n_items)
        case ItemKnnSettings():
            return ItemKnn(settings).fit(split.train, split.n_items)
        case EaseSettings():
            return Ease(settings).fit(split.train, split.n_items)
        case _:
            return Popularity().fit(split.train, split.n_items)


def _alone(settings: SasrecSettings) -> SasrecSettings:
    return settings.alone() if isinstance(settings, SasrecBaseline) else settings


def _fit_sequences(model: SequenceScorer, settings: Settings, inputs: Folders, out: Path) -> SequenceScorer:
    extras, split = settings if isinstance(settings, SasrecBaseline) else SasrecBaseline(), load_split(inputs["data"])
    return fit_sequences(
        model,
        split.train,
        split.n_items,
        validation=split.validation,
        vectors=joined_vectors(inputs) if extras.with_vectors else None,
        neighbors=Neighbors.load(inputs["neighbors"]) if extras.with_neighbors else None,
        progress=progress_folder(out),
    )


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
            result = fit_memory(settings.memory, settings.evidence, inputs).neighbors(settings.k)
        case PublishedNeighbors():
            result = neighbors.read_published(inputs["published"], catalog).first(settings.k)
        case _:
            result = neighbors.nearest(joined_vectors(inputs), settings.k)
    result.save(out)
    write_summary(out, "Neighbours", _neighbor_lines(result, catalog))


def fit_memory(settings: MemorySettings, evidence: Evidence, inputs: Folders) -> Memory:
    """Fit a memory (text-smoothed item co-occurrence) on the training part, smoothed with the given evidence."""
    split, memory = load_split(inputs["data"]), Memory(settings)
    match evidence:
        case "text":
            return memory.fit(split.train, split.n_items, texts=load_catalog(inputs["data"]).texts())
        case "vectors":
            return memory.fit(split.train, split.n_items, vectors=joined_vectors(inputs))
        case "none":
            return memory.fit(split.train, split.n_items)


def _neighbor_lines(similar: Neighbors, catalog: Catalog) -> list[str]:
    without = int((similar.items < 0).all(axis=1).sum())
    name = item_names(catalog)
    lines = [f"items: {len(similar):,}, of which {without:,} have no neighbour"]
    for item in range(min(5, len(similar))):
        lines.append(f"{name[item]}: {'; '.join(name[other] for other in similar.items[item, :3] if other >= 0)}")
    return lines
