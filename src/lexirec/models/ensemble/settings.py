"""Settings of ensembles: parts, combination rule, choice of weights, and the search of a partner memory."""

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
"""Default search space; the step of `two_steps` allows 0, which halves the time of a trial."""


class PartnerSettings(Settings):
    """Search the settings of a memory among the parts for the accuracy of the product, not its own."""

    part: str = "memory"
    """Name of the part: a memory, not the lead. Its own settings are the first trial."""
    trials: int = Field(default=60, ge=1)
    """Number of memories that are tried."""
    cases: int = Field(default=5_000, ge=2)
    """Maximum cases per trial, drawn once by `seed` from those that choose weights. The other parts' scores of all
    items for them are kept on disk during the search: 4 bytes per case and item."""
    evidence: Evidence | None = None
    """Evidence that smooths the counts, as `baselines.NAME.evidence`; by default the part's own."""
    space: dict[str, Dimension] = Field(default_factory=lambda: dict(SPACE), min_length=1)
    """Search space by setting of the memory; other settings keep their values."""
    seed: int = 0
    """Seed of the drawing and of the proposals."""

    @model_validator(mode="after")
    def _settings_exist(self) -> Self:
        for name, dimension in self.space.items():
            if name not in MemorySettings.model_fields or name == "kind":
                allowed = ", ".join(each for each in MemorySettings.model_fields if each != "kind")
                raise ValueError(f"'space' names '{name}', which is no setting of a memory; allowed: {allowed}")
            for value in dimension.ends:
                MemorySettings.model_validate({name: value})
        return self


PLACES = 10
"""Cut-off of the NDCG that chooses weights."""


class EnsembleSettings(PartSettings):
    """An ensemble of recommenders, and the choice of their weights."""

    kind: Literal["product", "reciprocal-rank"] = "product"
    """product: log p of the lead plus weight · log p of every other part, in the lead's beam search. reciprocal-rank:
    the sum of weight / (constant + rank) over the parts' lists (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    of: tuple[str, ...] = Field(min_length=2)
    """Names of the parts: `model`, `reinforced`, or a baseline's. The lead is the first generative part, else the first
    part; its weight is 1."""
    weights: tuple[Annotated[float, Field(ge=0)], ...] = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16)
    """Grid of weights for every other part; a single value fixes it."""
    rule: Literal["fixed", "per-case"] = "fixed"
    """fixed: one weight for all cases. per-case: one per bin of cases by how well training covers their transitions."""
    floors: tuple[Annotated[float, Field(gt=0)], ...] = (1e-5, 1e-4, 1e-3)
    """Grid of floors for parts with counts (product): the share of an item without counts."""
    constants: tuple[Annotated[float, Field(ge=0)], ...] = (10.0, 60.0)
    """Grid of constants (reciprocal-rank)."""
    bins: int = Field(default=4, ge=1)
    """Number of equally large bins of cases by coverage (per-case)."""
    shrink: float = Field(default=1000.0, ge=0)
    """Number of cases at which a bin's own curve counts as much as that of all cases (per-case)."""
    depth: int = Field(default=50, ge=PLACES)
    """Candidates per part while weights are chosen; length of its list under reciprocal-rank."""
    reach: int | None = Field(default=200, ge=1)
    """Items that a generative part beside the lead scores (product): the best of its own search; all others get the
    lowest of these scores. None scores the whole catalogue, which costs one decoding step per prefix of it."""
    cases: int = Field(default=10_000, ge=1)
    """Maximum number of validation cases that choose weights, drawn once by `seed`."""
    seen: Literal["excluded", "included"] = "excluded"
    """Whether items of the history are excluded while weights are chosen."""
    choose_on: Literal["validation", "unseen"] = "validation"
    """unseen: only validation cases whose newest event no part was trained on. Under leave-last-out there are none,
    because each history ends with a training event, which favours trained parts; `data.split.hold_back` creates some.
    """
    partner: PartnerSettings | None = None
    """Search the settings of a memory among the parts for the accuracy of the product (product)."""
    seed: int = 0
    """Seed of the drawing."""

    @model_validator(mode="after")
    def _grids_are_valid(self) -> Self:
        for name in ("of", "weights", "floors", "constants"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"'{name}' should hold at least one value, each once")
        if self.reach is not None and self.reach < self.depth:
            raise ValueError(f"'reach' is {self.reach}; it should be at least 'depth', {self.depth}")
        if self.partner is not None and self.partner.part not in self.of:
            raise ValueError(f"'partner.part' is '{self.partner.part}'; it should be one of {', '.join(self.of)}")
        if self.partner is not None and self.kind != "product":
            raise ValueError(f"'partner' needs kind \"product\", but kind is '{self.kind}'; leave it out")
        return self

    def needed(self) -> tuple[str, ...]:
        """Return `vectors` where they smooth the memory that is searched."""
        return ("vectors",) if self.partner is not None and self.partner.evidence == "vectors" else ()

    @property
    def options(self) -> tuple[float, ...]:
        """The grid beside the weights: floors of a product, constants of reciprocal ranks."""
        return self.floors if self.kind == "product" else self.constants
