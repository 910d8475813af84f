"""Settings of a transfer: source and target experiments, what is transferred, and checks that they fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, computed_field

from lexirec.core.config import Settings, override_settings
from lexirec.core.errors import SettingsError
from lexirec.models.tsrec.settings import SftSettings, TSRecSettings
from lexirec.pipeline.components import BaselineChoice, NeighborsChoice, PublishedNeighbors
from lexirec.pipeline.experiment import EvaluationSettings, Experiment, load_experiment
from lexirec.semantic_ids.embeddings.item_embeddings import PrecomputedVectors
from lexirec.semantic_ids.embeddings.picture_vectors import PictureVectors
from lexirec.semantic_ids.embeddings.svd import CollaborativeVectors
from lexirec.semantic_ids.identifiers.schemes import CodeIdentifiers
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqkmeans_plus import ResidualKMeansPlus
from lexirec.semantic_ids.quantizers.rqvae import RqVae

Quantiser = ResidualKMeans | RqVae | ResidualKMeansPlus
"""Quantisers that can encode items of another catalogue."""
COUNTED = ("popularity", "recency", "transitions", "memory")
"""Kinds of the reference baselines of a transfer, which are counts and take no training."""


class TransferSettings(Settings):
    """What is transferred from one catalogue to another, and what is evaluated beside it."""

    neighbors: Literal["text", "training", "none"] = "text"
    """Neighbours whose rows a grounded head (trained with neighbours) mixes in, zero-shot. text: nearest by vectors.
    training: from the target's training part, by the target's [neighbors] or else the source's; not zero-shot then.
    none: no neighbours."""
    fine_tune: bool = False
    """Fine-tune the transferred model on the target's training part, and train another one there from scratch."""
    training: SftSettings | None = None
    """Training of both; by default that of the source's model."""
    category: str | None = None
    """Category of the target's items in prompts; by default that of the source."""
    beside: Literal["floors", "all"] = "floors"
    """Baselines of the target to evaluate: floors are the reference baselines (popularity, other counts)."""


class Transfer(Settings):
    """A transfer between two experiments."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the results in the store."""
    source: Experiment
    """Experiment whose model is trained: data, vectors, codes, lexicon, backbone and model."""
    target: Experiment
    """Experiment on whose data it is evaluated: data, baselines and evaluation; its model and codes are ignored."""
    settings: TransferSettings = TransferSettings()
    """What is transferred."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def seed(self) -> int:
        """The source's seed, which distinguishes runs of one name."""
        return self.source.seed

    @computed_field  # type: ignore[prop-decorator]
    @property
    def baselines(self) -> dict[str, BaselineChoice]:
        """The evaluated baselines of the target, under the name that records of experiments use."""
        if self.settings.beside == "all":
            return self.target.baselines
        return {name: each for name, each in self.target.baselines.items() if each.kind in COUNTED}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def evaluation(self) -> EvaluationSettings:
        """Evaluation of all recommenders, under the name that records of experiments use."""
        return self.target.evaluation


def load_transfer(
    source: str | Path, target: str | Path, overrides: Sequence[str] = (), name: str | None = None
) -> Transfer:
    """Read the two experiment files.

    Args:
        source: Experiment file of the source.
        target: Experiment file of the target.
        overrides: `"source.a.b=c"` and `"target.a.b=c"` for one experiment, `"seed=c"` for both, anything else for
            `TransferSettings`.
        name: Name of the results; by default `SOURCE-to-TARGET`.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
    """
    of: dict[str, list[str]] = {"source": [], "target": [], "": []}
    for override in overrides:
        part, _, rest = override.partition(".")
        if part in ("source", "target"):
            of[part].append(rest)
        elif override.partition("=")[0].strip() == "seed":
            of["source"].append(override)
            of["target"].append(override)
        else:
            of[""].append(override)
    first, second = load_experiment(source, of["source"]), load_experiment(target, of["target"])
    return Transfer(
        name=name or f"{first.name}-to-{second.name}",
        source=first,
        target=second,
        settings=override_settings(TransferSettings, of[""]),
    )


class Saw(Settings):
    """Data of the two catalogues that a recommender has seen, besides the histories of the evaluated cases."""

    source: str
    target: str


def check_transfer(chosen: Transfer) -> TSRecSettings:
    """Check that the model can be transferred and return its settings.

    Raises:
        SettingsError: it cannot; the message names the setting.
    """
    source, model, where = chosen.source, chosen.source.model, f"{chosen.source.name}:"
    if not isinstance(model, TSRecSettings):
        raise SettingsError(f'{where} a transfer needs a [model] of kind "causal"; add one, or use another source')
    if not isinstance(source.codes, Quantiser):
        kind = source.codes.kind if source.codes is not None else "none"
        raise SettingsError(
            f"{where} codes.kind is '{kind}', which cannot encode other items; a transfer needs residual-kmeans, "
            "residual-kmeans-plus or rq-vae"
        )
    if not isinstance(source.naming, CodeIdentifiers):
        raise SettingsError(f'{where} a transfer needs [identifiers] of kind "codes", the default of residual codes')
    for name, settings in source.vectors.items():
        if isinstance(settings, CollaborativeVectors):
            raise SettingsError(
                f"{where} vectors.{name} are of kind 'collaborative' and cannot embed other items; use text vectors"
            )
        if isinstance(settings, PictureVectors):
            raise SettingsError(
                f"{where} vectors.{name} are of kind 'images', which a transfer does not embed; write both catalogues' "
                "picture vectors into files and use kind 'precomputed'"
            )
        theirs = chosen.target.vectors.get(name)
        if isinstance(settings, PrecomputedVectors) and not isinstance(theirs, PrecomputedVectors):
            raise SettingsError(
                f"{chosen.target.name}: the source's vectors.{name} are precomputed; give the target's, too, "
                f'as [vectors.{name}] with kind = "precomputed"'
            )
    if (
        sees_training(chosen)
        and isinstance(neighbors_there(chosen), PublishedNeighbors)
        and not chosen.target.neighbors
    ):
        raise SettingsError(
            f"{chosen.target.name}: the source's neighbours are published; give the target a [neighbors]"
        )
    return model


def sees_training(chosen: Transfer) -> bool:
    """Whether anything but the baselines reads the target's training part."""
    return chosen.settings.fine_tune or chosen.settings.neighbors == "training"


def neighbors_there(chosen: Transfer) -> NeighborsChoice | None:
    """Settings of neighbours from the target's training part; None where the source's model has none."""
    return (chosen.target.neighbors or chosen.source.neighbors) if chosen.source.neighbors is not None else None


def what_each_saw(chosen: Transfer) -> dict[str, Saw]:
    """Return, for each recommender, the data of both catalogues that it has seen."""
    collaborative = isinstance(chosen.source.codes, RqVae) and chosen.source.codes.letter.collaborative
    spelled = "item texts and, in the codes, training interactions" if collaborative else "item texts"
    learned, texts = "item texts, training and validation interactions", "item texts"
    near = ", training interactions as neighbours" if chosen.settings.neighbors == "training" else ""
    saw = {
        "untrained": Saw(source=spelled, target=texts + near),
        "zero-shot": Saw(source=learned, target=texts + near),
    }
    if chosen.settings.fine_tune:
        tokenizer = chosen.source.backbone is not None and chosen.source.backbone.scratch
        saw["alone"] = Saw(
            source=f"{spelled}, in the codes" + (" and the tokenizer" if tokenizer else ""), target=learned
        )
        saw["fine-tuned"] = Saw(source=learned, target=learned)
    return saw
