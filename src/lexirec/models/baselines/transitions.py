"""Transitions: decayed counts of the items that followed the history's items, a baseline without learned parameters.

It is the memory's plainest setting as a baseline of its own, so that an experiment can name it in few words: the counts
of `Memory` without text and scaling, forward in time, or in both directions by `backward`.

Source: Shani, Heckerman and Brafman (JMLR 2005); ours counts pairs at several distances instead of chains.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import Baseline, BaselineSettings, load_fitted, save_fitted
from lexirec.models.baselines.memory import Memory, MemorySettings

_COUNTS = "counts"


class TransitionsSettings(BaselineSettings):
    """Settings of `Transitions`; the defaults are those of every comparison's reference baseline."""

    kind: Literal["transitions"] = "transitions"
    window: int = Field(default=5, ge=1)
    """Largest distance in places at which two items of a row count as a pair."""
    gap_decay: float = Field(default=0.5, gt=0, le=1)
    """A pair at distance g counts gap_decay^(g − 1)."""
    backward: float = Field(default=0.0, ge=0)
    """Weight of a pair read backwards: 0 looks forward only, 1 both ways alike."""
    history_decay: float = Field(default=0.3, gt=0, le=1)
    """Weight of a history item relative to the next newer one."""

    def memory(self) -> MemorySettings:
        """Return the equivalent settings of a memory without scaling."""
        return MemorySettings(**self.model_dump(exclude={"kind"}), row_power=0.0, column_power=0.0)


class Transitions(Baseline):
    """Scores items by decayed counts of successors of the history's items; see the module's docstring."""

    settings_class: ClassVar[type[BaselineSettings]] = TransitionsSettings
    settings: TransitionsSettings

    def fit(self, train: Sequences, n_items: int) -> Self:
        """Count the pairs of `train`, rows of item numbers, oldest first."""
        self.counted = Memory(self.settings.memory()).fit(train, n_items)
        return self

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        return self.counted.scores(histories)

    def save(self, folder: str | Path) -> None:
        """Write settings and counts into the folder."""
        save_fitted(folder, self.settings)
        self.counted.save(Path(folder) / _COUNTS)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        settings, _ = load_fitted(folder, TransitionsSettings)
        model = cls(settings)
        model.counted = Memory.load(Path(folder) / _COUNTS)
        return model
