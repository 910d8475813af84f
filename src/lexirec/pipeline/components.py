"""Choices of an experiment file's tables: tagged unions of the settings of data, codes, models and baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lexirec.core.config import DataPath, Settings, usual_kind
from lexirec.core.registry import PartSettings, choice_of
from lexirec.core.renamed import StoredAsBefore
from lexirec.data.loading import DataSettings, SplitSettings
from lexirec.models.baselines.base import BaselineSettings
from lexirec.models.baselines.memory import Evidence, MemoryBaseline, MemorySettings
from lexirec.models.baselines.registry import baseline_settings
from lexirec.models.baselines.sasrec import SasrecSettings
from lexirec.models.gram.settings import GramSettings
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.nn.causal_lm import CausalBackboneSettings
from lexirec.nn.t5 import BackboneSettings
from lexirec.semantic_ids.identifiers.base import IdentifierSettings
from lexirec.semantic_ids.identifiers.registry import SCHEMES
from lexirec.semantic_ids.lexicon.lexicon import TfIdfLexicon
from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon, LLMLexicon
from lexirec.semantic_ids.quantizers.base import QuantizerSettings
from lexirec.semantic_ids.quantizers.registry import QUANTIZERS

# ------------------------------------------------------------------------------------------------------------- data


class Tables(DataSettings):
    """Two tables of the reader's own."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("items", "interactions", "users")  # their content is in the key
    kind: Literal["tables"] = "tables"


class ToyShop(StoredAsBefore, Settings):
    """The built-in toy shop, generated from a seed."""

    later: ClassVar[tuple[str, ...]] = ("pictures",)
    kind: Literal["toy-shop"] = "toy-shop"
    text: tuple[str, ...] = ("title", "brand", "categories", "description")
    """Text fields of the items, in the order in which texts present them."""
    products: int = 800
    """Items in the shop."""
    shoppers: int = 2000
    """Users of the shop."""
    shop_seed: int = 0
    """Seed of the shop; not the experiment's, so that seeds are compared on one shop."""
    split: SplitSettings = DataSettings.model_fields["split"].default
    """How events are split into training, validation and test."""
    max_history: int = Field(default=20, ge=1)
    """Newest items kept of a history."""
    pictures: bool = False
    """Draw a picture of every item, for vectors of kind `images` (column `picture`)."""


DataChoice = Annotated[Tables | ToyShop, Field(discriminator="kind"), usual_kind("tables")]

# ------------------------------------------------------------------------------------------------ codes and lexicon


if TYPE_CHECKING:
    CodesChoice = QuantizerSettings
else:
    CodesChoice = choice_of(QUANTIZERS.values(), "hierarchical-kmeans")


class PublishedKeywords(Settings):
    """Keywords and descriptions of semantic-ID tokens that somebody else wrote, such as TS-Rec's."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """JSON or Parquet with `token`, `keywords` and `description`."""


LexiconChoice = Annotated[
    TfIdfLexicon | ContrastiveLexicon | LLMLexicon | PublishedKeywords,
    Field(discriminator="kind"),
    usual_kind("tf-idf"),
]

# -------------------------------------------------------------------------------------------------- language models

BackboneChoice = Annotated[
    BackboneSettings | CausalBackboneSettings, Field(discriminator="kind"), usual_kind("encoder-decoder")
]
ModelChoice = Annotated[GramSettings | TSRecSettings, Field(discriminator="kind"), usual_kind("late-fusion")]

# ---------------------------------------------------------------------------------------- identifiers and neighbours


if TYPE_CHECKING:
    IdentifierChoice = IdentifierSettings
else:
    IdentifierChoice = choice_of(SCHEMES.values(), "lexical")


class SasrecNeighbors(PartSettings):
    """Nearest by cosine in the item table of a SASRec that saw the training part (GRAM)."""

    kind: Literal["sasrec"] = "sasrec"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""
    sasrec: SasrecSettings = SasrecSettings()
    """The network; where a baseline has the same settings it is trained once."""


class CoOccurrenceNeighbors(PartSettings):
    """Items bought near each other in the training part."""

    kind: Literal["co-occurrence"] = "co-occurrence"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""
    window: int = Field(default=10, ge=1)
    """Largest distance in places at which two items count as a pair."""


class MemoryNeighbors(PartSettings):
    """Items that go together by counts of the training part, smoothed over text neighbours (the memory's matrix)."""

    kind: Literal["memory"] = "memory"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""
    evidence: Evidence = "text"
    """What counts are smoothed with."""
    memory: MemorySettings = MemorySettings()
    """How pairs are counted and smoothed."""

    def baseline(self) -> MemoryBaseline:
        """Return the memory whose matrix is read."""
        return MemoryBaseline(**self.memory.model_dump(), evidence=self.evidence)

    def needed(self) -> tuple[str, ...]:
        """Return what the memory is smoothed with."""
        return self.baseline().needed()


class VectorNeighbors(PartSettings):
    """Nearest by cosine of the item vectors."""

    needs: ClassVar[tuple[str, ...]] = ("vectors",)
    kind: Literal["vectors"] = "vectors"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""


class PublishedNeighbors(PartSettings):
    """Neighbours that somebody else made."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """Parquet with `item_id` and a list of item ids, or GRAM's text file."""
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""

    def files(self) -> dict[str, Path]:
        """Return the file of the neighbours."""
        return {"published": self.path}


NeighborsChoice = Annotated[
    SasrecNeighbors | CoOccurrenceNeighbors | MemoryNeighbors | VectorNeighbors | PublishedNeighbors,
    Field(discriminator="kind"),
]

# -------------------------------------------------------------------------------------------------------- baselines


if TYPE_CHECKING:
    BaselineChoice = BaselineSettings
else:
    BaselineChoice = choice_of(baseline_settings())
