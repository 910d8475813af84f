"""What a search may try for one setting: a range of numbers, or choices."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings

Value = bool | int | float | str


class Dimension(Settings):
    """What may be tried for one setting: numbers between two ends, whole ones where both ends are whole, or choices."""

    low: int | float | None = None
    """The smallest number that is tried."""
    high: int | float | None = None
    """The greatest number that is tried."""
    log: bool = False
    """Whether orders of magnitude are tried alike."""
    step: int | float | None = Field(default=None, gt=0)
    """Distance between numbers that are tried; by default 1 for whole numbers, any for others."""
    choices: tuple[Value, ...] = ()
    """Values that are tried, instead of numbers between ends."""

    @model_validator(mode="after")
    def _says_what_is_tried(self) -> Self:
        if self.choices:
            if len(self.choices) < 2 or self.model_fields_set != {"choices"}:
                raise ValueError("should have two choices or more, and nothing else beside them")
            return self
        if self.low is None or self.high is None:
            raise ValueError("should have both low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"should have low = {self.low} below high = {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("should have low above 0 and no step where log = true")
        if self.whole and isinstance(self.step, float):
            raise ValueError(f"should have a whole step, as low and high are; it has {self.step}")
        return self

    @property
    def whole(self) -> bool:
        """Whether whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The choices, or the least and the greatest number."""
        return self.choices or (self.low or 0, self.high or 0)

    def holds(self, value: Any) -> bool:
        """Say whether a value is one of those that may be tried."""
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        low, high = float(self.ends[0]), float(self.ends[1])
        steps = (value - low) / (self.step or 1)
        return low <= value <= high and (self.step is None or abs(steps - round(steps)) < 1e-9)
