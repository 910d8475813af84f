"""Precision of a training: which products are computed in bfloat16, and what that asks of attention on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel


def in_bfloat16(precision: str) -> bool:
    """Whether products are computed in bfloat16, for a `precision` of `TrainerSettings`."""
    if precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"


@contextmanager
def plain_attention(model: nn.Module, *, needed: bool) -> Iterator[None]:
    """Let the backbones in a model attend by plain products inside the block, where that is `needed`.

    In bfloat16 on a CPU the backward pass of torch's fused attention is a third of a training step, that of plain
    products a tenth (docs/log/).
    """
    backbones = [part for part in model.modules() if isinstance(part, PreTrainedModel)] if needed else []
    fused = [part for part in backbones if part.config._attn_implementation == "sdpa"]
    for part in fused:
        part.set_attn_implementation("eager")
    try:
        yield
    finally:
        for part in fused:
            part.set_attn_implementation("sdpa")
