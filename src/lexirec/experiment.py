"""What an experiment file may say: the settings of every room, composed, under the names of the stages.

    [data] [vectors.NAME] [codes] [backbone] [pretraining] [lexicon] [identifiers] [neighbors] [model] [reinforcement]
    [baselines.NAME] [experts.NAME] [fusion] or [fusion.NAME] [evaluation]

Only `[data]` is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from lexirec.causal_settings import CausalModelSettings, ReinforcementSettings
from lexirec.choices import (
    BackboneChoice,
    BaselineChoice,
    CodesChoice,
    DataChoice,
    IdentifierChoice,
    LexiconChoice,
    MemoryBaseline,
    ModelChoice,
    NeighborsChoice,
    Tables,
    needs_neighbors,
    needs_vectors,
)
from lexirec.codes.kmeans import HierarchicalKMeans
from lexirec.codes.lexicon import TfIdfLexicon
from lexirec.codes.spelling import CodeIdentifiers, LexicalIdentifiers, PermutedIdentifiers
from lexirec.codes.vectors import VectorSettings
from lexirec.config import DataPath, Settings, as_toml, load_settings
from lexirec.errors import SettingsError, did_you_mean
from lexirec.fusion.weights import FusionSettings
from lexirec.shipped import given_file
from lexirec.training.pretrain import PretrainSettings

S = TypeVar("S", bound=Settings)
_OWN_SEED = ("data", "evaluation")  # the shop and the sample of users stay the same when seeds are compared
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
FUSED = "fused"
"""What the one recommender of a table `[fusion]` is called."""
EXPERTS = "experts"
"""What the steps of experts are called after."""

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
    fusion: dict[Name, FusionSettings] = Field(default_factory=dict)
    """Recommenders made of recommenders; a table without a name is called `fused`."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How everything is measured."""

    @field_validator("fusion", mode="before")
    @classmethod
    def _one_fusion_needs_no_name(cls, given: Any) -> Any:
        return {FUSED: given} if isinstance(given, dict) and "of" in given else given

    @property
    def parts(self) -> list[str]:
        """What its own recommenders are called: its baselines, `model`, `reinforced`."""
        own = {"model": self.model, "reinforced": self.reinforcement}
        return [*self.baselines, *(name for name, settings in own.items() if settings is not None)]

    def with_evidence(self, fusion: FusionSettings, experts: Mapping[str, Experiment] | None = None) -> FusionSettings:
        """Say what the memory that a fusion searches is smoothed with, where the fusion does not: what its own is.

        Args:
            fusion: one of the experiment's.
            experts: what `expert_experiment` returns for each; without them an expert is smoothed with texts.

        Raises:
            SettingsError: the part that is searched is an expert that is no memory, or wants vectors that are not here.
        """
        partner = fusion.partner
        if partner is None:
            return fusion
        own = self.baselines.get(partner.part)
        if experts is not None and partner.part in experts:
            own = self._searched_expert(partner.part, experts[partner.part])
        if partner.evidence is not None:
            return fusion
        evidence = own.evidence if isinstance(own, MemoryBaseline) else "text"
        if partner.part in self.experts and evidence == "vectors" and not self.vectors:
            raise SettingsError(
                f"'{partner.part}' is smoothed with vectors, and so is the partner that is searched: add a table such "
                'as [vectors.text] with kind = "lsa", or set partner.evidence'
            )
        return fusion.model_copy(update={"partner": partner.model_copy(update={"evidence": evidence})})

    def _searched_expert(self, name: str, expert: Experiment) -> MemoryBaseline:
        part = self.experts[name].part
        own = expert.baselines.get(part)
        if not isinstance(own, MemoryBaseline):
            raise SettingsError(
                f"'partner.part' of a fusion is '{name}', which is no memory ('{part}' of "
                f"{self.experts[name].experiment.name}); name a part of kind memory"
            )
        return own

    @property
    def naming(self) -> IdentifierChoice | None:
        """How items are named: as the file says, else as suits the codes, else not at all."""
        if self.identifiers is not None or self.codes is None:
            return self.identifiers
        return LexicalIdentifiers() if isinstance(self.codes, HierarchicalKMeans) else CodeIdentifiers()

    @property
    def spelling(self) -> IdentifierChoice | None:
        """How items are spelled, whoever gets which identifier: `naming`, without the control that deals them out."""
        naming = self.naming
        return naming.of if isinstance(naming, PermutedIdentifiers) else naming

    @property
    def wants_words(self) -> bool:
        """Whether the lexicon teaches the model what its tokens mean."""
        return isinstance(self.model, CausalModelSettings) and self.model.wants_words and self.codes is not None

    @model_validator(mode="after")
    def _parts_have_what_they_need(self) -> Self:
        parts: dict[str, Settings | None] = {"codes": self.codes, "neighbors": self.neighbors}
        parts.update({f"baselines.{name}": baseline for name, baseline in self.baselines.items()})
        parts |= {f"fusion.{name}.partner": self.with_evidence(fusion) for name, fusion in self.fusion.items()}
        needy = [name for name, part in parts.items() if part is not None and needs_vectors(part)]
        if needy and not self.vectors:
            raise ValueError(f"'{needy[0]}' needs vectors: add a table such as [vectors.text] with kind = \"lsa\"")
        if isinstance(self.spelling, LexicalIdentifiers | CodeIdentifiers) and self.codes is None:
            raise ValueError(f"'identifiers' of kind {self.spelling.kind} need the table [codes]")
        needy = [name for name, part in parts.items() if part is not None and needs_neighbors(part)]
        if needy and self.neighbors is None:
            raise ValueError(f"'{needy[0]}' needs the table [neighbors]")
        return self

    @model_validator(mode="after")
    def _the_model_has_what_it_needs(self) -> Self:
        if self.model is not None and (self.naming is None or self.backbone is None):
            raise ValueError("'model' needs the tables [backbone] and [codes] or [identifiers]")
        if self.model is not None and self.backbone is not None:
            wanted = "causal" if isinstance(self.model, CausalModelSettings) else "encoder-decoder"
            if self.backbone.kind != wanted:
                raise ValueError(f'\'model\' of kind "{self.model.kind}" needs a [backbone] of kind "{wanted}"')
        if isinstance(self.model, CausalModelSettings) and self.model.sa_init is not None and self.codes is None:
            raise ValueError("'model.sa_init' needs the table [codes], whose cells a lexicon describes")
        asked = isinstance(self.model, CausalModelSettings) and self.model.tasks.preference > 0
        if asked and (not isinstance(self.data, Tables) or self.data.users is None):
            raise ValueError("'model.tasks.preference' needs texts about users: name their table in data.users")
        if self.reinforcement is None:
            return self
        if not isinstance(self.model, CausalModelSettings):
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
        for name, fusion in self.fusion.items():
            for part in fusion.of:
                if part not in known:
                    raise ValueError(f"'fusion.of' ({name}) names '{part}'; it should be one of {', '.join(known)}")
            if name in known:
                raise ValueError(f"'fusion.{name}' is the name of a part already; call it otherwise")
            self._check_partner(name, fusion)
        return self

    def _check_partner(self, name: str, fusion: FusionSettings) -> None:
        """Refuse, before anything is trained, to search what is no memory or what leads."""
        if fusion.partner is None:
            return
        part = fusion.partner.part
        if part not in self.experts and not isinstance(self.baselines.get(part), MemoryBaseline):
            memories = [each for each in fusion.of if isinstance(self.baselines.get(each), MemoryBaseline)]
            raise ValueError(
                f"'fusion.{name}.partner.part' is '{part}', which is no memory; it should be one of "
                f"{', '.join(memories) or 'the baselines of kind memory, and none takes part'}"
            )
        if fusion.of[0] == part and all(each in self.baselines for each in fusion.of):
            raise ValueError(
                f"'fusion.{name}.partner.part' is '{part}', the lead, whose partner is searched; name another part of "
                "'of' first"
            )

    @model_validator(mode="after")
    def _spread_the_seed(self) -> Self:
        names = [name for name in type(self).model_fields if name not in _OWN_SEED]
        parts = {name: _seeded(getattr(self, name), self.seed) for name in names}
        self.__dict__.update(parts)  # frozen for everybody else
        return self


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file; its name is the file's unless it says otherwise.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
    """
    experiment = load_settings(path, Experiment, overrides)
    named = "name" in experiment.model_fields_set
    return experiment if named else experiment.model_copy(update={"name": given_file(path).stem})


def alone(experiment: Experiment, system: str) -> Experiment:
    """Leave out of an experiment what a recommender does not need."""
    parts = _parts(experiment, system)
    own = {"model", "reinforced"} & parts
    baselines = {name: each for name, each in experiment.baselines.items() if name in parts}
    update: dict[str, Any] = {
        "baselines": baselines,
        "experts": {name: each for name, each in experiment.experts.items() if name in parts},
        "fusion": {name: each for name, each in experiment.fusion.items() if name in parts},
    }
    if "reinforced" not in own:
        update["reinforcement"] = None
    if not own:
        update |= dict.fromkeys(("model", "backbone", "pretraining", "codes", "identifiers"))
        near = experiment.neighbors if any(map(needs_neighbors, baselines.values())) else None
        update["neighbors"] = near
        readers = [*baselines.values(), *update["fusion"].values(), *([] if near is None else [near])]
        reads = any(map(needs_vectors, readers))
        update["vectors"] = experiment.vectors if reads else {}
    return experiment.model_copy(update=update)


def _parts(experiment: Experiment, system: str) -> set[str]:
    """Return the recommenders that one is made of, itself included."""
    parts = {system}
    if system in experiment.fusion:
        parts.update(*(_parts(experiment, name) for name in experiment.fusion[system].of))
    if system == "reinforced" and experiment.reinforcement is not None:
        scorer = experiment.reinforcement.scorer
        parts |= {"model", *([scorer] if scorer is not None else [])}
    return parts


def expert_experiment(experiment: Experiment, name: str) -> Experiment:
    """Return the experiment that makes one of the experts: its file's recipe on this experiment's data, and no more.

    Raises:
        SettingsError: the file cannot be read, does not fit these data, or has no such recommender.
    """
    expert = experiment.experts[name]
    data = as_toml(experiment.data.model_dump(mode="json", exclude_none=True))
    seed = f"seed={expert.seed + expert.seed_step}"
    found = load_experiment(expert.experiment, ["data={}", f"data={data}", seed, *expert.set])
    known = found.parts
    if expert.part not in known:
        raise SettingsError(
            f"'experts.{name}.part' is '{expert.part}'; {expert.experiment.name} has {', '.join(known) or 'none'}."
            f"{did_you_mean(expert.part, known)}"
        )
    return alone(found, expert.part)


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
