"""Ragged arrays: rows of token ids of unequal length in one flat tensor, the storage of all prompts of a catalogue.

Shapes: `R` rows, `N` values in total, `L` tokens of the longest row, `S` parts joined row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of integers of unequal length: row `r` is `values[offsets[r]:offsets[r + 1]]`.

    Attributes:
        values: int32 (N,).
        offsets: int64 (R + 1,), the first 0, the last N.
    """

    values: Tensor
    offsets: Tensor

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> Ragged:
        """Build the rows from lists of integers."""
        lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        values = np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=int(lengths.sum()))
        return cls(torch.from_numpy(values), _offsets(torch.from_numpy(lengths)))

    @classmethod
    def from_padded(cls, padded_RL: Tensor) -> Ragged:
        """Build the rows from a matrix; negative entries, at any position, are left out."""
        kept = padded_RL >= 0
        return cls(padded_RL[kept].to(torch.int32), _offsets(kept.sum(1)))

    @classmethod
    def repeated(cls, row: Sequence[int], present_R: Tensor) -> Ragged:
        """Build rows with the same content where `present_R` is true, and empty rows elsewhere."""
        values = torch.tensor(row, dtype=torch.int32, device=present_R.device)
        return cls(values.repeat(int(present_R.sum())), _offsets(present_R.long() * len(row)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Number of values of each row: int64 (R,)."""
        return self.offsets.diff()

    def row(self, number: int) -> list[int]:
        """Return one row as a list, for inspection."""
        values: list[int] = self.values[self.offsets[number] : self.offsets[number + 1]].tolist()
        return values

    def to(self, device: torch.device | str) -> Ragged:
        """Return the same rows on another device."""
        return Ragged(self.values.to(device), self.offsets.to(device))

    def head(self, limits_R: Tensor) -> Ragged:
        """Return at most the first `limits_R` values of each row."""
        lengths = self.lengths
        kept = self._columns() < torch.repeat_interleave(limits_R, lengths)
        return Ragged(self.values[kept], _offsets(torch.minimum(lengths, limits_R).clamp(min=0)))

    def pad(self, rows: Tensor, fill: int = 0) -> tuple[Tensor, Tensor]:
        """Gather rows into a padded matrix as wide as the longest of them.

        Args:
            rows: int (…,), row numbers in any shape; a negative number gives an empty row.
            fill: Padding value.

        Returns:
            Ids, int64 (…, L), and mask, bool (…, L), True on the rows' values.
        """
        chosen = rows.clamp(min=0)
        lengths = self.lengths[chosen].masked_fill(rows < 0, 0).unsqueeze(-1)
        columns = torch.arange(int(lengths.max()) if lengths.numel() else 0, device=self.values.device)
        mask = columns < lengths
        index = (self.offsets[chosen].unsqueeze(-1) + columns).masked_fill(~mask, 0)
        if not index.numel():  # `values` may be empty, and then has no element 0 to read
            return index, mask
        return self.values[index].long().masked_fill(~mask, fill), mask

    def _columns(self) -> Tensor:
        """Return each value's column in its row: int64 (N,)."""
        starts = torch.repeat_interleave(self.offsets[:-1], self.lengths)
        return torch.arange(len(self.values), device=self.values.device) - starts


def side_by_side(parts: Sequence[Ragged]) -> Ragged:
    """Concatenate parts row by row: row `r` of the result holds row `r` of each part, in order."""
    lengths_SR = torch.stack([part.lengths for part in parts])
    offsets = _offsets(lengths_SR.sum(0))
    # where each part's rows start in the result: the row's start plus the lengths of the parts before
    starts_SR = offsets[:-1] + lengths_SR.cumsum(0) - lengths_SR
    values = parts[0].values.new_empty(int(offsets[-1]))
    for part, starts in zip(parts, starts_SR, strict=True):
        values[torch.repeat_interleave(starts, part.lengths) + part._columns()] = part.values
    return Ragged(values, offsets)


def one_below_other(parts: Sequence[Ragged]) -> Ragged:
    """Stack parts: the rows of the first, then those of the second, and so on."""
    if not parts:
        return Ragged.from_lists([])
    return Ragged(torch.cat([part.values for part in parts]), _offsets(torch.cat([part.lengths for part in parts])))


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
