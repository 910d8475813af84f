"""Stages that train generative models: pretraining, fine-tuning, reinforcement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.config import Settings
from lexirec.core.store import progress_folder
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import load_array
from lexirec.data.splits import Cases
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramSettings
from lexirec.models.pretraining import PERPLEXITY, PretrainSettings, pretrain
from lexirec.models.tsrec.keywords import TokenWords, token_words
from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.models.tsrec.settings import ReinforcementSettings, SftSettings, TSRecSettings
from lexirec.nn.backbone_folder import local_files
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal
from lexirec.nn.pretrained import count_parameters
from lexirec.nn.t5 import Backbone, BackboneSettings, load_backbone, save_backbone
from lexirec.pipeline.stages.data import Folders, load_preferences, load_train_and_validation, write_summary
from lexirec.pipeline.stages.identifiers import SEMANTIC_IDS, joined_vectors, load_saved_tokenizer
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.lexicon.lexicon import Lexicon
from lexirec.training.arguments import METRIC

CURVE = "curve.json"
"""File of the learning curve, beside a model's weights."""


class BackboneStage(Settings):
    """Settings that enter the key of pretraining; a local backbone also enters by its content."""

    backbone: BackboneSettings | CausalBackboneSettings
    pretraining: PretrainSettings
    seed: int


class ModelStage(Settings):
    """Settings that enter the key of the model; a local backbone also enters by its content."""

    backbone: BackboneSettings | CausalBackboneSettings
    model: GramSettings | TSRecSettings


def pretrain_backbone(settings: BackboneStage, inputs: Folders, out: Path) -> None:
    """Pretrain the backbone on the catalogue's text and save it as a loadable checkpoint."""
    tokenizer = load_saved_tokenizer(inputs["tokenizer"])
    backbone = _load(settings.backbone, tokenizer, settings.seed)
    texts = Catalog.load(inputs["catalog"]).texts()
    curve = pretrain(backbone, texts, settings.pretraining, folder=progress_folder(out))
    save_backbone(backbone, out)
    _write_curve(out, curve)
    best = min((row[PERPLEXITY] for row in curve if PERPLEXITY in row), default=None)
    lines = [f"weights: {count_parameters(backbone.model):,}"]
    write_summary(out, "Backbone", lines + ([f"lowest {PERPLEXITY}: {best:.2f}"] if best is not None else []))


def fit_model(settings: ModelStage, inputs: Folders, out: Path) -> None:
    """Train the generative model and save it as a recommender with its learning curve."""
    recommender: TSRecRecommender | GramRecommender
    if isinstance(settings.model, TSRecSettings):
        recommender = build_tsrec(settings.backbone, settings.model, inputs)
        fit_tsrec(recommender, inputs, out)
    else:
        recommender = _fit_gram(settings.backbone, settings.model, inputs, out)
    save_trained(recommender, out)


def reinforce_model(settings: ReinforcementSettings, inputs: Folders, out: Path) -> None:
    """Reinforce a trained TS-Rec recommender and save the result as a new recommender."""
    recommender = TSRecRecommender.load(inputs["model"])
    part = load_train_and_validation(inputs, len(recommender.catalog))
    scorer = ScoreRecommender.load(inputs["scorer"]).scorer.scores if "scorer" in inputs else None
    has_vectors = any(name.startswith("vectors.") for name in inputs)
    recommender.reinforce(
        part.train,
        settings,
        validation=part.validation,
        folder=progress_folder(out),
        vectors=joined_vectors(inputs) if has_vectors else None,
        scorer=scorer,
    )
    save_trained(recommender, out)
    write_summary(out, "Reinforced model", _best_lines(recommender.curve))


def _fit_gram(
    backbone: BackboneSettings | CausalBackboneSettings, settings: GramSettings, inputs: Folders, out: Path
) -> GramRecommender:
    catalog = Catalog.load(inputs["catalog"])
    part = load_train_and_validation(inputs, len(catalog))
    item_inputs = GramInputs(
        Identifiers.load(inputs["identifiers"]), *_neighbors_and_vectors(inputs, grounded=settings.network.grounded)
    )
    recommender = GramRecommender.build(catalog, _backbone(backbone, settings.seed, inputs), item_inputs, settings)
    recommender.fit(part.train, validation=part.validation, folder=progress_folder(out))
    write_summary(out, "Model", _gram_lines(recommender, part.validation))
    return recommender


def build_tsrec(
    backbone: BackboneSettings | CausalBackboneSettings, settings: TSRecSettings, inputs: Folders
) -> TSRecRecommender:
    """Return an untrained TS-Rec recommender from the inputs of a model's stage."""
    item_inputs = tsrec_inputs(inputs, grounded=settings.network.grounded)
    loaded = _backbone(backbone, settings.seed, inputs)
    return TSRecRecommender.build(Catalog.load(inputs["catalog"]), loaded, item_inputs, settings)


