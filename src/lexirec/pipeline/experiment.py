"""Settings of an experiment file: one table per stage.

    [data] [vectors.NAME] [codes] [backbone] [pretraining] [lexicon] [identifiers] [neighbors] [model] [reinforcement]
    [baselines.NAME] [experts.NAME] [ensemble] or [ensemble.NAME] [evaluation]

Only `[data]` is required.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from lexirec.core.config import DataPath, Settings, load_settings
from lexirec.core.registry import PartSettings
from lexirec.core.renamed import renamed
from lexirec.core.runs import FUSED
from lexirec.core.shipped_files import given_file
from lexirec.models.baselines.memory import Evidence, MemoryBaseline
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.pretraining import PretrainSettings
from lexirec.models.tsrec.settings import ReinforcementSettings, TSRecSettings
from lexirec.pipeline.components import (
    BackboneChoice,
    BaselineChoice,
    CodesChoice,
    DataChoice,
    IdentifierChoice,
    LexiconChoice,
    ModelChoice,
    NeighborsChoice,
    Tables,
)

# the name is also known by this module, where the class stood before
from lexirec.pipeline.evaluation_settings import EvaluationSettings as EvaluationSettings
from lexirec.semantic_ids.embeddings.item_embeddings import VectorSettings
from lexirec.semantic_ids.identifiers.permuted import PermutedIdentifiers
from lexirec.semantic_ids.identifiers.registry import SCHEMES
from lexirec.semantic_ids.lexicon.lexicon import TfIdfLexicon

S = TypeVar("S", bound=Settings)
_SEEDED = (
    "vectors", "codes", "backbone", "pretraining", "lexicon", "identifiers", "neighbors", "baselines", "model",
    "reinforcement", "experts", "ensemble",
)  # fmt: skip
"""Tables whose parts take the experiment's seed; data and evaluation stay equal across seeds."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]

# --------------------------------------------------------------------------------------------------- experts


class ExpertSettings(Settings):
    """A recommender of another experiment file, trained on this experiment's data as a part of its ensembles."""

    experiment: DataPath
    """The experiment file with the recipe; its [data] is ignored, and of the rest only what `part` needs is used."""
    part: Name = "model"
    """Recommender of that file: `model`, `reinforced`, or the name of a baseline."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of all its parts."""
    seed_step: int = Field(default=0, ge=0, lt=2**31)
    """Added to the seed. Where seeds 0, 1 and 2 are compared, give a second model of the same recipe a step of 3, so
    that no model is part of two ensembles."""
    set: tuple[str, ...] = ()
    """Overrides of the file's settings, as on the command line: `"model.training.epochs=3"`."""


# ----------------------------------------------------------------------------------------------- experiments


