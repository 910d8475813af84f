"""Exponential moving average of a model's weights during training; the averaged weights are validated and kept.

The average moves towards the present weights by 1 − decay at every step, faster at first: the decay is at most
(1 + t) / (10 + t) at step t, so that the random initial weights are soon forgotten. Source: Polyak and Juditsky
(SIAM J. Control Optim. 1992); the exponential form with its warm-up is that of TensorFlow's moving averages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lexirec.core.errors import ArtifactError

_FILE = "average.safetensors"


class WeightAverage:
    """The average of a model's trained weights, each tied weight once, in float32 at least."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the present weights."""
        self._model, self._decay = model, decay
        self._values = {
            name: weight.detach().to(torch.promote_types(weight.dtype, torch.float32), copy=True)
            for name, weight in self._weights()
        }

    @torch.no_grad()
    def move(self, step: int) -> None:
        """Add the weights after a step to the average; steps are counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, weight in self._weights():
            value = self._values[name]
            value.lerp_(weight.detach().to(value.dtype), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averaged weights for the duration of a `with` block."""
        kept = {name: weight.detach().clone() for name, weight in self._weights()}
        self._set(self._values)
        try:
            yield
        finally:
            self._set(kept)

    def settle(self) -> None:
        """Give the model the averaged weights permanently."""
        self._set(self._values)

    def save(self, folder: Path) -> None:
        """Write the average into a checkpoint's folder."""
        save_file({name: value.contiguous().cpu() for name, value in self._values.items()}, folder / _FILE)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing, or holds other weights.
        """
        path = folder / _FILE
        if not path.is_file():
            raise ArtifactError(f"{path}: the averaged weights are missing; remove the run's folder to start again")
        stored = load_file(path, device="cpu")
        if stored.keys() != self._values.keys():
            raise ArtifactError(f"{path}: the average of another model's weights; set one folder per training run")
        for name, value in self._values.items():
            value.copy_(stored[name])

    def _weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, weight) for name, weight in self._model.named_parameters() if weight.requires_grad)

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, weight in self._weights():
            weight.copy_(values[name])
