"""What a training does when its numbers stop being finite: it ends with one line that says where and what to try.

A weight that is NaN stays NaN, so everything computed after it is lost. Trainings therefore collect the loss and the
gradient norm of every step in a `Watch`, and look at them before weights are validated or saved: at once where that is
free (on a CPU), else at intervals, so that an accelerator is not made to wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from lexirec.core.errors import TrainingError

LOSS, GRADIENT = "loss", "gradient norm"
"""Names of what is watched, for messages."""


@dataclass
class Watch:
    """Collects numbers of a training's steps, and raises where one is not finite.

    Attributes:
        title: of the training; it begins the messages.
        advice: what to try; it ends them.
        steps: of the whole training.
        per_epoch: steps of an epoch.
    """

    title: str
    advice: str
    steps: int
    per_epoch: int
    _held: list[tuple[int, str, Any]] = field(default_factory=list)

    def note(self, step: int, what: str, value: Any, *, at_once: bool) -> None:
        """Keep a number of a step.

        Args:
            step: counted from 0.
            what: name of the number.
            value: a float, or a tensor that holds one.
            at_once: look at it now rather than at the next `check`.

        Raises:
            TrainingError: it is looked at and is not finite.
        """
        self._held.append((step, what, value))
        if at_once:
            self.check()

    def check(self) -> None:
        """Look at all numbers since the last look.

        Raises:
            TrainingError: one of them is not finite; the message names the first.
        """
        held, self._held = self._held, []
        # the sum is not finite if one of them is not, and takes a single copy from an accelerator
        if math.isfinite(float(sum(value for _, _, value in held))):
            return
        for step, what, value in held:
            if not math.isfinite(value):
                epoch = step // max(1, self.per_epoch) + 1
                where = f"at step {step + 1:,} of {self.steps:,} (epoch {epoch})"
                raise self.error(f"the {what} is {float(value):g} {where}")

    def error(self, problem: str) -> TrainingError:
        """Return the error for a problem, in one line."""
        return TrainingError(f"{self.title}: {problem}; the training has diverged, so it is not kept: {self.advice}")
