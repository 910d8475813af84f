"""Log-probabilities of a few tokens under a softmax over a whole vocabulary, without its logits in memory.

Legend: `B` batch, `W` width, `C` children, `D` features, `V` vocabulary, `M` beams of all rows, `U` tokens of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lexirec.nn.cpu_kernels import multiply, pack_blocks
from lexirec.nn.head_base import wide

_BLOCK = 1024
"""Tokens scored at a time. Their logits stay in a core's cache from the product to the sum of exponentials: on CPUs a
quarter faster than all tokens at once, and fifty beams take 0.2 MB instead of 6."""


def packed_table(table_VD: Tensor) -> tuple[Tensor, ...]:
    """Pack an output layer for many searches; nothing where that is not possible."""
    return pack_blocks(table_VD, _BLOCK)


def token_log_probabilities(
    queries_BWD: Tensor, table_VD: Tensor, tokens_BWC: Tensor, packed: tuple[Tensor, ...] = ()
) -> Tensor:
    """Return the log-probabilities (B, W, C) of chosen tokens, in float32 at least; for decoding, without gradients.

    Args:
        queries_BWD: what the rows of the vocabulary are multiplied by.
        table_VD: the output layer.
        tokens_BWC: rows of the table.
        packed: what `packed_table` made of the table.
    """
    if queries_BWD.device.type != "cpu":  # a device's products want to be large
        logits_BWV = wide(queries_BWD @ table_VD.mT)
        return logits_BWV.gather(-1, tokens_BWC) - logits_BWV.logsumexp(-1, keepdim=True)
    queries_MD, tokens_MC = queries_BWD.flatten(0, 1), tokens_BWC.flatten(0, 1)
    chosen_MC = torch.zeros(tokens_MC.shape, dtype=torch.promote_types(queries_BWD.dtype, torch.float32))
    masses: list[Tensor] = []
    for block, first in enumerate(range(0, len(table_VD), _BLOCK)):
        rows_UD = table_VD[first : first + _BLOCK]
        logits_MU = multiply(queries_MD, packed[block]) if packed else wide(queries_MD @ rows_UD.mT)
        place_MC = tokens_MC - first
        here_MC = (place_MC >= 0) & (place_MC < logits_MU.shape[1])
        found_MC = logits_MU.gather(1, place_MC.clamp(0, logits_MU.shape[1] - 1))
        chosen_MC = torch.where(here_MC, found_MC, chosen_MC)
        masses.append(_log_sum_exp_(logits_MU))
    return (chosen_MC - torch.cat(masses, dim=1).logsumexp(1, keepdim=True)).view_as(tokens_BWC)


def _log_sum_exp_(logits_MU: Tensor) -> Tensor:
    """Return the log-sum-exp over the last dimension (M, 1); the logits are used up."""
    peak_M1 = logits_MU.amax(-1, keepdim=True)
    return logits_MU.sub_(peak_M1).exp_().sum(-1, keepdim=True).log_().add_(peak_M1)
