"""Ragged lists of entries, and sums over their rows.

Shapes: `R` rows, `E` entries of a ragged list.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spread(first_R: Tensor, last_R: Tensor) -> tuple[Tensor, Tensor]:
    """Expand ranges to a ragged list: for each number in `first_R[r] … last_R[r] − 1`, the row r and the number."""
    sizes_R = last_R - first_R
    row_E = torch.repeat_interleave(torch.arange(len(sizes_R), device=sizes_R.device), sizes_R)
    starts_R = sizes_R.cumsum(0) - sizes_R
    return row_E, torch.arange(len(row_E), device=row_E.device) - (starts_R - first_R)[row_E]


def segment_logsumexp(values_E: Tensor, row_E: Tensor, rows: int) -> Tensor:
    """Return the log-sum-exp of each row's entries (rows,); every row needs at least one."""
    # subtract each row's maximum before exp; it cancels out, so it is detached
    peak_R = values_E.detach().new_full((rows,), -torch.inf).scatter_reduce(0, row_E, values_E.detach(), "amax")
    total_R = values_E.new_zeros(rows).index_add(0, row_E, (values_E - peak_R[row_E]).exp())
    return total_R.log() + peak_R
