"""The stages that learn and measure: baselines, the model, evaluations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lexirec.artifacts import progress_folder
from lexirec.choices import MemoryBaseline, SasrecBaseline
from lexirec.codes.identifiers import Identifiers
from lexirec.config import Settings
from lexirec.data.neighbors import Neighbors
from lexirec.data.splits import Cases, Split
from lexirec.evaluation import Report, evaluate
from lexirec.experiment import EvaluationSettings
from lexirec.late_fusion_recommender import Knowledge, LateFusionRecommender, ModelSettings
from lexirec.models.backbone import BackboneSettings, count_parameters, load_backbone
from lexirec.models.baselines import Ease, EaseSettings, ItemKnn, ItemKnnSettings, Popularity
from lexirec.models.sasrec import Sasrec, SasrecSettings
from lexirec.models.sasrec_training import fit_sasrec
from lexirec.preparing import fit_memory, joined_vectors, load_catalog, load_saved_tokenizer, load_split, write_summary
from lexirec.recommenders import Scorer, ScoreRecommender, load_recommender
from lexirec.training.trainer import METRIC

Folders = Mapping[str, Path]
CURVE = "curve.json"
"""The learning curve of a model, beside its weights."""
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
        case SasrecSettings():
            return _fit_sasrec(settings, inputs, split, out)
        case ItemKnnSettings():
            return ItemKnn(settings).fit(split.train, split.n_items)
        case EaseSettings():
            return Ease(settings).fit(split.train, split.n_items)
        case _:
            return Popularity().fit(split.train, split.n_items)


def _fit_sasrec(settings: SasrecSettings, inputs: Folders, split: Split, out: Path) -> Sasrec:
    extras = settings if isinstance(settings, SasrecBaseline) else SasrecBaseline()
    return fit_sasrec(
        Sasrec(settings.alone() if isinstance(settings, SasrecBaseline) else settings),
        split.train,
        split.n_items,
        validation=split.validation,
        vectors=joined_vectors(inputs) if extras.with_vectors else None,
        neighbors=Neighbors.load(inputs["neighbors"]) if extras.with_neighbors else None,
        progress=progress_folder(out),
    )


# --------------------------------------------------------------------------------------------------------- the model


class ModelStage(Settings):
    """What the model's stage depends on besides its inputs: the backbone's name has its content beside it."""

    backbone: BackboneSettings
    model: ModelSettings


def fit_model(settings: ModelStage, inputs: Folders, out: Path) -> None:
    """Train the late-fusion model and save it as a complete recommender, with its learning curve."""
    catalog, split = load_catalog(inputs["data"]), load_split(inputs["data"])
    tokenizer = load_saved_tokenizer(inputs["tokenizer"])
    backbone = load_backbone(settings.backbone, tokenizer=tokenizer, seed=settings.model.seed)
    grounded = settings.model.fusion.grounded and any(name.startswith("vectors.") for name in inputs)
    knowledge = Knowledge(
        Identifiers.load(inputs["identifiers"]),
        Neighbors.load(inputs["neighbors"]) if "neighbors" in inputs else None,
        joined_vectors(inputs) if grounded else None,
    )
    made = LateFusionRecommender.build(catalog, backbone, knowledge, settings.model)
    made.fit(split.train, validation=split.validation, folder=progress_folder(out))
    made.save(out)
    (out / CURVE).write_text(json.dumps(made.curve, indent=1) + "\n", encoding="utf-8")
    write_summary(out, "Model", _model_lines(made, split))


def _model_lines(made: LateFusionRecommender, split: Split) -> list[str]:
    lines = [f"weights: {count_parameters(made.model):,}"]
    if made.census is not None:
        lines += [f"tokens read of {part.name}: {part.share:.1%}" for part in made.census.parts]
        lines.append(f"prompts of items: {made.census.mean_length:.1f} tokens on average")
    told = made.user_census(split.validation.histories)
    lines += [told.warning] if told is not None and told.warning else []
    chosen = max((row[METRIC] for row in made.curve if METRIC in row), default=None)
    return lines + ([f"best {METRIC}: {chosen:.4f}"] if chosen is not None else [])


# ------------------------------------------------------------------------------------------------------ measurements


def measured_cases(settings: EvaluationSettings, split: Split) -> Cases:
    """Return the cases that are reported: a fold, or a fixed random sample of it."""
    cases = split.test if settings.fold == "test" else split.validation
    if settings.sample_users is None or settings.sample_users >= len(cases):
        return cases
    chosen = np.random.default_rng(settings.seed).choice(len(cases), settings.sample_users, replace=False)
    return cases.take(np.sort(chosen))


def measure(settings: EvaluationSettings, inputs: Folders, out: Path) -> None:
    """Measure a recommender with seen items excluded and included, as asked: one saved report in each folder."""
    recommender, split = load_recommender(inputs["recommender"]), load_split(inputs["data"])
    cases = measured_cases(settings, split)
    protocol = {"fold": settings.fold, "sample_users": settings.sample_users, "sample_seed": settings.seed}
    for seen in settings.seen:
        report = evaluate(
            recommender,
            cases,
            ks=settings.ks,
            exclude_seen=seen == "excluded",
            protocol={**split.protocol, **protocol},
        )
        report.save(out / seen)
    _write_metrics(out, settings)


def _write_metrics(out: Path, settings: EvaluationSettings) -> None:
    lines = []
    for seen in settings.seen:
        metrics = Report.load(out / seen).metrics
        lines += [f"seen items {seen}: {name} {value:.4f}" for name, value in metrics.items()]
    write_summary(out, "Evaluation", lines)
