"""Weights averaged over the steps of a training: what is judged and kept, while training goes on from the last ones.

The average moves toward the present weights by 1 − decay at every step, faster at first: decay is at most
(1 + t) / (10 + t) at step t, so that the random weights of the beginning are soon forgotten. Source: Polyak and
Juditsky (SIAM J. Control Optim. 1992); the exponential form with its warm-up is that of TensorFlow's moving averages.
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


class Average:
    """The average of a model's trained weights, each tied weight once, in float32 at least."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights as they are."""
        self._model, self._decay = model, decay
        self._values = {
            name: weight.detach().to(torch.promote_types(weight.dtype, torch.float32), copy=True)
            for name, weight in self._weights()
        }

    @torch.no_grad()
    def move(self, step: int) -> None:
        """Take the weights after a step in; steps are counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, weight in self._weights():
            value = self._values[name]
            value.lerp_(weight.detach().to(value.dtype), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the average meanwhile."""
        kept = {name: weight.detach().clone() for name, weight in self._weights()}
        self._set(self._values)
        try:
            yield
        finally:
            self._set(kept)

    def settle(self) -> None:
        """Let the model have the average for good."""
        self._set(self._values)

    def save(self, folder: Path) -> None:
        """Write the average into a checkpoint's folder."""
        save_file({name: value.contiguous().cpu() for name, value in self._values.items()}, folder / _FILE)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ArtifactError: there is none, or one of other weights.
        """
        path = folder / _FILE
        if not path.is_file():
            raise ArtifactError(f"{folder}: no average of weights is here; remove the training's folder to begin again")
        there = load_file(path, device="cpu")
        if there.keys() != self._values.keys():
            raise ArtifactError(f"{path}: the average of other weights; give each training a folder of its own")
        for name, value in self._values.items():
            value.copy_(there[name])

    def _weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, weight) for name, weight in self._model.named_parameters() if weight.requires_grad)

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, weight in self._weights():
            weight.copy_(values[name])
