"""What buying a thing again costs: learned penalties on the items of the history, by how long ago they were.

In many shops nobody takes an item twice, in others a few per cent of all events repeat the newest item and next to none
an older one (Amazon Industrial 2018: 2.4 % and 0.2 % of the training events), so that one penalty for a whole history
is wrong for both.

Legend: `R` rows, `H` history, `I` items.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

AGES = 4
"""Penalties of their own: for the newest item, the one before it, the third newest, and all that are older."""


def penalties(repeat_A: Tensor) -> Tensor:
    """Return the penalties (AGES,) in nats, never below 0, from what is learned."""
    return 10 * functional.softplus(repeat_A)  # ten, so that they move at the pace of the logits


def penalty_of_items(penalties_A: Tensor, seen_RH: Tensor, n_items: int) -> Tensor:
    """Return what is taken off every item's logit: (R, I), 0 for what is not in the history.

    Args:
        penalties_A: by age, newest first; the last one is for all that are older.
        seen_RH: item numbers, oldest first, −1 where there is none. An item that stands there twice is as old as where
            it stands last.
        n_items: size of the catalogue.
    """
    there_RH = seen_RH >= 0
    age_RH = there_RH.flip(1).cumsum(1).flip(1) - 1
    again_RHH = (seen_RH.unsqueeze(2) == seen_RH.unsqueeze(1)).triu(1)
    counts_RH = there_RH & ~again_RHH.any(2)
    worth_RH = penalties_A[age_RH.clamp(0, len(penalties_A) - 1)] * counts_RH
    nothing_RI = worth_RH.new_zeros(len(seen_RH), n_items)
    return nothing_RI.scatter_add(1, seen_RH.clamp(min=0), worth_RH)
