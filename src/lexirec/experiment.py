"""What an experiment file may say: the settings of every room, composed, under the names of the stages.

    [data] [vectors.NAME] [codes] [backbone] [lexicon] [identifiers] [neighbors] [baselines.NAME] [evaluation]

Only `[data]` is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from lexirec.choices import (
    BaselineChoice,
    DataChoice,
    IdentifierChoice,
    NeighborsChoice,
    needs_neighbors,
    needs_vectors,
)
from lexirec.codes.kmeans import HierarchicalKMeans
from lexirec.codes.lexicon import TfIdfLexicon
from lexirec.codes.spelling import CodeIdentifiers, LexicalIdentifiers
from lexirec.codes.vectors import VectorSettings
from lexirec.config import Settings, load_settings
from lexirec.late_fusion_recommender import ModelSettings
from lexirec.models.backbone import BackboneSettings

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
    sample_users: int | None = Field(default=None, ge=1)
    """Measure this many cases, drawn once by `seed`, instead of all."""
    seed: int = 0
    """Seed of the sample."""

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
    codes: HierarchicalKMeans | None = None
    """How items are clustered."""
    backbone: BackboneSettings | None = None
    """The language model whose tokens spell identifiers; without one they are spelled in words."""
    lexicon: TfIdfLexicon = TfIdfLexicon()
    """How clusters are named."""
    identifiers: IdentifierChoice | None = None
    """How items are named; with codes the lexicon's terms by default."""
    neighbors: NeighborsChoice | None = None
    """Similar items."""
    baselines: dict[Name, BaselineChoice] = Field(default_factory=dict)
    """What the model is measured beside."""
    model: ModelSettings | None = None
    """The late-fusion model; without it an experiment measures baselines."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How everything is measured."""

    @property
    def naming(self) -> IdentifierChoice | None:
        """How items are named: as the file says, else lexically where there are codes, else not at all."""
        return LexicalIdentifiers() if self.identifiers is None and self.codes is not None else self.identifiers

    @model_validator(mode="after")
    def _parts_have_what_they_need(self) -> Self:
        parts: dict[str, Settings | None] = {"codes": self.codes, "neighbors": self.neighbors}
        parts.update({f"baselines.{name}": baseline for name, baseline in self.baselines.items()})
        needy = [name for name, part in parts.items() if part is not None and needs_vectors(part)]
        if needy and not self.vectors:
            raise ValueError(f"'{needy[0]}' needs vectors: add a table such as [vectors.text] with kind = \"lsa\"")
        if isinstance(self.naming, LexicalIdentifiers | CodeIdentifiers) and self.codes is None:
            raise ValueError(f"'identifiers' of kind {self.naming.kind} need the table [codes]")
        if self.model is not None and (self.naming is None or self.backbone is None):
            raise ValueError("'model' needs the tables [backbone] and [codes] or [identifiers]")
        needy = [name for name, part in parts.items() if part is not None and needs_neighbors(part)]
        if needy and self.neighbors is None:
            raise ValueError(f"'{needy[0]}' needs the table [neighbors]")
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
    return experiment if named else experiment.model_copy(update={"name": Path(path).stem})


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
