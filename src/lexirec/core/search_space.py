"""Search dimensions of hyperparameter tuning: the range or the choices of one setting."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings

Value = bool | int | float | str


class Dimension(Settings):
    """Values to try for one setting: a range (whole numbers where both bounds are whole) or a list of choices."""

    low: int | float | None = None
    """Lower bound, included."""
    high: int | float | None = None
    """Upper bound, included."""
    log: bool = False
    """Whether to sample on a logarithmic scale."""
    step: int | float | None = Field(default=None, gt=0)
    """Distance between the numbers to try; by default 1 for whole numbers, any for others."""
    choices: tuple[Value, ...] = ()
    """Values to try, instead of a range."""

    @model_validator(mode="after")
    def _check_range_or_choices(self) -> Self:
        if self.choices:
            if len(self.choices) < 2 or self.model_fields_set != {"choices"}:
                raise ValueError("should have at least two choices, and no other entry beside them")
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
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The choices, or the lower and the upper bound."""
        return self.choices or (self.low or 0, self.high or 0)

    def holds(self, value: Any) -> bool:
        """Return whether a value is in the range or among the choices."""
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        low, high = float(self.ends[0]), float(self.ends[1])
        steps = (value - low) / (self.step or 1)
        return low <= value <= high and (self.step is None or abs(steps - round(steps)) < 1e-9)
