"""Keeping codes in use while RQ-VAE learns: codes that follow their items' mean, and codes brought back to life.

Shapes: B items of a step, D dimensions of codes, L levels, K codes of a level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lexirec.semantic_ids.quantizers.rqvae import CodeUse
from lexirec.semantic_ids.quantizers.rqvae_network import Quantized

_USUAL_DECAY = 0.99


class CodeUpkeep(nn.Module):
    """Running means of how codes are used; its buffers are part of a saved state."""

    shares_LK: Tensor
    sums_LKD: Tensor
    idle_LK: Tensor

    def __init__(self, codes_LKD: Tensor, use: CodeUse) -> None:
        """Begin as if every code had been used alike."""
        super().__init__()
        self.use, self.decay = use, use.ema or _USUAL_DECAY
        levels, size, _ = codes_LKD.shape
        self.register_buffer("shares_LK", torch.full((levels, size), 1 / size, device=codes_LKD.device))
        self.register_buffer("sums_LKD", codes_LKD.detach().clone() / size)
        self.register_buffer("idle_LK", torch.zeros_like(self.shares_LK))

    @torch.no_grad()
    def after_step(self, codes_LKD: Tensor, found: Quantized) -> None:
        """Take note of a step, and move codes in place where the settings say so."""
        if not (self.use.ema or self.use.revive_after):
            return
        chosen_BLK = nn.functional.one_hot(found.codes_BL, codes_LKD.shape[1]).to(codes_LKD.dtype)
        self.shares_LK.lerp_(chosen_BLK.mean(0), 1 - self.decay)
        self.sums_LKD.lerp_(
            torch.einsum("blk,bld->lkd", chosen_BLK, found.residuals_BLD) / len(chosen_BLK), 1 - self.decay
        )
        if self.use.ema:
            floor = 1e-5 / codes_LKD.shape[1]  # a code that nobody has used for long stays where it is
            mean_LKD = self.sums_LKD / self.shares_LK.clamp_min(floor)[..., None]
            codes_LKD.copy_(torch.where(self.shares_LK[..., None] > floor, mean_LKD, codes_LKD))
        if self.use.revive_after:
            self._revive(codes_LKD, found.residuals_BLD)

    def _revive(self, codes_LKD: Tensor, residuals_BLD: Tensor) -> None:
        """Move codes that were hardly used for long onto residuals of random items of this step."""
        self.idle_LK.copy_(torch.where(self.shares_LK < self.use.revive_below, self.idle_LK + 1, 0))
        level, code = torch.nonzero(self.idle_LK >= self.use.revive_after, as_tuple=True)
        if not len(level):
            return
        items = torch.randint(len(residuals_BLD), level.shape, device=level.device)
        codes_LKD[level, code] = residuals_BLD[items, level]
        self.idle_LK[level, code] = 0
        self.shares_LK[level, code] = 1 / codes_LKD.shape[1]
        self.sums_LKD[level, code] = codes_LKD[level, code] / codes_LKD.shape[1]
