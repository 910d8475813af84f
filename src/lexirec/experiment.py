"""What an experiment file may say: the settings of every room, composed, under the names of the stages.

    [data] [vectors.NAME] [codes] [backbone] [pretraining] [lexicon] [identifiers] [neighbors] [model] [reinforcement]
    [baselines.NAME] [fusion] or [fusion.NAME] [evaluation]

Only `[data]` is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from lexirec.config import Settings, load_settings
from lexirec.fusion.weights import FusionSettings
from lexirec.shipped import given_file
from lexirec.training.pretrain import PretrainSettings

S = TypeVar("S", bound=Settings)
_OWN_SEED = ("data", "evaluation")  # the shop and the sample of users stay the same when seeds are compared
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
FUSED = "fused"
"""What the one recommender of a table `[fusion]` is called."""

# ------------------------------------------------------------------------------------------------------- evaluation


class EvaluationSettings(Settings):
    """What is measured, and how lists are made."""

    ks: tuple[Annotated[int, Field(ge=1)], ...] = (1, 3, 5, 10, 20, 50)
    """Places at which metrics are cut."""
    seen: tuple[Literal["excluded", "included"], ...] = ("excluded", "included")
    """Whether items of the history are kept out of the lists; both are measured, the first is the headline."""
    fold: Literal["test", "validation"] = "test"
    """The cases that are reported."""
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
    fusion: dict[Name, FusionSettings] = Field(default_factory=dict)
    """Recommenders made of recommenders; a table without a name is called `fused`."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How everything is measured."""

    @field_validator("fusion", mode="before")
    @classmethod
    def _one_fusion_needs_no_name(cls, given: Any) -> Any:
        return {FUSED: given} if isinstance(given, dict) and "of" in given else given

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
        known = [*self.baselines, *(["model"] if self.model else []), *(["reinforced"] if self.reinforcement else [])]
        for name, fusion in self.fusion.items():
            for part in fusion.of:
                if part not in known:
                    raise ValueError(f"'fusion.of' ({name}) names '{part}'; it should be one of {', '.join(known)}")
            if name in known:
                raise ValueError(f"'fusion.{name}' is the name of a part already; call it otherwise")
        return self

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
