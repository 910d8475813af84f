"""Choices of an experiment file's tables: tagged unions of the settings of data, codes, models and baselines."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lexirec.core.config import DataPath, Settings, usual_kind
from lexirec.data.loading import DataSettings, SplitSettings
from lexirec.models.baselines.als import AlsSettings
from lexirec.models.baselines.gru4rec import Gru4RecSettings
from lexirec.models.baselines.hstu import HstuSettings
from lexirec.models.baselines.item_similarity import EaseSettings, ItemKnnSettings
from lexirec.models.baselines.memory import MemorySettings
from lexirec.models.baselines.popularity import PopularitySettings, RecencySettings
from lexirec.models.baselines.sasrec import SasrecSettings
from lexirec.models.baselines.transitions import TransitionsSettings
from lexirec.models.ensemble.settings import EnsembleSettings, PartnerSettings
from lexirec.models.gram.settings import GramSettings
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.nn.causal_lm import CausalBackboneSettings
from lexirec.nn.t5 import BackboneSettings
from lexirec.semantic_ids.identifiers.schemes import (
    CodeIdentifiers,
    KeywordIdentifiers,
    LexicalIdentifiers,
    PermutedIdentifiers,
    TextIdentifiers,
)
from lexirec.semantic_ids.lexicon.lexicon import TfIdfLexicon
from lexirec.semantic_ids.lexicon.llm_settings import LLMLexicon
from lexirec.semantic_ids.quantizers.category_codes import CategoryCodes
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings
from lexirec.semantic_ids.quantizers.hierarchical_kmeans import HierarchicalKMeans
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqkmeans_plus import ResidualKMeansPlus
from lexirec.semantic_ids.quantizers.rqvae import RqVae

Evidence = Literal["text", "vectors", "none"]
"""What a memory smooths its counts with: TF-IDF of the items' texts, the experiment's vectors, nothing."""

# ------------------------------------------------------------------------------------------------------------- data


class Tables(DataSettings):
    """Two tables of the reader's own."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("items", "interactions", "users")  # their content is in the key
    kind: Literal["tables"] = "tables"


class ToyShop(Settings):
    """The built-in toy shop, generated from a seed."""

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


DataChoice = Annotated[Tables | ToyShop, Field(discriminator="kind"), usual_kind("tables")]

# ------------------------------------------------------------------------------------------------ codes and lexicon


class PublishedCodes(Settings):
    """Semantic IDs `<a_236><b_231><c_226>` that somebody else made, as residual codes."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """Parquet with `item_id` and a column of semantic IDs, MiniOneRec's index.json, or a text file."""
    column: str | None = None
    """The column of the semantic IDs, by default `sid`."""
    collisions: CollisionSettings = CollisionSettings()
    """What becomes of items that share one."""


CodesChoice = Annotated[
    HierarchicalKMeans | ResidualKMeans | RqVae | ResidualKMeansPlus | CategoryCodes | PublishedCodes,
    Field(discriminator="kind"),
    usual_kind("hierarchical-kmeans"),
]


class PublishedKeywords(Settings):
    """Keywords and descriptions of semantic-ID tokens that somebody else wrote, such as TS-Rec's."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """JSON or Parquet with `token`, `keywords` and `description`."""


LexiconChoice = Annotated[
    TfIdfLexicon | LLMLexicon | PublishedKeywords, Field(discriminator="kind"), usual_kind("tf-idf")
]

# -------------------------------------------------------------------------------------------------- language models

BackboneChoice = Annotated[
    BackboneSettings | CausalBackboneSettings, Field(discriminator="kind"), usual_kind("encoder-decoder")
]
ModelChoice = Annotated[GramSettings | TSRecSettings, Field(discriminator="kind"), usual_kind("late-fusion")]

# ---------------------------------------------------------------------------------------- identifiers and neighbours


class PublishedIdentifiers(Settings):
    """Identifiers that somebody else made; they need neither codes nor a lexicon."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """Parquet with `item_id` and a column of pieces, or GRAM's text file."""
    column: str | None = None
    """The column of the pieces, where the file has several."""


IdentifierChoice = Annotated[
    LexicalIdentifiers
    | KeywordIdentifiers
    | TextIdentifiers
    | CodeIdentifiers
    | PublishedIdentifiers
    | PermutedIdentifiers,
    Field(discriminator="kind"),
    usual_kind("lexical"),
]


