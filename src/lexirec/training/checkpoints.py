"""What a training leaves in its folder: whole checkpoints, their log, and from which weights it began."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lexirec.core.errors import ArtifactError

_BEGAN = "began.json"
_log = logging.getLogger(__name__)


def began_from(folder: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Remember in a new folder which fixed weights a training rests on; in one to carry on from, make sure of them.

    Raises:
        ArtifactError: the folder belongs to a training that rests on others.
    """
    found, path = {"weights": _digest(weights)}, folder / _BEGAN
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found), encoding="utf-8")
        return
    if before != found:
        raise ArtifactError(
            f"{folder} holds a training that began from other weights; load those to carry on, or give another folder"
        )


def _digest(weights: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in weights:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if value.numel():
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def whole_checkpoint(folder: Path) -> str | None:
    """Return the newest checkpoint that was written to its end (its state file comes last), if there is one."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            _log.warning("%s is not whole; going on from an older one", checkpoint.name)
            continue
        return str(checkpoint)
    return None


def history_of(checkpoint: str | None) -> list[dict[str, Any]]:
    """Return the log of a checkpoint; without one, nothing."""
    if checkpoint is None:
        return []
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


# -------------------------------------------------------------------------------------------------------------- weights
# Files of a model's weights: what is tied is written once, and of a model that is frozen in part what is trained.


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


# ------------------------------------------------------------------------------------------------------- shared weights
# Saving models whose weights are tied: every tensor once.
