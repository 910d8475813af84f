"""What a transfer is made of, two experiments and what is carried between them, and whether that can be done."""

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
from lexirec.semantic_ids.embeddings.svd import CollaborativeVectors
from lexirec.semantic_ids.identifiers.schemes import CodeIdentifiers
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqkmeans_plus import ResidualKMeansPlus
from lexirec.semantic_ids.quantizers.rqvae import RqVae

Quantiser = ResidualKMeans | RqVae | ResidualKMeansPlus
"""What gives codes to the items of any catalogue."""
COUNTED = ("popularity", "recency", "transitions", "memory")
"""Kinds of baselines that are counted in no time: the floors of a transfer."""


class TransferSettings(Settings):
    """What is carried from one catalogue to another, and what is measured beside it."""

    neighbors: Literal["text", "training", "none"] = "text"
    """Whose rows a grounded head that was trained with neighbours mixes in, zero-shot: those of the nearest items by
    vectors; those of the target's training part, chosen as the target's [neighbors] or else the source's say, which
    is zero-shot no more; nobody's."""
    fine_tune: bool = False
    """Let the carried model go on learning on the target's training part, beside one that learns there alone."""
    training: SftSettings | None = None
    """How both learn there; by default as the source's model did."""
    category: str | None = None
    """What the target's items are, where prompts say so; by default what they said of the source's."""
    beside: Literal["floors", "all"] = "floors"
    """Baselines of the target that are measured: popularity, transitions and other counts, or all of them."""


class Transfer(Settings):
    """A transfer: two experiments, and what is carried."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What results are found under."""
    source: Experiment
    """What is learned: its data, vectors, codes, lexicon, backbone and model."""
    target: Experiment
    """Where it is measured: its data, baselines and evaluation; its model and its own codes are left out."""
    settings: TransferSettings = TransferSettings()
    """What is carried."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def seed(self) -> int:
        """The source's seed, by which runs of one name are told apart."""
        return self.source.seed

    @computed_field  # type: ignore[prop-decorator]
    @property
    def baselines(self) -> dict[str, BaselineChoice]:
        """The target's baselines that are measured; where records of experiments have them."""
        if self.settings.beside == "all":
            return self.target.baselines
        return {name: each for name, each in self.target.baselines.items() if each.kind in COUNTED}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def evaluation(self) -> EvaluationSettings:
        """How everything is measured; where records of experiments have it."""
        return self.target.evaluation


def load_transfer(
    source: str | Path, target: str | Path, overrides: Sequence[str] = (), name: str | None = None
) -> Transfer:
    """Read the two experiment files.

    Args:
        source: What is learned.
        target: Where it is measured.
        overrides: `"source.a.b=c"` and `"target.a.b=c"` for one experiment, `"seed=c"` for both, anything else for
            `TransferSettings`.
        name: What results are found under, by default `SOURCE-to-TARGET`.

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
    """What a recommender has seen of the two catalogues, before it reads the histories it is asked about."""

    source: str
    target: str


def check_transfer(chosen: Transfer) -> TSRecSettings:
    """Return the settings of the model that is carried, if it can be.

    Raises:
        SettingsError: it cannot.
    """
    source, model, where = chosen.source, chosen.source.model, f"{chosen.source.name}:"
    if not isinstance(model, TSRecSettings):
        raise SettingsError(f'{where} a transfer carries a [model] of kind "causal"; add one, or take another source')
    if not isinstance(source.codes, Quantiser):
        kind = source.codes.kind if source.codes is not None else "none"
        raise SettingsError(
            f"{where} codes.kind is '{kind}', which gives other items no codes; a transfer needs a quantiser: "
            "residual-kmeans, residual-kmeans-plus or rq-vae"
        )
    if not isinstance(source.naming, CodeIdentifiers):
        raise SettingsError(
            f'{where} a transfer needs [identifiers] of kind "codes", as residual codes have by default'
        )
    for name, settings in source.vectors.items():
        if isinstance(settings, CollaborativeVectors):
            raise SettingsError(
                f"{where} vectors.{name} are of kind 'collaborative' and know nothing of other items; take texts"
            )
        theirs = chosen.target.vectors.get(name)
        if isinstance(settings, PrecomputedVectors) and not isinstance(theirs, PrecomputedVectors):
            raise SettingsError(
                f"{chosen.target.name}: the source's vectors.{name} were made elsewhere; give the target's, too, "
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
    """Say whether anything but the baselines reads the target's training part."""
    return chosen.settings.fine_tune or chosen.settings.neighbors == "training"


def neighbors_there(chosen: Transfer) -> NeighborsChoice | None:
    """Return how neighbours of the target's training part are chosen, where the source's model has any."""
    return (chosen.target.neighbors or chosen.source.neighbors) if chosen.source.neighbors is not None else None


def what_each_saw(chosen: Transfer) -> dict[str, Saw]:
    """Say what each recommender has seen before it reads the histories it is measured on."""
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
