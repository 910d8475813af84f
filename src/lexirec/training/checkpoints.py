"""Checkpoints of a training run: the newest whole one, its log, its weights, and the digest of the initial ones.

A checkpoint lists its files with sizes and digests, written last. One that is incomplete or damaged is removed, a line
in the log says so, and the one before it is used, or training starts anew. Weights hold their own digest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lexirec.core.digests import file_digest, files_of
from lexirec.core.errors import ArtifactError, LexirecError
from lexirec.core.files import disk_error, read_json, saying_disk_is_full, sync, write_json

STATE = "trainer_state.json"
WEIGHTS = "model.safetensors"
_START = "began.json"
_FILES = "files.json"
_NEEDED = (STATE, WEIGHTS, "optimizer.pt", "scheduler.pt")
_DIGEST = "digest"
_log = logging.getLogger(__name__)


def check_initial_weights(folder: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Record in a new folder the digest of the weights a run starts from; in an existing folder, compare it.

    Where the record is damaged, checkpoints of the folder could rest on any weights: they are removed.

    Raises:
        ArtifactError: the folder belongs to a run that started from other weights.
    """
    present, path = _digest(weights), folder / _START
    before = _recorded_start(path)
    if before is None:
        if path.exists():
            _log.warning("%s is damaged; training starts anew", path)
            clear(folder)
        write_json(path, {"weights": present, "check": _check(present)})
    elif before != present:
        raise ArtifactError(
            f"{folder}: this run started from other weights; load those to resume it, or set another folder"
        )


def _recorded_start(path: Path) -> str | None:
    """Return the digest in a record of the initial weights; None where it is missing or damaged."""
    record = read_json(path)
    weights = record.get("weights")
    if not isinstance(weights, str) or record.get("check", _check(weights)) != _check(weights):
        return None
    return weights


def _check(digest: str) -> str:
    """Return what tells a damaged digest from that of other weights."""
    return hashlib.blake2b(digest.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _digest(weights: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in weights:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if value.numel():
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def latest_checkpoint(folder: Path) -> str | None:
    """Return the newest whole checkpoint, or None; newer ones that are incomplete or damaged are removed with a line.

    They are removed because the trainer, which keeps the newest two, would count them.
    """
    for checkpoint in _checkpoints(folder):
        damage = _damage(checkpoint)
        if damage is None:
            return str(checkpoint)
        _log.warning("%s %s; resuming from an older checkpoint, or anew", checkpoint.name, damage)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def resumable_checkpoint(folder: Path, best: str, validated: Callable[[list[dict[str, Any]]], bool]) -> str | None:
    """Return the checkpoint to resume from, or None; without the best weights its log speaks of, it is of no use.

    Args:
        folder: of the run.
        best: name of the file with the best weights.
        validated: whether a log holds a validation, after which there are best weights.
    """
    checkpoint = latest_checkpoint(folder)
    if checkpoint is not None and validated(log_history_of(checkpoint)) and not is_whole(folder / best):
        _log.warning("%s is missing or damaged; training starts anew", folder / best)
        clear(folder)
        return None
    return checkpoint


def clear(folder: Path) -> None:
    """Remove all checkpoints of a run, so that it starts anew."""
    for checkpoint in _checkpoints(folder):
        shutil.rmtree(checkpoint, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Return the folders of checkpoints, the newest first."""
    numbered = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


@contextmanager
def writing_checkpoint(folder: Path, step: int) -> Iterator[None]:
    """Let a block write the checkpoint of a step and complete it with the list of its files.

    Raises:
        ArtifactError: the disk is full; what was written of it is removed, and the checkpoint before it is whole.
    """
    checkpoint = folder / f"checkpoint-{step}"
    try:
        yield
        files = dict(files_of(checkpoint))
        files.pop(_FILES, None)
        for path in files.values():
            sync(path)
        listed = {name: [path.stat().st_size, file_digest(path)] for name, path in files.items()}
        write_json(checkpoint / _FILES, listed)
    except Exception as error:
        full = error if isinstance(error, LexirecError) else disk_error(error, checkpoint)
        if full is None:
            raise
        shutil.rmtree(checkpoint, ignore_errors=True)
        before = next((f"; it resumes from {path.name}" for path in _checkpoints(folder) if path != checkpoint), "")
        raise ArtifactError(f"{full}{before}") from error


def _damage(checkpoint: Path) -> str | None:
    """Say what is wrong with a checkpoint; None if it is whole."""
    if not _is_json(checkpoint / STATE):
        return "is incomplete"
    missing = [name for name in _NEEDED if not (checkpoint / name).is_file()]
    if missing:
        return f"lacks {missing[0]}"
    if (checkpoint / _FILES).exists():
        listed = read_json(checkpoint / _FILES)
        if not listed:
            return f"is damaged ({_FILES})"
        return next(
            (f"is damaged ({name})" for name, entry in listed.items() if not _as_listed(checkpoint / name, entry)), None
        )
    odd = [name for name, path in files_of(checkpoint) if not _readable(path)]  # killed before the list was written
    return f"is damaged ({odd[0]})" if odd else None


def _as_listed(path: Path, entry: Any) -> bool:
    try:
        return bool(entry == [path.stat().st_size, file_digest(path)])
    except (OSError, ArtifactError):
        return False


def _readable(path: Path) -> bool:
    """Say whether a file is complete as far as its format tells."""
    try:
        match path.suffix:
            case ".json":
                return _is_json(path)
            case ".safetensors":
                return is_whole(path)
            case ".pt" | ".pth":
                with zipfile.ZipFile(path) as archive:
                    return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError):
        return False
    return True


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False


def log_history_of(checkpoint: str | None) -> list[dict[str, Any]]:
    """Return the log of a checkpoint; an empty list without one."""
    if checkpoint is None:
        return []
    state = json.loads((Path(checkpoint) / STATE).read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


# -------------------------------------------------------------------------------------------------------------- weights
# Tied weights are written once; of a partly frozen model only the trained weights are written.


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights that training may change (safetensors); the file appears complete or not at all.

    Raises:
        ArtifactError: the disk is full; a file that was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    kept = {name: value.contiguous().cpu() for name, value in _changing(model)}
    try:
        with saying_disk_is_full(path):
            save_file(kept, partial, {"format": "pt", _DIGEST: _digest(sorted(kept.items()))})
            sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote into a model of the same architecture, frozen in the same parts.

    Raises:
        ArtifactError: the file is damaged or holds other weights than the model.
    """
    stored = _stored(path)
    if stored is None:
        raise ArtifactError(f"{path}: the weights are damaged; remove the run's folder to start again")
    expected = {name for name, _ in _changing(model)}
    if expected != stored.keys():
        odd = min(expected ^ stored.keys())
        raise ArtifactError(
            f"{path}: the weights of another model ('{odd}' is in one of them only); set one folder per training run"
        )
    model.load_state_dict(stored, strict=False)


def is_whole(path: Path) -> bool:
    """Say whether a file of weights is there and holds what was written."""
    return _stored(path) is not None


def _stored(path: Path) -> dict[str, Tensor] | None:
    """Return the weights of a file; None where it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            digest = (file.metadata() or {}).get(_DIGEST)
        stored: dict[str, Tensor] = load_file(path, device="cpu")
    except (OSError, ValueError, SafetensorError):
        return None
    return stored if digest in (None, _digest(sorted(stored.items()))) else None


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
