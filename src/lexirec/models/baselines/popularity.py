"""Popularity and recency: baselines that rank alike for all users, by events or by time-decayed events.

Recency halves an event's weight for every `half_life_days` that it lies before the newest training event. Where events
have no times, their position counted from the end of their user's row stands in: the users' latest items, not the
latest events.

Source: the "recently popular" and "decayed popularity" baselines of Ji et al. (SIGIR 2020), who show that plain
popularity is a weak reference wherever items come and go.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import Baseline, BaselineInputs, BaselineSettings, popularity

_DAY = 86_400.0


class RecencySettings(BaselineSettings):
    """Settings of `Recency`."""

    needs: ClassVar[tuple[str, ...]] = ("times",)
    kind: Literal["recency"] = "recency"
    half_life_days: float = Field(default=90.0, gt=0)
    """Days after which an event counts half, if events have times."""
    place_decay: float = Field(default=0.5, gt=0, le=1)
    """Without times: weight of an event relative to the next newer one of its user."""


class Recency(Baseline):
    """Scores every item by its decayed share of the training events, whatever the history."""

    settings_class: ClassVar[type[BaselineSettings]] = RecencySettings
    settings: RecencySettings
    shares: NDArray[np.float32]

    def fit(self, train: Sequences, n_items: int, *, times: NDArray[np.float64] | None = None) -> Self:
        """Add up the decayed events of every item.

        Args:
            train: rows of item numbers, oldest first.
            n_items: size of the catalogue.
            times: seconds since 1970 of each event, float64 (N,) beside `train.items`; None where there are none.

        Raises:
            DataError: the times are not one per event.
        """
        if times is not None and len(times) != len(train.items):
            raise DataError(f"recency: {len(times):,} times for {len(train.items):,} events; give one per event")
        weights = self._by_place(train) if times is None else self._by_time(times)
        sums = np.bincount(train.items, weights, minlength=n_items)
        self.shares = (sums / max(float(sums.sum()), np.finfo(np.float64).tiny)).astype(np.float32)
        return self

    @classmethod
    def fitted(cls, settings: RecencySettings, inputs: BaselineInputs) -> Self:
        """Return a scorer fitted on events and, where they have them, their times."""
        return cls(settings).fit(inputs.train, inputs.n_items, times=inputs.times)

    def _by_time(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        age = (times.max(initial=-np.inf) - times) / (_DAY * self.settings.half_life_days)
        return np.asarray(np.exp2(-age), dtype=np.float64)

    def _by_place(self, train: Sequences) -> NDArray[np.float64]:
        age = np.repeat(train.offsets[1:], train.lengths) - 1 - np.arange(len(train.items))
        return np.asarray(np.power(self.settings.place_decay, age, dtype=np.float64))

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items)."""
        return np.tile(self.shares, (len(histories), 1))


class PopularitySettings(BaselineSettings):
    """Settings of `Popularity`: none."""

    kind: Literal["popularity"] = "popularity"


class Popularity(Baseline):
    """Scores every item by its share of the training events, whatever the history."""

    settings_class: ClassVar[type[BaselineSettings]] = PopularitySettings
    shares: NDArray[np.float32]

    def fit(self, train: Sequences, n_items: int) -> Self:
        """Count the events of every item."""
        self.shares = popularity(train, n_items)
        return self

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items)."""
        return np.tile(self.shares, (len(histories), 1))
