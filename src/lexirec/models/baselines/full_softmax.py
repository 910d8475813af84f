"""What a softmax over the whole catalogue takes, said before a network of a large catalogue is trained."""

from __future__ import annotations

from typing import Any

from lexirec.core.environment import beyond_memory
from lexirec.models.baselines.base import BaselineSettings

_COPIES = 3
"""Scores, their exponentials and their gradient."""


class FullSoftmaxSettings(BaselineSettings):
    """Settings of a network that scores all items for every target, unless `training.negatives` samples them."""

    def too_large(self, n_items: int, n_users: int) -> str | None:
        """Return that scores of all items for all targets of a step are beyond the machine's memory."""
        how: Any = self
        if how.training.negatives:
            return None
        targets = min(how.training.batch_size, max(n_users, 1)) * how.max_history
        what = f"{how.kind}: scores of {n_items:,} items for up to {targets:,} targets a step"
        advice = "set training.negatives = 256, or leave this baseline out"
        return beyond_memory(what, _COPIES * 4 * targets * n_items, advice)
