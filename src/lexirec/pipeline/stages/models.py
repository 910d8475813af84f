"""The stages that train generative models: pretraining, fine-tuning, reinforcement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.config import Settings
from lexirec.core.store import progress_folder
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import load_array
from lexirec.data.splits import Split
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramSettings
from lexirec.models.pretraining import PERPLEXITY, PretrainSettings, pretrain
from lexirec.models.tsrec.keywords import TokenWords, token_words
from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.models.tsrec.settings import ReinforcementSettings, SftSettings, TSRecSettings
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal
from lexirec.nn.t5 import Backbone, BackboneSettings, count_parameters, load_backbone, save_backbone
from lexirec.pipeline.stages.data import Folders, load_catalog, load_preferences, load_split, write_summary
from lexirec.pipeline.stages.identifiers import SEMANTIC_IDS, joined_vectors, load_saved_tokenizer
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.lexicon.lexicon import Lexicon
from lexirec.training.arguments import METRIC

CURVE = "curve.json"
"""The learning curve of a model, beside its weights."""


class BackboneStage(Settings):
    """What pretraining depends on besides its inputs: the backbone's name has its content beside it."""

    backbone: BackboneSettings | CausalBackboneSettings
    pretraining: PretrainSettings
    seed: int


class ModelStage(Settings):
    """What the model's stage depends on besides its inputs: the backbone's name has its content beside it."""

    backbone: BackboneSettings | CausalBackboneSettings
    model: GramSettings | TSRecSettings


def pretrain_backbone(settings: BackboneStage, inputs: Folders, out: Path) -> None:
    """Pretrain the backbone on the catalogue's own text, and save it as a folder that backbones are loaded from."""
    tokenizer = load_saved_tokenizer(inputs["tokenizer"])
    backbone = _load(settings.backbone, tokenizer, settings.seed)
    texts = load_catalog(inputs["data"]).texts()
    curve = pretrain(backbone, texts, settings.pretraining, folder=progress_folder(out))
    save_backbone(backbone, out)
    _write_curve(out, curve)
    best = min((row[PERPLEXITY] for row in curve if PERPLEXITY in row), default=None)
    lines = [f"weights: {count_parameters(backbone.model):,}"]
    write_summary(out, "Backbone", lines + ([f"lowest {PERPLEXITY}: {best:.2f}"] if best is not None else []))


def fit_model(settings: ModelStage, inputs: Folders, out: Path) -> None:
    """Train the generative model and save it as a complete recommender, with its learning curve."""
    made: TSRecRecommender | GramRecommender
    if isinstance(settings.model, TSRecSettings):
        made = build_causal(settings.backbone, settings.model, inputs)
        fit_tsrec(made, inputs, out)
    else:
        made = _fit_gram(settings.backbone, settings.model, inputs, out)
    save_trained(made, out)


def reinforce_model(settings: ReinforcementSettings, inputs: Folders, out: Path) -> None:
    """Polish a trained causal recommender, and save it as one of its own."""
    split, made = load_split(inputs["data"]), TSRecRecommender.load(inputs["model"])
    scorer = ScoreRecommender.load(inputs["scorer"]).scorer.scores if "scorer" in inputs else None
    given = any(name.startswith("vectors.") for name in inputs)
    made.reinforce(
        split.train,
        settings,
        validation=split.validation,
        folder=progress_folder(out),
        vectors=joined_vectors(inputs) if given else None,
        scorer=scorer,
    )
    save_trained(made, out)
    write_summary(out, "Reinforced model", _judged(made.curve))


def _fit_gram(
    backbone: BackboneSettings | CausalBackboneSettings, settings: GramSettings, inputs: Folders, out: Path
) -> GramRecommender:
    catalog, split = load_catalog(inputs["data"]), load_split(inputs["data"])
    knowledge = GramInputs(Identifiers.load(inputs["identifiers"]), *_known(inputs, grounded=settings.network.grounded))
    made = GramRecommender.build(catalog, _backbone(backbone, settings.seed, inputs), knowledge, settings)
    made.fit(split.train, validation=split.validation, folder=progress_folder(out))
    write_summary(out, "Model", _late_fusion_lines(made, split))
    return made


def build_causal(
    backbone: BackboneSettings | CausalBackboneSettings, settings: TSRecSettings, inputs: Folders
) -> TSRecRecommender:
    """Return an untrained causal recommender from the inputs of a model's stage."""
    known = spelled_items(inputs, grounded=settings.network.grounded)
    loaded = _backbone(backbone, settings.seed, inputs)
    return TSRecRecommender.build(load_catalog(inputs["data"]), loaded, known, settings)


