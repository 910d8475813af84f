"""Tables of TS-Rec's fine-tuning tasks and reinforcement rewards, by name.

A new task or reward is a module of this package with a function, and one line here (see CONTRIBUTING.md). Each function
takes by name what it needs: a task of what `mixture.make_examples` has, a reward of what `rewards.Rewards` has. One
without a field of its own in `TaskSettings` or `RewardSettings` weighs 0 unless an experiment gives it a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lexirec.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from lexirec.models.tsrec.examples import Examples

TASKS: Registry[Callable[..., Examples]] = Registry(
    "lexirec.models.tsrec",
    {
        "next_item": "tasks:next_item",
        "sid_title": "tasks:sid_title",
        "history_title": "tasks:history_title",
        "title_history_title": "tasks:title_history_title",
        "title_history_sid": "tasks:title_history_sid",
        "sid_description": "tasks:sid_description",
        "preference": "tasks:preference",
        "ts_align": "tasks:ts_align",
    },
)
"""Tasks that fine-tuning can mix, in the order in which they are mixed."""

REWARDS: Registry[Callable[..., Tensor]] = Registry(
    "lexirec.models.tsrec",
    {
        "exact": "rewards:exact",
        "rank_aware": "rewards:rank_aware",
        "prefix_overlap": "rewards:prefix_overlap",
        "semantic": "rewards:semantic",
        "collaborative": "rewards:collaborative",
        "token_semantic": "rewards:token_semantic",
    },
)
"""Rewards that reinforcement can weigh."""
