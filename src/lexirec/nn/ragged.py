"""Rows of token ids of unequal length, kept flat: what every prompt of a catalogue is stored in.

Legend: `R` rows, `N` values in all, `L` tokens of the longest row, `S` parts set side by side.
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
    """Rows of numbers one after another: row `r` is `values[offsets[r]:offsets[r + 1]]`.

    Attributes:
        values: int32 (N,).
        offsets: int64 (R + 1,), the first 0, the last N.
    """

    values: Tensor
    offsets: Tensor

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> Ragged:
        """Build the rows from lists of numbers."""
        lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        values = np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=int(lengths.sum()))
        return cls(torch.from_numpy(values), _offsets(torch.from_numpy(lengths)))

    @classmethod
    def from_padded(cls, padded_RL: Tensor) -> Ragged:
        """Build the rows from a rectangle in which negative entries, wherever they stand, are holes."""
        kept = padded_RL >= 0
        return cls(padded_RL[kept].to(torch.int32), _offsets(kept.sum(1)))

    @classmethod
    def repeated(cls, row: Sequence[int], present_R: Tensor) -> Ragged:
        """Give every row for which `present_R` is true the same content, and the others none."""
        values = torch.tensor(row, dtype=torch.int32, device=present_R.device)
        return cls(values.repeat(int(present_R.sum())), _offsets(present_R.long() * len(row)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Values of each row: int64 (R,)."""
        return self.offsets.diff()

    def row(self, number: int) -> list[int]:
        """Return one row as a list, for looking at."""
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
        """Gather rows into a rectangle as wide as the longest of them.

        Args:
            rows: int (…,), row numbers in any shape; a negative number gives an empty row.
            fill: What stands beyond a row's end.

        Returns:
            Ids, int64 (…, L), and mask, bool (…, L), true on the row's own values.
        """
        chosen = rows.clamp(min=0)
        lengths = self.lengths[chosen].masked_fill(rows < 0, 0).unsqueeze(-1)
        columns = torch.arange(int(lengths.max()) if lengths.numel() else 0, device=self.values.device)
        mask = columns < lengths
        places = (self.offsets[chosen].unsqueeze(-1) + columns).masked_fill(~mask, 0)
        if not places.numel():
            return places, mask
        return self.values[places].long().masked_fill(~mask, fill), mask

    def _columns(self) -> Tensor:
        """Return each value's place in its own row: int64 (N,)."""
        starts = torch.repeat_interleave(self.offsets[:-1], self.lengths)
        return torch.arange(len(self.values), device=self.values.device) - starts


def side_by_side(parts: Sequence[Ragged]) -> Ragged:
    """Join parts row by row: row `r` of the result is row `r` of each part, in the order given."""
    lengths_SR = torch.stack([part.lengths for part in parts])
    offsets = _offsets(lengths_SR.sum(0))
    starts_SR = offsets[:-1] + lengths_SR.cumsum(0) - lengths_SR
    values = parts[0].values.new_empty(int(offsets[-1]))
    for part, starts in zip(parts, starts_SR, strict=True):
        values[torch.repeat_interleave(starts, part.lengths) + part._columns()] = part.values
    return Ragged(values, offsets)


def one_below_other(parts: Sequence[Ragged]) -> Ragged:
    """Join parts: the rows of the first, then those of the second, and so on."""
    if not parts:
        return Ragged.from_lists([])
    return Ragged(torch.cat([part.values for part in parts]), _offsets(torch.cat([part.lengths for part in parts])))


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
