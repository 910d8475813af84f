"""What may be searched of a memory that takes part in a product, and how long."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.models.baselines.memory import MemorySettings
from lexirec.training.dimensions import Dimension

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
    evidence: Literal["text", "vectors", "none"] | None = None
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
