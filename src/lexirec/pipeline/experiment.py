"""What an experiment file may say: the settings of every room, composed, under the names of the stages.

    [data] [vectors.NAME] [codes] [backbone] [pretraining] [lexicon] [identifiers] [neighbors] [model] [reinforcement]
    [baselines.NAME] [experts.NAME] [ensemble] or [ensemble.NAME] [evaluation]

Only `[data]` is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from lexirec.core.config import DataPath, Settings, load_settings
from lexirec.core.registry import PartSettings
from lexirec.core.renamed import renamed
from lexirec.core.resources import given_file
from lexirec.core.runs import FUSED
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
from lexirec.semantic_ids.embeddings.item_embeddings import VectorSettings
from lexirec.semantic_ids.identifiers.permuted import PermutedIdentifiers
from lexirec.semantic_ids.identifiers.registry import SCHEMES
from lexirec.semantic_ids.lexicon.lexicon import TfIdfLexicon

S = TypeVar("S", bound=Settings)
_OWN_SEED = ("data", "evaluation")  # the shop and the sample of users stay the same when seeds are compared
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]

# ------------------------------------------------------------------------------------------------------- evaluation


class EvaluationSettings(Settings):
    """What is measured, and how lists are made."""

    ks: tuple[Annotated[int, Field(ge=1)], ...] = (1, 3, 5, 10, 20, 50)
    """Places at which metrics are cut."""
    seen: tuple[Literal["excluded", "included"], ...] = ("excluded", "included")
    """Whether items of the history are kept out of the lists; both are measured, the first is the headline."""
    fold: Literal["test", "validation"] = "test"
    """The cases that are reported."""
    cases: Literal["all", "unseen"] = "all"
    """unseen: of the validation cases only those whose newest event nothing was trained on, as before a test case."""
    sample_users: int | None = Field(default=None, ge=1)
    """Measure this many cases, drawn once by `seed`, instead of all."""
    seed: int = 0
    """Seed of the sample."""
    keep_lists: int = Field(default=50, ge=0)
    """Places of every list that are kept beside the ranks, for `lexirec analyze`: 8 bytes a place and case, 9 MB for
    Beauty's 22,363 cases; for millions of cases take 10, or 0 for none."""

    @field_validator("ks", "seen")
    @classmethod
    def _some_and_each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("should hold at least one value, each once")
        return values

    @model_validator(mode="after")
    def _unseen_are_of_validation(self) -> Self:
        if self.cases == "unseen" and self.fold != "validation":
            raise ValueError('cases = "unseen" is a choice among validation cases; set fold = "validation"')
        return self


# ------------------------------------------------------------------------------------ recommenders from elsewhere


class ExpertSettings(Settings):
    """A recommender of another experiment, made on this experiment's data to take part in its fusions."""

    experiment: DataPath
    """The experiment file whose recipe is followed; its [data] are not read, and of the rest only what `part` needs."""
    part: Name = "model"
    """Which of that file's recommenders: `model`, `reinforced`, or a baseline's name."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of all its parts."""
    seed_step: int = Field(default=0, ge=0, lt=2**31)
    """Added to the seed. Where seeds 0, 1 and 2 are compared, a second model of the same recipe has a step of 3: no
    model then stands in two of the fusions."""
    set: tuple[str, ...] = ()
    """Further settings laid over the file, as on the command line: `"model.training.epochs=3"`."""


# ------------------------------------------------------------------------------------------------- the whole of it