def fit_tsrec(made: TSRecRecommender, inputs: Folders, out: Path, training: SftSettings | None = None) -> None:
    """Fine-tune a causal recommender on the training part of its data, and say how it went in `summary.md`."""
    split = load_split(inputs["data"])
    told = load_preferences(inputs["data"]) if made.settings.tasks.preference else None
    made.fit(split.train, validation=split.validation, folder=progress_folder(out), training=training, preferences=told)
    write_summary(out, "Model", _causal_lines(made, split))


def spelled_items(inputs: Folders, *, grounded: bool) -> TSRecInputs:
    """Return what a model's inputs know about the items of a causal recommender."""
    neighbors, vectors = _known(inputs, grounded=grounded)
    identifiers = Identifiers.load(inputs["identifiers"])
    return TSRecInputs(identifiers, words_of(inputs), _semantic_ids(inputs), neighbors, vectors)


def _known(inputs: Folders, *, grounded: bool) -> tuple[Neighbors | None, NDArray[np.float32] | None]:
    neighbors = Neighbors.load(inputs["neighbors"]) if "neighbors" in inputs else None
    given = grounded and any(name.startswith("vectors.") for name in inputs)
    return neighbors, joined_vectors(inputs) if given else None


def words_of(inputs: Folders) -> Sequence[TokenWords]:
    """Return what the lexicon among the inputs says about the tokens of the codes; nothing without one."""
    if "lexicon" not in inputs:
        return ()
    return token_words(Lexicon.load(inputs["lexicon"]), Codes.load(inputs["codes"]))


def _semantic_ids(inputs: Folders) -> NDArray[np.int32] | None:
    file = inputs["codes"] / SEMANTIC_IDS if "codes" in inputs else None
    return load_array(file) if file is not None and file.is_file() else None


def _backbone(settings: BackboneSettings | CausalBackboneSettings, seed: int, inputs: Folders) -> Backbone:
    """Load the backbone, the pretrained one where there is one."""
    if "backbone" in inputs:
        changed: dict[str, Any] = dict.fromkeys(_SIZES & set(type(settings).model_fields))  # the folder has its own
        if isinstance(settings, CausalBackboneSettings):
            changed["dropout"] = settings.rate  # a scratch model stays one, although it comes from a folder now
        settings = settings.model_copy(update={"name": str(inputs["backbone"]), **changed})
        return _load(settings, load_saved_tokenizer(inputs["backbone"]), seed)
    return _load(settings, load_saved_tokenizer(inputs["tokenizer"]), seed)


_SIZES = {"d_model", "layers", "decoder_layers", "heads", "feed_forward"}


def _load(settings: BackboneSettings | CausalBackboneSettings, tokenizer: Any, seed: int) -> Backbone:
    if isinstance(settings, CausalBackboneSettings):
        return load_causal(settings, tokenizer=tokenizer, seed=seed)
    return load_backbone(settings, tokenizer=tokenizer, seed=seed)


def save_trained(made: TSRecRecommender | GramRecommender, out: Path) -> None:
    """Write a trained recommender as a complete folder, with its learning curve."""
    made.save(out)
    _write_curve(out, made.curve)


def _write_curve(out: Path, curve: Sequence[Mapping[str, float]]) -> None:
    (out / CURVE).write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")


def _late_fusion_lines(made: GramRecommender, split: Split) -> list[str]:
    lines = [f"weights: {count_parameters(made.model):,}"]
    if made.census is not None:
        lines += [f"tokens read of {part.name}: {part.share:.1%}" for part in made.census.parts]
        lines.append(f"prompts of items: {made.census.mean_length:.1f} tokens on average")
    told = made.user_census(split.validation.histories)
    lines += [told.warning] if told is not None and told.warning else []
    return lines + _judged(made.curve)


def _causal_lines(made: TSRecRecommender, split: Split) -> list[str]:
    lines = [f"weights: {count_parameters(made.model):,}"]
    lines += [f"examples of {task}: {count:,}" for task, count in made.example_counts.items()]
    lines += [f"SA-Init: {name} {value}" for name, value in (made.sa_init_report or {}).items()]
    told = made.user_census(split.validation.histories)
    lines += [told.warning] if told.warning else []
    return lines + _judged(made.curve)


def _judged(curve: Sequence[Mapping[str, float]]) -> list[str]:
    chosen = max((row[METRIC] for row in curve if METRIC in row), default=None)
    return [f"best {METRIC}: {chosen:.4f}"] if chosen is not None else []
