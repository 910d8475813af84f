"""An HSTU-style network: attention without softmax, gated position by position, as a baseline.

After the sequential transduction unit of Zhai et al., ICML 2024 (arXiv 2402.17152), in its retrieval form:

    U, V, Q, K = split(SiLU(norm(x) W)) ; A = SiLU(Q Kᵀ + r) / n ; x + ((norm(A V) ⊙ U) W')

with r a learned number per head and distance in positions, and n the maximum length. Ours differs: the relative bias
depends on distances in positions only, because histories here have no times (their bias adds buckets of time
differences); cross-entropy over the catalogue or a corrected sample, as for the other networks; none of its kernels.

Shapes: B rows, L positions, D dimensions, H heads.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lexirec.models.baselines.base import BaselineSettings
from lexirec.models.baselines.sequential import (
    AttentionSettings,
    BlockNetwork,
    ItemTable,
    SequenceScorer,
)


class HstuSettings(AttentionSettings):
    """The network and its training."""

    kind: Literal["hstu"] = "hstu"


class HstuBlock(nn.Module):
    """One unit; see the module's docstring."""

    def __init__(self, settings: HstuSettings) -> None:
        """Build the maps; distances start without a bias."""
        super().__init__()
        dimensions = settings.dimensions
        self.heads, self.dropout, self.most = settings.heads, settings.dropout, settings.max_history
        self.norm, self.mixed_norm = nn.LayerNorm(dimensions), nn.LayerNorm(dimensions)
        self.to_parts, self.from_mixed = nn.Linear(dimensions, 4 * dimensions), nn.Linear(dimensions, dimensions)
        self.distance_bias = nn.Parameter(torch.zeros(settings.heads, settings.max_history))

    def forward(self, hidden_BLD: Tensor, visible_BLL: Tensor) -> Tensor:
        """Return (B, L, D); `visible_BLL` says which positions (last axis) a position attends to."""
        rows, places, dimensions = hidden_BLD.shape
        parts = F.silu(self.to_parts(self.norm(hidden_BLD))).view(rows, places, 4, self.heads, -1)
        gate, value, query, key = parts.permute(2, 0, 3, 1, 4)
        # SiLU instead of softmax: strengths need no normalisation over a row, so masked ones are simply 0
        strength_BHLL = F.silu(query @ key.transpose(-1, -2) + self._bias(places)) / self.most
        mixed = strength_BHLL.masked_fill(~visible_BLL[:, None], 0.0) @ value
        mixed_BLD = self.mixed_norm(mixed.transpose(1, 2).reshape(rows, places, dimensions))
        gated_BLD = mixed_BLD * gate.transpose(1, 2).reshape(rows, places, dimensions)
        out_BLD: Tensor = self.from_mixed(F.dropout(gated_BLD, self.dropout, self.training))
        return hidden_BLD + out_BLD

    def _bias(self, places: int) -> Tensor:
        """Return the bias of every pair of positions by their distance, (H, L, L)."""
        place_L = torch.arange(places, device=self.distance_bias.device)
        distance_LL = (place_L[:, None] - place_L[None, :]).clamp(0, self.most - 1)
        bias_HLL: Tensor = self.distance_bias[:, distance_LL]
        return bias_HLL


class Hstu(SequenceScorer):
    """The network as a scorer; see the module's docstring."""

    label: ClassVar[str] = "HSTU"
    settings: HstuSettings
    settings_class: ClassVar[type[BaselineSettings]] = HstuSettings

    def make(self, table: ItemTable) -> BlockNetwork:
        """Return the untrained network around an item table."""
        return BlockNetwork(self.settings, table, lambda: HstuBlock(self.settings))
