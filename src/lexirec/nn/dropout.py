"""Dropout that does not hold a CPU up: one random byte per element instead of one draw of a Bernoulli variable.

On CPUs `torch.nn.Dropout` spends more time drawing than a small transformer spends on its matrix products: a third of
a training step here. A 64-bit draw gives eight bytes, which is some fifteen times faster per element (benchmarks in
docs/log.md); the price is that the rate is a multiple of 1/256, and outputs are scaled by the rate as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST, _BYTES = -(2**63), 8


class ByteDropout(nn.Dropout):
    """`nn.Dropout` with bytes for coins on the CPU; elsewhere the stock one."""

    def forward(self, states: Tensor) -> Tensor:
        """Zero elements at the rate `p`, rounded to 1/256, and scale the others up."""
        return byte_dropout(states, self.p, self.training)


def byte_dropout(states: Tensor, p: float, training: bool) -> Tensor:
    """Zero elements of a tensor at the rate `p`, rounded to 1/256; other devices than the CPU take the exact rate."""
    threshold = round(p * 256)
    if not training or threshold == 0:
        return states
    if states.device.type != "cpu" or threshold >= 256:
        return functional.dropout(states, p, training)
    words = torch.empty(-(-states.numel() // _BYTES), dtype=torch.int64).random_(_LEAST, None)
    kept = words.view(torch.uint8)[: states.numel()].view(states.shape) >= threshold
    return states * kept.to(states.dtype).mul_(256 / (256 - threshold))


def use_byte_dropout(model: nn.Module) -> None:
    """Exchange every `nn.Dropout` of a model, in place; weights and rates stay."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p))
