"""One phase of an experiment's cost, and the operations of layers.

An operation is a multiplication or an addition: a matrix of N weights takes 2·N a token forward, and 6·N in training,
as the backward pass costs twice the forward pass. Attention over L tokens adds 4·L·inner a token and layer, half of it
where later tokens are hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lexirec.workflows.costs.devices import Device
from lexirec.workflows.costs.shapes import Shape

START_SECONDS = 7e-4
"""Seconds to start the work of one layer: some sixty kernels at about ten microseconds each."""
TRAINED = 3.0
"""Operations of a training step over those of its forward pass."""


@dataclass(frozen=True)
class Phase:
    """What one phase of a run computes.

    Attributes:
        name: of the phase.
        examples: rows over all its epochs, or ranked cases.
        tokens: mean tokens of an example that the backbone reads.
        steps: optimiser steps; 0 where nothing is trained.
        trained: part of the network -> operations of training, over the whole phase.
        searched: part -> operations of beam search.
        activations: bytes that a training step keeps for its backward pass.
        passes: passes through a layer that are started one after the other, however little they compute.
    """

    name: str
    examples: float
    tokens: float
    steps: int
    trained: Mapping[str, float]
    searched: Mapping[str, float]
    activations: float = 0.0
    passes: float = 0.0

    @property
    def operations(self) -> float:
        """All operations."""
        return sum(self.trained.values()) + sum(self.searched.values())

    @property
    def shares(self) -> dict[str, float]:
        """Part of the network -> its share of the operations."""
        parts: dict[str, float] = {}
        for each in (self.trained, self.searched):
            for name, value in each.items():
                parts[name] = parts.get(name, 0.0) + value / max(self.operations, 1.0)
        return parts

    def seconds(self, device: Device, width: int) -> float:
        """Return the seconds it takes on a device: those of its operations, or of starting them where that is more."""
        training = sum(self.trained.values()) / (device.rate * device.training_share(width))
        searching = sum(self.searched.values()) / (device.rate * device.search_share)
        return max(training + searching, self.passes * START_SECONDS)


def times(factor: float, parts: Mapping[str, float]) -> dict[str, float]:
    """Return operations by part, multiplied."""
    return {name: factor * value for name, value in parts.items()}


def self_attention(shape: Shape, layers: int, tokens: float, length: float, *, causal: bool) -> float:
    """Operations of attention scores and contexts of `tokens` tokens in sequences of a length, without its matrices."""
    return (2.0 if causal else 4.0) * shape.inner * layers * tokens * length
