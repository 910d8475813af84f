"""Checkpoints of a training run: the newest complete one, its log, its weights, and the digest of the initial ones."""

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

_START = "began.json"
_log = logging.getLogger(__name__)


def check_initial_weights(folder: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Record in a new folder the digest of the weights a run starts from; in an existing folder, compare it.

    Raises:
        ArtifactError: the folder belongs to a run that started from other weights.
    """
    present, path = {"weights": _digest(weights)}, folder / _START
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(present), encoding="utf-8")
        return
    if before != present:
        raise ArtifactError(
            f"{folder}: this run started from other weights; load those to resume it, or set another folder"
        )


def _digest(weights: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in weights:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if value.numel():
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def latest_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint (its state file is written last), or None."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)
    for checkpoint in newest_first:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            _log.warning("%s is incomplete; resuming from an older checkpoint", checkpoint.name)
            continue
        return str(checkpoint)
    return None


def log_history_of(checkpoint: str | None) -> list[dict[str, Any]]:
    """Return the log of a checkpoint; an empty list without one."""
    if checkpoint is None:
        return []
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


# -------------------------------------------------------------------------------------------------------------- weights
# Tied weights are written once; of a partly frozen model only the trained weights are written.


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights that training may change (safetensors); the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({name: value.contiguous().cpu() for name, value in _changing(model)}, partial, {"format": "pt"})
    partial.replace(path)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote into a model of the same architecture, frozen in the same parts.

    Raises:
        ArtifactError: the file holds other weights than the model.
    """
    stored = load_file(path, device="cpu")
    expected = {name for name, _ in _changing(model)}
    if expected != stored.keys():
        odd = min(expected ^ stored.keys())
        raise ArtifactError(
            f"{path}: the weights of another model ('{odd}' is in one of them only); set one folder per training run"
        )
    model.load_state_dict(stored, strict=False)


def first_not_finite(model: nn.Module) -> str | None:
    """Return the name of the first weight that holds NaN or infinity, of those that training may change; else None."""
    floats = [(name, value) for name, value in _changing(model) if value.is_floating_point()]
    if not floats:
        return None
    finite = torch.stack([value.isfinite().all() for _, value in floats]).tolist()  # one wait for the device
    return next((name for (name, _), good in zip(floats, finite, strict=True) if not good), None)


def _changing(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield names and values of the state, each value once; of a partly frozen model the trained part only."""
    trained = {name for name, weight in model.named_parameters(remove_duplicate=False) if weight.requires_grad}
    partly_frozen = any(not weight.requires_grad for weight in model.parameters())
    seen: set[int] = set()
    for name, value in model.state_dict().items():
        if (partly_frozen and name not in trained) or value.data_ptr() in seen:
            continue
        if value.numel():
            seen.add(value.data_ptr())
        yield name, value