class SasrecNeighbors(Settings):
    """Nearest by cosine in the item table of a SASRec that saw the training part (GRAM)."""

    kind: Literal["sasrec"] = "sasrec"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""
    sasrec: SasrecSettings = SasrecSettings()
    """The network; where a baseline has the same settings it is trained once."""


class CoOccurrenceNeighbors(Settings):
    """Items bought near each other in the training part."""

    kind: Literal["co-occurrence"] = "co-occurrence"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""
    window: int = Field(default=10, ge=1)
    """Largest distance in places at which two items count as a pair."""


class MemoryNeighbors(Settings):
    """Items that go together by counts of the training part, smoothed over text neighbours (the memory's matrix)."""

    kind: Literal["memory"] = "memory"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""
    evidence: Evidence = "text"
    """What counts are smoothed with."""
    memory: MemorySettings = MemorySettings()
    """How pairs are counted and smoothed."""


class VectorNeighbors(Settings):
    """Nearest by cosine of the item vectors."""

    kind: Literal["vectors"] = "vectors"
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""


class PublishedNeighbors(Settings):
    """Neighbours that somebody else made."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """Parquet with `item_id` and a list of item ids, or GRAM's text file."""
    k: int = Field(default=20, ge=1)
    """Neighbours kept of every item."""


NeighborsChoice = Annotated[
    SasrecNeighbors | CoOccurrenceNeighbors | MemoryNeighbors | VectorNeighbors | PublishedNeighbors,
    Field(discriminator="kind"),
]

# -------------------------------------------------------------------------------------------------------- baselines


class MemoryBaseline(MemorySettings):
    """The memory, and what it smooths its counts with."""

    evidence: Evidence = "text"
    """TF-IDF of the items' texts (M2), all vectors of the experiment (M1), or nothing (M0)."""

    def alone(self) -> MemorySettings:
        """Return the settings of the memory itself."""
        return MemorySettings(**self.model_dump(exclude={"evidence"}))


class SasrecBaseline(SasrecSettings):
    """SASRec, and what it knows of items besides their number."""

    with_vectors: bool = False
    """Add a linear map of the experiment's vectors to the item vectors."""
    with_neighbors: bool = False
    """Add the mean of an item's neighbours to its vector."""

    def alone(self) -> SasrecSettings:
        """Return the settings of the network itself."""
        return SasrecSettings(**self.model_dump(exclude={"with_vectors", "with_neighbors"}))


BaselineChoice = Annotated[
    PopularitySettings
    | RecencySettings
    | TransitionsSettings
    | MemoryBaseline
    | ItemKnnSettings
    | EaseSettings
    | AlsSettings
    | SasrecBaseline
    | Gru4RecSettings
    | HstuSettings,
    Field(discriminator="kind"),
]


def needs_vectors(settings: Settings) -> bool:
    """Say whether a part reads the experiment's vectors."""
    match settings:
        case MemoryBaseline(evidence="vectors") | MemoryNeighbors(evidence="vectors"):
            return True
        case SasrecBaseline(with_vectors=True) | VectorNeighbors():
            return True
        case EnsembleSettings(partner=PartnerSettings(evidence="vectors")):
            return True
        case HierarchicalKMeans() | ResidualKMeans() | RqVae() | ResidualKMeansPlus():
            return True
        case PublishedCodes(collisions=CollisionSettings(rule="nearest-free" | "sinkhorn")):
            return True
        case _:
            return False


def needs_neighbors(settings: Settings) -> bool:
    """Say whether a baseline reads the experiment's neighbours."""
    return isinstance(settings, SasrecBaseline) and settings.with_neighbors


def needs_times(settings: Settings) -> bool:
    """Say whether a baseline reads when events happened."""
    return isinstance(settings, RecencySettings)


def without_extras(settings: Settings) -> Settings:
    """Return a SASRec that uses no extras as the bare network, which SASRec neighbours may have trained already."""
    bare = isinstance(settings, SasrecBaseline) and not (settings.with_vectors or settings.with_neighbors)
    return settings.alone() if isinstance(settings, SasrecBaseline) and bare else settings