class Experiment(Settings):
    """One experiment: data, what is made of it, and what is measured."""

    model_config = renamed(fusion="ensemble")
    name: str = Field(default="experiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What results are found under; by default the name of the file."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of every part that does not set its own."""
    data: DataChoice
    """Items and interactions."""
    vectors: dict[Name, VectorSettings] = Field(default_factory=dict)
    """Sources of item vectors; where there are several they are joined."""
    codes: CodesChoice | None = None
    """How items are clustered."""
    backbone: BackboneChoice | None = None
    """The language model whose tokens spell identifiers; without one they are spelled in words."""
    pretraining: PretrainSettings | None = None
    """How the backbone is pretrained on the catalogue's own text; without it, it is taken as it comes."""
    lexicon: LexiconChoice = TfIdfLexicon()
    """What the codes' cells are called."""
    identifiers: IdentifierChoice | None = None
    """How items are named; by default by the lexicon's terms on a tree of codes, by residual codes as tokens."""
    neighbors: NeighborsChoice | None = None
    """Similar items."""
    baselines: dict[Name, BaselineChoice] = Field(default_factory=dict)
    """What the model is measured beside."""
    model: ModelChoice | None = None
    """The generative model; without it an experiment measures baselines."""
    reinforcement: ReinforcementSettings | None = None
    """How a causal model is polished; the polished one stands beside it as `reinforced`."""
    experts: dict[Name, ExpertSettings] = Field(default_factory=dict)
    """Recommenders of other experiments, by the names that fusions know them by; they are measured, too."""
    ensemble: dict[Name, EnsembleSettings] = Field(default_factory=dict)
    """Recommenders made of recommenders; a table without a name is called `fused`."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How everything is measured."""

    @field_validator("ensemble", mode="before")
    @classmethod
    def _one_fusion_needs_no_name(cls, given: Any) -> Any:
        return {FUSED: given} if isinstance(given, dict) and "of" in given else given

    @property
    def parts(self) -> list[str]:
        """What its own recommenders are called: its baselines, `model`, `reinforced`."""
        own = {"model": self.model, "reinforced": self.reinforcement}
        return [*self.baselines, *(name for name, settings in own.items() if settings is not None)]

    def with_evidence(self, fusion: EnsembleSettings) -> EnsembleSettings:
        """Say what the memory that a fusion searches is smoothed with, where the fusion does not: what its own is."""
        partner = fusion.partner
        if partner is None or partner.evidence is not None:
            return fusion
        own = self.baselines.get(partner.part)
        evidence = own.evidence if isinstance(own, MemoryBaseline) else "text"
        return smoothed(fusion, evidence)

    @property
    def naming(self) -> IdentifierChoice | None:
        """How items are named: as the file says, else as suits the codes, else not at all."""
        if self.identifiers is not None or self.codes is None:
            return self.identifiers
        return SCHEMES[self.codes.usual_identifiers]()

    @property
    def spelling(self) -> IdentifierChoice | None:
        """How items are spelled, whoever gets which identifier: `naming`, without the control that deals them out."""
        naming = self.naming
        return naming.of if isinstance(naming, PermutedIdentifiers) else naming

    @property
    def wants_words(self) -> bool:
        """Whether the lexicon teaches the model what its tokens mean."""
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
        return self

    def _check_partner(self, name: str, fusion: EnsembleSettings) -> None:
        """Refuse, before anything is trained, to search what is no memory or what leads."""
        if fusion.partner is None:
            return
        part = fusion.partner.part
        if part not in self.experts and not isinstance(self.baselines.get(part), MemoryBaseline):
            memories = [each for each in fusion.of if isinstance(self.baselines.get(each), MemoryBaseline)]
            raise ValueError(
                f"'ensemble.{name}.partner.part' is '{part}', which is no memory; it should be one of "
                f"{', '.join(memories) or 'the baselines of kind memory, and none takes part'}"
            )
        if fusion.of[0] == part and all(each in self.baselines for each in fusion.of):
            raise ValueError(
                f"'ensemble.{name}.partner.part' is '{part}', the lead, whose partner is searched; name another part "
                "of 'of' first"
            )

    @model_validator(mode="after")
    def _spread_the_seed(self) -> Self:
        names = [name for name in type(self).model_fields if name not in _OWN_SEED]
        parts = {name: _seeded(getattr(self, name), self.seed) for name in names}
        self.__dict__.update(parts)  # frozen for everybody else
        return self


def smoothed(fusion: EnsembleSettings, evidence: Evidence) -> EnsembleSettings:
    """Return a fusion whose partner is smoothed with `evidence`."""
    assert fusion.partner is not None
    return fusion.model_copy(update={"partner": fusion.partner.model_copy(update={"evidence": evidence})})


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file; its name is the file's unless it says otherwise.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
    """
    experiment = load_settings(path, Experiment, overrides)
    named = "name" in experiment.model_fields_set
    return experiment if named else experiment.model_copy(update={"name": given_file(path).stem})


def _seeded(value: Any, seed: int) -> Any:
    """Return settings with `seed` wherever a part has a seed and did not set it."""
    if isinstance(value, dict):
        return {name: _seeded(inner, seed) for name, inner in value.items()}
    if not isinstance(value, Settings):
        return value
    parts = {name: _seeded(getattr(value, name), seed) for name in type(value).model_fields}
    if "seed" in parts and "seed" not in value.model_fields_set:
        parts["seed"] = seed
    changed = {name: part for name, part in parts.items() if part is not getattr(value, name)}
    return value.model_copy(update=changed) if changed else value
