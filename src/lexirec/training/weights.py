"""Files of a model's weights: what is tied is written once, and of a model that is frozen in part what is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lexirec.core.errors import ArtifactError


def save_weights(model: nn.Module, path: Path) -> None:
    """Write what a training may change (safetensors), so that the file is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({name: value.contiguous().cpu() for name, value in _changing(model)}, partial, {"format": "pt"})
    partial.replace(path)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote, into the same kind of model, frozen in the same parts.

    Raises:
        ArtifactError: the file holds other weights than the model.
    """
    there = load_file(path, device="cpu")
    wanted = {name for name, _ in _changing(model)}
    if wanted != there.keys():
        odd = min(wanted ^ there.keys())
        raise ArtifactError(
            f"{path}: not this model's weights: '{odd}' differs; give each training a folder of its own"
        )
    model.load_state_dict(there, strict=False)


def _changing(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield names and values of all state, each value under its first name; without frozen weights, where some are."""
    trained = {name for name, weight in model.named_parameters(remove_duplicate=False) if weight.requires_grad}
    partly = any(not weight.requires_grad for weight in model.parameters())
    seen: set[int] = set()
    for name, value in model.state_dict().items():
        if (partly and name not in trained) or value.data_ptr() in seen:
            continue
        if value.numel():
            seen.add(value.data_ptr())
        yield name, value