class Experiment(Settings):
    """One experiment: data, stages, recommenders and evaluation."""

    model_config = renamed(fusion="ensemble")
    name: str = Field(default="experiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the results in the store; by default the name of the file."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of every part that sets none of its own."""
    data: DataChoice
    """Items and interactions."""
    vectors: dict[Name, VectorSettings] = Field(default_factory=dict)
    """Sources of item vectors; several are concatenated."""
    codes: CodesChoice | None = None
    """Quantizer or clustering that gives items their codes."""
    backbone: BackboneChoice | None = None
    """The language model, whose tokens spell the identifiers; without one, identifiers are words."""
    pretraining: PretrainSettings | None = None
    """Pretraining of the backbone on the catalogue's text; none by default."""
    lexicon: LexiconChoice = TfIdfLexicon()
    """Labels of the codes' cells."""
    identifiers: IdentifierChoice | None = None
    """Scheme of the identifiers; by default lexicon terms for a tree of codes, code tokens for residual codes."""
    neighbors: NeighborsChoice | None = None
    """Similar items."""
    baselines: dict[Name, BaselineChoice] = Field(default_factory=dict)
    """Baselines, evaluated beside the model."""
    model: ModelChoice | None = None
    """The generative model; without it an experiment measures baselines."""
    reinforcement: ReinforcementSettings | None = None
    """Reinforcement learning of a TS-Rec model; the result is the recommender `reinforced`."""
    experts: dict[Name, ExpertSettings] = Field(default_factory=dict)
    """Recommenders of other experiments, by name; ensembles may use them, and they are evaluated, too."""
    ensemble: dict[Name, EnsembleSettings] = Field(default_factory=dict)
    """Ensembles of recommenders; a table without a name is called `fused`."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """Evaluation of all recommenders."""

    @field_validator("ensemble", mode="before")
    @classmethod
    def _one_fusion_needs_no_name(cls, given: Any) -> Any:
        return {FUSED: given} if isinstance(given, dict) and "of" in given else given

    @field_validator("baselines", mode="before")
    @classmethod
    def _an_empty_table_leaves_a_baseline_out(cls, given: Any) -> Any:
        return {name: each for name, each in given.items() if each != {}} if isinstance(given, dict) else given

    @field_validator(*_SEEDED)
    @classmethod
    def _with_the_seed(cls, value: Any, info: ValidationInfo) -> Any:
        return _seeded(value, info.data.get("seed", 0))

    @property
    def parts(self) -> list[str]:
        """Names of its own recommenders: baselines, `model`, `reinforced`."""
        own = {"model": self.model, "reinforced": self.reinforcement}
        return [*self.baselines, *(name for name, settings in own.items() if settings is not None)]

    def with_evidence(self, fusion: EnsembleSettings) -> EnsembleSettings:
        """Return an ensemble with the evidence of its partner search filled in from the searched memory's settings."""
        partner = fusion.partner
        if partner is None or partner.evidence is not None:
            return fusion
        own = self.baselines.get(partner.part)
        evidence = own.evidence if isinstance(own, MemoryBaseline) else "text"
        return smoothed(fusion, evidence)

    @property
    def naming(self) -> IdentifierChoice | None:
        """Scheme of the identifiers: as set, else the default of the codes, else None."""
        if self.identifiers is not None or self.codes is None:
            return self.identifiers
        return SCHEMES[self.codes.usual_identifiers]()

    @property
    def spelling(self) -> IdentifierChoice | None:
        """Scheme that spells the identifiers: `naming`, or the scheme that a permuted control permutes."""
        naming = self.naming
        return naming.of if isinstance(naming, PermutedIdentifiers) else naming

    @property
    def wants_words(self) -> bool:
        """Whether the model trains on the lexicon's descriptions of its tokens."""
        return isinstance(self.model, TSRecSettings) and self.model.wants_words and self.codes is not None

    @model_validator(mode="after")
    def _parts_have_what_they_need(self) -> Self:
        parts: dict[str, PartSettings | None] = {"codes": self.codes, "neighbors": self.neighbors}
        parts.update({f"baselines.{name}": baseline for name, baseline in self.baselines.items()})
        parts |= {f"ensemble.{name}.partner": self.with_evidence(fusion) for name, fusion in self.ensemble.items()}
        needy = [name for name, part in parts.items() if part is not None and "vectors" in part.needed()]
        if needy and not self.vectors:
            raise ValueError(f"'{needy[0]}' needs vectors: add a table such as [vectors.text] with kind = \"lsa\"")
        if self.spelling is not None and "codes" in self.spelling.needed() and self.codes is None:
            raise ValueError(f"'identifiers' of kind {self.spelling.kind} need the table [codes]")
        needy = [name for name, part in parts.items() if part is not None and "neighbors" in part.needed()]
        if needy and self.neighbors is None:
            raise ValueError(f"'{needy[0]}' needs the table [neighbors]")
        return self

    @model_validator(mode="after")
    def _the_model_has_what_it_needs(self) -> Self:
        if self.model is not None and (self.naming is None or self.backbone is None):
            raise ValueError("'model' needs the tables [backbone] and [codes] or [identifiers]")
        if self.model is not None and self.backbone is not None:
            wanted = "causal" if isinstance(self.model, TSRecSettings) else "encoder-decoder"
            if self.backbone.kind != wanted:
                raise ValueError(f'\'model\' of kind "{self.model.kind}" needs a [backbone] of kind "{wanted}"')
        if self.pretraining is not None and getattr(self.backbone, "encoder", None) is not None:
            raise ValueError(
                "'pretraining' trains a T5's own encoder, which 'backbone.encoder' replaces; drop one of them"
            )
        if isinstance(self.model, TSRecSettings) and self.model.sa_init is not None and self.codes is None:
            raise ValueError("'model.sa_init' needs the table [codes], whose cells a lexicon describes")
        asked = isinstance(self.model, TSRecSettings) and self.model.tasks.preference > 0
        if asked and (not isinstance(self.data, Tables) or self.data.users is None):
            raise ValueError("'model.tasks.preference' needs texts about users: name their table in data.users")
        if self.reinforcement is None:
            return self
        if not isinstance(self.model, TSRecSettings):
            raise ValueError("'reinforcement' needs a [model] of kind \"causal\"")
        scorer = self.reinforcement.scorer
        if scorer is not None and scorer not in self.baselines:
            raise ValueError(f"'reinforcement.scorer' is '{scorer}'; it should be one of {', '.join(self.baselines)}")
        return self

    @model_validator(mode="after")
    def _fusions_have_their_parts(self) -> Self:
        known = self.parts
        for name in self.experts:
            if name in (*self.baselines, "model", "reinforced"):
                raise ValueError(f"'experts.{name}' is the name of a part already; call it otherwise")
        known += self.experts
        for name, fusion in self.ensemble.items():
            for part in fusion.of:
                if part not in known:
                    raise ValueError(f"'ensemble.of' ({name}) names '{part}'; it should be one of {', '.join(known)}")
            if name in known:
                raise ValueError(f"'ensemble.{name}' is the name of a part already; call it otherwise")
            self._check_partner(name, fusion)
        known += self.ensemble
        for name, row in self.evaluation.published.items():
            if row.beside is not None and row.beside not in known:
                raise ValueError(
                    f"'evaluation.published.{name}.beside' is '{row.beside}'; it should be one of {', '.join(known)}"
                )
        return self

    def _check_partner(self, name: str, fusion: EnsembleSettings) -> None:
        """Check that a searched partner is a memory and not the first part."""
        if fusion.partner is None:
            return
        part = fusion.partner.part
        if part not in self.experts and not isinstance(self.baselines.get(part), MemoryBaseline):
            memories = [each for each in fusion.of if isinstance(self.baselines.get(each), MemoryBaseline)]
            advice = (
                f"it should be one of {', '.join(memories)}" if memories else "add a baseline of kind memory to 'of'"
            )
            raise ValueError(f"'ensemble.{name}.partner.part' is '{part}', which is not of kind memory; {advice}")
        if fusion.of[0] == part and all(each in self.baselines for each in fusion.of):
            raise ValueError(
                f"'ensemble.{name}.partner.part' is '{part}', the first part of 'of'; the partner "
                "must be another part, so put another one first"
            )


def smoothed(fusion: EnsembleSettings, evidence: Evidence) -> EnsembleSettings:
    """Return an ensemble whose partner is smoothed with `evidence`."""
    assert fusion.partner is not None
    return fusion.model_copy(update={"partner": fusion.partner.model_copy(update={"evidence": evidence})})


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file; the experiment's name defaults to the file's.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
    """
    experiment = load_settings(path, Experiment, overrides)
    named = "name" in experiment.model_fields_set
    return experiment if named else experiment.model_copy(update={"name": given_file(path).stem})


def _seeded(value: Any, seed: int) -> Any:
    """Return settings with `seed` in every part that has a seed field and did not set it."""
    if isinstance(value, dict):
        return {name: _seeded(inner, seed) for name, inner in value.items()}
    if not isinstance(value, Settings):
        return value
    parts = {name: _seeded(getattr(value, name), seed) for name in type(value).model_fields}
    if "seed" in parts and "seed" not in value.model_fields_set:
        parts["seed"] = seed
    changed = {name: part for name, part in parts.items() if part is not getattr(value, name)}
    return value.model_copy(update=changed) if changed else value