def fit_tsrec(recommender: TSRecRecommender, inputs: Folders, out: Path, training: SftSettings | None = None) -> None:
    """Fine-tune a TS-Rec recommender on the training part of its data; write `summary.md`."""
    part = load_train_and_validation(inputs, len(recommender.catalog))
    texts = load_preferences(inputs["preferences"]) if recommender.settings.tasks.preference else None
    recommender.fit(
        part.train, validation=part.validation, folder=progress_folder(out), training=training, preferences=texts
    )
    write_summary(out, "Model", _tsrec_lines(recommender, part.validation))


def tsrec_inputs(inputs: Folders, *, grounded: bool) -> TSRecInputs:
    """Return the item inputs of a TS-Rec recommender: identifiers, token texts, semantic IDs, neighbours, vectors."""
    neighbors, vectors = _neighbors_and_vectors(inputs, grounded=grounded)
    identifiers = Identifiers.load(inputs["identifiers"])
    return TSRecInputs(identifiers, words_of(inputs), _semantic_ids(inputs), neighbors, vectors)


def _neighbors_and_vectors(inputs: Folders, *, grounded: bool) -> tuple[Neighbors | None, NDArray[np.float32] | None]:
    neighbors = Neighbors.load(inputs["neighbors"]) if "neighbors" in inputs else None
    has_vectors = grounded and any(name.startswith("vectors.") for name in inputs)
    return neighbors, joined_vectors(inputs) if has_vectors else None


def words_of(inputs: Folders) -> Sequence[TokenWords]:
    """Return keywords and descriptions of the code tokens from the lexicon among the inputs; empty without one."""
    if "lexicon" not in inputs:
        return ()
    return token_words(Lexicon.load(inputs["lexicon"]), Codes.load(inputs["codes"]))


def _semantic_ids(inputs: Folders) -> NDArray[np.int32] | None:
    file = inputs["codes"] / SEMANTIC_IDS if "codes" in inputs else None
    return load_array(file) if file is not None and file.is_file() else None


def _backbone(settings: BackboneSettings | CausalBackboneSettings, seed: int, inputs: Folders) -> Backbone:
    """Load the backbone, from the pretraining stage where there is one."""
    # without that stage the input is what `backbone.name` names, and is cut and spelled as the settings say
    if inputs.get("backbone") not in (None, local_files(settings.name)):
        # the checkpoint has its own sizes
        changed: dict[str, Any] = dict.fromkeys(_SIZES & set(type(settings).model_fields))
        if isinstance(settings, CausalBackboneSettings):
            changed["dropout"] = settings.rate  # that of a scratch model, although it is loaded from a folder now
        settings = settings.model_copy(update={"name": str(inputs["backbone"]), **changed})
        return _load(settings, load_saved_tokenizer(inputs["backbone"]), seed)
    return _load(settings, load_saved_tokenizer(inputs["tokenizer"]), seed)


_SIZES = {"keep_layers", "d_model", "layers", "decoder_layers", "heads", "feed_forward"}


def _load(settings: BackboneSettings | CausalBackboneSettings, tokenizer: Any, seed: int) -> Backbone:
    if isinstance(settings, CausalBackboneSettings):
        return load_causal(settings, tokenizer=tokenizer, seed=seed)
    return load_backbone(settings, tokenizer=tokenizer, seed=seed)


def save_trained(recommender: TSRecRecommender | GramRecommender, out: Path) -> None:
    """Save a trained recommender with its learning curve."""
    recommender.save(out)
    _write_curve(out, recommender.curve)


def _write_curve(out: Path, curve: Sequence[Mapping[str, float]]) -> None:
    (out / CURVE).write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")


def _gram_lines(recommender: GramRecommender, validation: Cases) -> list[str]:
    lines = [f"weights: {count_parameters(recommender.model):,}"]
    if recommender.census is not None:
        lines += [f"share of {part.name} tokens in the prompt: {part.share:.1%}" for part in recommender.census.parts]
        lines.append(f"prompts of items: {recommender.census.mean_length:.1f} tokens on average")
    census = recommender.user_census(validation.histories)
    lines += [census.warning] if census is not None and census.warning else []
    return lines + _best_lines(recommender.curve)


def _tsrec_lines(recommender: TSRecRecommender, validation: Cases) -> list[str]:
    lines = [f"weights: {count_parameters(recommender.model):,}"]
    lines += [f"examples of {task}: {count:,}" for task, count in recommender.example_counts.items()]
    lines += [f"SA-Init: {name} {value}" for name, value in (recommender.sa_init_report or {}).items()]
    census = recommender.user_census(validation.histories)
    lines += [recommender.builder.limit_in_words] if recommender.builder.cut_by_positions else []
    lines += [census.warning] if census.warning else []
    return lines + _best_lines(recommender.curve)


def _best_lines(curve: Sequence[Mapping[str, float]]) -> list[str]:
    chosen = max((row[METRIC] for row in curve if METRIC in row), default=None)
    return [f"best {METRIC}: {chosen:.4f}"] if chosen is not None else []
