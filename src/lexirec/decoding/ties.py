"""The largest scores of each row, where equal scores go to the smaller number.

`torch.topk` returns equal scores in any order, another one on another device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def top_scores(scores_BM: Tensor, numbers_BM: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the `k` largest scores of each row and where they stand, both (B, K), like `torch.topk`.

    Args:
        scores_BM: numbers without NaN; differences beyond float32 do not count.
        numbers_BM: (B or 1, M) from −1 to 2³¹ − 1; among equal scores the smallest comes first.
        k: entries to return, at most M.
    """
    # the bits of a float32, read as an integer, are ordered as the numbers are, but for the sign; so one integer holds
    # the score above and the number below, and a single selection orders by both. Adding 0 turns −0 into 0.
    bits_BM = (scores_BM.float() + 0.0).view(torch.int32)
    ordered_BM = bits_BM ^ ((bits_BM >> 31) & 0x7FFFFFFF)
    places_BK = ((ordered_BM.long() << 32) - numbers_BM).topk(k, dim=1).indices
    return scores_BM.gather(1, places_BK), places_BK
