"""What may be searched of a memory that takes part in a product, and how long."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.core.registry import PartSettings
from lexirec.core.search_space import Dimension
from lexirec.models.baselines.memory import Evidence, MemorySettings

SPACE = {
    "window": Dimension(low=1, high=20),
    "gap_decay": Dimension(low=0.2, high=1.0),
    "backward": Dimension(low=0.0, high=1.0),
    "history_decay": Dimension(low=0.2, high=1.0),
    "row_power": Dimension(low=0.0, high=1.0),
    "column_power": Dimension(low=0.0, high=0.6),
    "neighbors": Dimension(low=5, high=300, log=True),
    "similarity_power": Dimension(low=0.5, high=8.0),
    "before": Dimension(low=0.0, high=4.0),
    "after": Dimension(low=0.0, high=4.0),
    "similar": Dimension(low=0.0, high=3.0),
    "two_steps": Dimension(low=0.0, high=2.0, step=0.2),
}
"""What is tried where nothing else is said; a step of `two_steps` lets it be 0, which costs half the time."""


class PartnerSettings(Settings):
    """A memory whose settings are searched for what the product is worth, not for what the memory is worth alone."""

    part: str = "memory"
    """Which of the fusion's parts it is; a memory, and not the lead. Its own settings are the first trial."""
    trials: int = Field(default=60, ge=1)
    """Memories that are tried."""
    cases: int = Field(default=5_000, ge=2)
    """Of the cases that choose weights, how many a trial is judged on, at most; drawn once by `seed`. What every other
    part says of all items for them is kept while the search goes on: 4 bytes a case and item."""
    evidence: Evidence | None = None
    """What counts are smoothed with, as `baselines.NAME.evidence`; by default what the part's own are."""
    space: dict[str, Dimension] = Field(default_factory=lambda: dict(SPACE), min_length=1)
    """What may be tried for which of the memory's settings; the others stay as they are."""
    seed: int = 0
    """Seed of the drawing and of what is proposed."""

    @model_validator(mode="after")
    def _the_memory_has_them(self) -> Self:
        for name, dimension in self.space.items():
            if name not in MemorySettings.model_fields or name == "kind":
                known = ", ".join(each for each in MemorySettings.model_fields if each != "kind")
                raise ValueError(f"'space' names '{name}', which no memory has; allowed: {known}")
            for value in dimension.ends:
                MemorySettings.model_validate({name: value})
        return self


PLACES = 10
"""Weights are chosen by NDCG at this place."""


class EnsembleSettings(PartSettings):
    """A recommender made of recommenders, and how their weights are chosen."""

    kind: Literal["product", "reciprocal-rank"] = "product"
    """product: log p of the lead plus weight · log p of every other part, in the lead's beam. reciprocal-rank: sums of
    weight / (constant + rank) over the parts' lists (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    of: tuple[str, ...] = Field(min_length=2)
    """Names of the parts: `model`, `reinforced`, or a baseline's. The first generative one leads, else the first; the
    lead's weight is 1."""
    weights: tuple[Annotated[float, Field(ge=0)], ...] = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16)
    """Weights that are tried for every other part; one alone sets it."""
    rule: Literal["fixed", "per-case"] = "fixed"
    """One weight for all, or one for each bin of cases by how well the training part covers their transitions."""
    floors: tuple[Annotated[float, Field(gt=0)], ...] = (1e-5, 1e-4, 1e-3)
    """Floors that are tried under the shares of a part that counts (product): what an item without counts has."""
    constants: tuple[Annotated[float, Field(ge=0)], ...] = (10.0, 60.0)
    """Constants that are tried (reciprocal-rank)."""
    bins: int = Field(default=4, ge=1)
    """Bins of cases by coverage, of equal size (per-case)."""
    shrink: float = Field(default=1000.0, ge=0)
    """How many cases of its own a bin needs to count as much as all cases together do for it (per-case)."""
    depth: int = Field(default=50, ge=PLACES)
    """Candidates that each part puts forward while weights are chosen; places of its list under reciprocal-rank."""
    reach: int | None = Field(default=200, ge=1)
    """Items of which a generative part beside the lead speaks (product): the best that its own search finds; all others
    bear the least of them. None reads the whole catalogue, which costs one decoding step for every prefix of it."""
    cases: int = Field(default=10_000, ge=1)
    """Validation cases that choose, at most, drawn once by `seed`."""
    seen: Literal["excluded", "included"] = "excluded"
    """Whether items of the history are kept out while weights are chosen."""
    choose_on: Literal["validation", "unseen"] = "validation"
    """unseen: only those validation cases whose newest event no part was trained on. Under leave-last-out there are
    none, for histories end with an event that was just taught, which flatters parts that learn; `data.split.hold_back`
    makes some."""
    partner: PartnerSettings | None = None
    """Search the settings of a memory among the parts for what the product is worth (product)."""
    seed: int = 0
    """Seed of the drawing."""

    @model_validator(mode="after")
    def _is_a_choice(self) -> Self:
        for name in ("of", "weights", "floors", "constants"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"'{name}' should hold at least one value, each once")
        if self.reach is not None and self.reach < self.depth:
            raise ValueError(f"'reach' is {self.reach}; it should be at least 'depth', {self.depth}")
        if self.partner is not None and self.partner.part not in self.of:
            raise ValueError(f"'partner.part' is '{self.partner.part}'; it should be one of {', '.join(self.of)}")
        if self.partner is not None and self.kind != "product":
            raise ValueError(f"'partner' is searched for a product, and kind is '{self.kind}'; leave it out")
        return self

    def needed(self) -> tuple[str, ...]:
        """Return `vectors` where they smooth the memory that is searched."""
        return ("vectors",) if self.partner is not None and self.partner.evidence == "vectors" else ()

    @property
    def options(self) -> tuple[float, ...]:
        """What is tried besides weights: floors of a product, constants of reciprocal ranks."""
        return self.floors if self.kind == "product" else self.constants
