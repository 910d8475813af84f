"""Packed batches of windows: index arithmetic that turns windows and targets into what each query row may read.

A window holds consecutive items of one user; its targets are positions in it. A query row is one target: it reads the
items before its position. The functions here turn windows into blocks (one per item), positions and masks, without a
loop over users or targets.

Legend: `B` windows, `M` items of a window, `Q` query rows (targets) of a window, `L` tokens, `D` features,
`H` history, `U` distinct items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.nn.cross_attention import HIDDEN

Encoder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From item numbers (U,) to states (U, L, D) and mask (U, L)."""


class Batch(NamedTuple):
    """Windows of users' items and the targets in them.

    Attributes:
        items_BM: item numbers, oldest first, −1 beyond the window's end.
        targets_BQ: positions in the window that are predicted from all items before them, −1 where there is none.
    """

    items_BM: Tensor
    targets_BQ: Tensor


def encode_blocks(items_BM: Tensor, encode: Encoder) -> tuple[Tensor, Tensor]:
    """Encode each distinct item of the windows once and spread the states: (B, M, L, D) and mask (B, M, L)."""
    # padding needs some valid item: one that is encoded anyway costs nothing, and the mask hides its states
    filler = items_BM.amax().clamp(min=0)
    distinct_U, index_BM = torch.unique(torch.where(items_BM >= 0, items_BM, filler), return_inverse=True)
    states_ULD, mask_UL = encode(distinct_U)
    return states_ULD[index_BM], mask_UL[index_BM] & (items_BM >= 0).unsqueeze(2)


def without_unread(batch: Batch) -> Batch:
    """Drop items that no query row reads: the last target of each window and everything after it."""
    last_B1 = batch.targets_BQ.amax(1, keepdim=True)
    items_BM = batch.items_BM[:, : int(last_B1.max())]
    before_BM = torch.arange(items_BM.shape[1], device=items_BM.device) < last_B1
    return batch._replace(items_BM=items_BM.masked_fill(~before_BM, -1))


def history_positions(batch: Batch, max_history: int) -> Tensor:
    """Return each item's distance before each target (B, Q, M), 1 for the newest; HIDDEN where it may not be read."""
    width = batch.items_BM.shape[1]
    distance_BQM = batch.targets_BQ[..., None] - torch.arange(width, device=batch.items_BM.device)
    readable_BQM = (distance_BQM >= 1) & (distance_BQM <= max_history) & (batch.items_BM >= 0)[:, None]
    return torch.where(readable_BQM, distance_BQM, HIDDEN)


def prepend_begin(
    blocks: tuple[Tensor, Tensor], slots_BQM: Tensor, begin_BD: Tensor
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Put a block of one token before the others, which every query row reads at position 0, the user prompt's."""
    states_BMLD, mask_BML = blocks
    first = functional.pad(begin_BD[:, None, None], (0, 0, 0, states_BMLD.shape[2] - 1))
    first_mask = torch.zeros_like(mask_BML[:, :1])
    first_mask[:, :, 0] = True
    slots = functional.pad(slots_BQM, (1, 0), value=0)
    return (torch.cat([first, states_BMLD], dim=1), torch.cat([first_mask, mask_BML], dim=1)), slots


def newest_first(batch: Batch, max_history: int) -> Tensor:
    """Return the history of every query row, newest first, −1 padded: (B, Q, H)."""
    reach = torch.arange(max_history, device=batch.items_BM.device)
    position_BQH = batch.targets_BQ[..., None] - 1 - reach
    items_BQM = batch.items_BM.unsqueeze(1).expand(-1, batch.targets_BQ.shape[1], -1)
    return items_BQM.gather(2, position_BQH.clamp(min=0)).masked_fill(position_BQH < 0, -1)


def items_before_targets(batch: Batch) -> Tensor:
    """Return the items before each target in its window, −1 elsewhere: (B, Q, M)."""
    width = batch.items_BM.shape[1]
    before_BQM = torch.arange(width, device=batch.items_BM.device) < batch.targets_BQ[..., None]
    return batch.items_BM.unsqueeze(1).masked_fill(~before_BQM, -1)
