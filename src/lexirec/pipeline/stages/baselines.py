"""The stages that learn and measure: baselines, the model, evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.config import Settings
from lexirec.core.errors import DataError
from lexirec.core.store import progress_folder
from lexirec.data.neighbors import Neighbors
from lexirec.data.splits import Cases, Split, unseen_cases
from lexirec.evaluation.evaluator import Report, evaluate
from lexirec.models.baselines.als import Als, AlsSettings
from lexirec.models.baselines.gru4rec import Gru4Rec, Gru4RecSettings
from lexirec.models.baselines.hstu import Hstu, HstuSettings
from lexirec.models.baselines.item_similarity import Ease, EaseSettings, ItemKnn, ItemKnnSettings, Popularity
from lexirec.models.baselines.popularity import Recency, RecencySettings
from lexirec.models.baselines.recommender import Scorer, ScoreRecommender, load_recommender
from lexirec.models.baselines.sasrec import Sasrec, SasrecSettings
from lexirec.models.baselines.sequential import SequenceScorer
from lexirec.models.baselines.sequential_training import fit_sequences
from lexirec.models.baselines.transitions import Transitions, TransitionsSettings
from lexirec.pipeline.components import MemoryBaseline, SasrecBaseline
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.stages.data import load_times
from lexirec.pipeline.stages.identifiers import fit_memory, joined_vectors, load_catalog, load_split, write_summary

Folders = Mapping[str, Path]
# -------------------------------------------------------------------------------------------------------- baselines


def fit_baseline(settings: Settings, inputs: Folders, out: Path) -> None:
    """Fit one baseline on the training part and save it as a complete recommender."""
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


# ------------------------------------------------------------------------------------------------------ measurements


def measured_cases(settings: EvaluationSettings, split: Split) -> Cases:
    """Return the cases that are reported: a fold or part of it, or a fixed random sample of that.

    Raises:
        DataError: unseen ones are asked for, and there are none.
    """
    cases = split.test if settings.fold == "test" else split.validation
    if settings.cases == "unseen":
        cases = cases.take(np.flatnonzero(unseen_cases(split)))
        if not len(cases):
            raise DataError(
                'cases = "unseen" (choose_on, where settings are searched): every validation history ends with an event'
                " that was trained on, as under leave-last-out; measure all of them, or hold some back with"
                " data.split.hold_back = 0.2"
            )
    if settings.sample_users is None or settings.sample_users >= len(cases):
        return cases
    chosen = np.random.default_rng(settings.seed).choice(len(cases), settings.sample_users, replace=False)
    return cases.take(np.sort(chosen))


def measure(settings: EvaluationSettings, inputs: Folders, out: Path) -> None:
    """Measure a recommender with seen items excluded and included, as asked: one saved report in each folder."""
    recommender, split = load_recommender(inputs["recommender"]), load_split(inputs["data"])
    cases = measured_cases(settings, split)
    protocol: dict[str, Any] = {
        "fold": settings.fold,
        "sample_users": settings.sample_users,
        "sample_seed": settings.seed,
        **({"newest_event": settings.cases} if settings.cases != "all" else {}),
    }
    for seen in settings.seen:
        report = evaluate(
            recommender,
            cases,
            ks=settings.ks,
            exclude_seen=seen == "excluded",
            protocol={**split.protocol, **protocol},
        )
        report.save(out / seen, keep_lists=settings.keep_lists)
    _write_metrics(out, settings)


def _write_metrics(out: Path, settings: EvaluationSettings) -> None:
    lines = []
    for seen in settings.seen:
        metrics = Report.load(out / seen, lists=False).metrics
        lines += [f"seen items {seen}: {name} {value:.4f}" for name, value in metrics.items()]
    write_summary(out, "Evaluation", lines)
