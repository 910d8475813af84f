"""RQ-VAE training: seeded, resumable, keeps the state with fewest collisions; and the upkeep of codes.

Upkeep updates codes by moving averages of their items, and resets codes that are rarely used.

Shapes: B items of a step, D dimensions of codes, L levels, K codes of a level.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lexirec.core.divergence import GRADIENT, LOSS, Watch
from lexirec.core.files import save_state, whole_states
from lexirec.core.progress import Progress
from lexirec.semantic_ids.quantizers.collisions import CollisionCount
from lexirec.semantic_ids.quantizers.rqvae import CodeUse, RqVae
from lexirec.semantic_ids.quantizers.rqvae_network import QuantizedBatch, RqVaeNetwork, cluster_codes, total_loss

_log = logging.getLogger(__name__)
_NAME, _SUFFIX = "rqvae", ".safetensors"
"""Of the files of saved states."""
_BLOCK = 1 << 14


def train(
    network: RqVaeNetwork,
    settings: RqVae,
    vectors: NDArray[np.float32],
    collaborative: NDArray[np.float32] | None = None,
    folder: Path | None = None,
) -> list[dict[str, float]]:
    """Train a network in place and return loss and collision rate of the evaluated epochs.

    The network ends with the state that `settings.training.select` chooses. Runs on a GPU if there is one.

    Args:
        network: Initialised network.
        settings: Of RQ-VAE.
        vectors: float32 (n_items, d).
        collaborative: float32 (n_items, c), if that loss has a weight.
        folder: Folder for a checkpoint every `evaluate_every` epochs, from which an interrupted training resumes with
            an equal result.

    Raises:
        TrainingError: a loss, a gradient or a weight is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    extra = None if collaborative is None else torch.from_numpy(collaborative).to(device)
    run = _Run(network.to(device), settings, torch.from_numpy(vectors).to(device), extra)
    if folder is not None:
        run.resume(folder)
    run.train(folder)
    network.load_state_dict(run.best)
    network.eval()
    return run.history


@dataclass
class _Run:
    """The state of one training run."""

    network: RqVaeNetwork
    settings: RqVae
    vectors: Tensor
    collaborative: Tensor | None
    epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        how = self.settings.training
        self.network.codes_LKD.requires_grad_(self.settings.use.ema == 0)
        self.learned = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.learned, lr=how.learning_rate, weight_decay=how.weight_decay)
        self.upkeep = CodeUpkeep(self.network.codes_LKD, self.settings.use)
        per_epoch = -(-len(self.vectors) // how.batch_size)
        advice = f"lower training.learning_rate ({how.learning_rate:g}) or raise training.warm_up ({how.warm_up})"
        self.watch = Watch("RQ-VAE", advice, how.epochs * per_epoch, per_epoch)

    @property
    def device(self) -> torch.device:
        return self.vectors.device

    def train(self, folder: Path | None) -> None:
        how = self.settings.training
        with Progress("RQ-VAE", total=how.epochs) as progress:
            progress.advance(self.epoch)
            while self.epoch < how.epochs:
                loss = self._one_epoch()
                if self.epoch % how.evaluate_every == 0 or self.epoch == how.epochs:
                    progress.update(self._look(loss))
                    if folder is not None:
                        self.save(folder)
                progress.advance()

    def _one_epoch(self) -> float:
        # seeded per epoch, so that a resumed run draws the same numbers as an uninterrupted one
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.settings.seed * 100_003 + self.epoch + 1)
            self.network.train()
            clusters = self._clusters()
            order = torch.from_numpy(
                np.random.default_rng([self.settings.seed, self.epoch]).permutation(len(self.vectors))
            )
            steps = torch.split(order.to(self.device), self.settings.training.batch_size)
            losses = [self._step(rows, (self.epoch + step / len(steps)), clusters) for step, rows in enumerate(steps)]
        self.watch.check()
        self.epoch += 1
        return float(torch.stack(losses).mean())

    def _clusters(self) -> Tensor | None:
        if not self.settings.letter.diversity:
            return None
        return cluster_codes(self.network.codes_LKD, self.settings.letter.clusters, self.settings.seed + self.epoch)

    def _step(self, rows: Tensor, epochs: float, clusters: Tensor | None) -> Tensor:
        how = self.settings.training
        for group in self.optimizer.param_groups:
            group["lr"] = how.learning_rate * min(1.0, (epochs + 1) / (how.warm_up + 1))
        extra = None if self.collaborative is None else self.collaborative[rows]
        loss, quantized = total_loss(self.network, self.settings, self.vectors[rows], extra, clusters)
        step, on_cpu = int(epochs * self.watch.per_epoch + 0.5), self.device.type == "cpu"
        self.watch.note(step, LOSS, loss.detach(), at_once=on_cpu)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.learned, 1.0)
        self.watch.note(step, GRADIENT, norm, at_once=on_cpu)
        self.optimizer.step()
        self.upkeep.after_step(self.network.codes_LKD, quantized)
        return loss.detach()

    def _look(self, loss: float) -> str:
        """Evaluate: count collisions, and keep the state if it is the best so far."""
        how = self.settings.training
        self._check_weights()
        figures = {"epoch": float(self.epoch), "loss": loss, "collisions": self._collisions()}
        rank = {"collisions": ("collisions", "loss"), "loss": ("loss",), "last": ()}[how.select]
        rivals = [past for past in self.history if 2 * past["epoch"] > how.epochs]
        if all([figures[name] for name in rank] <= [past[name] for name in rank] for past in rivals):
            self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.history.append(figures)
        text = f"loss {loss:.4f}, collisions {figures['collisions']:.2%}"
        _log.debug("RQ-VAE epoch %d: %s", self.epoch, text)
        return text

    def _check_weights(self) -> None:
        """Raise where a weight or a code is not finite, so that it is neither kept nor saved."""
        for name, value in self.network.state_dict().items():
            if value.is_floating_point() and not value.isfinite().all():
                raise self.watch.error(f"the weight '{name}' is not finite after epoch {self.epoch}")

    @torch.no_grad()
    def _collisions(self) -> float:
        self.network.eval()
        parts = torch.split(self.vectors, _BLOCK)
        codes = [self.network.quantize(self.network.encode(self.network.scaled(part))).codes_BL for part in parts]
        return CollisionCount.of(torch.cat(codes).cpu().numpy().astype(np.int32)).rate

    # -------------------------------------------------------------------------------------------------- saved states

    def save(self, folder: Path) -> None:
        """Write the whole state; the state before it is kept."""
        tensors = {f"now.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"upkeep.{name}": value for name, value in self.upkeep.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        kept = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        metadata = {"state": json.dumps(self._identity() | {"epoch": self.epoch, "history": self.history})}
        save_state(folder, _NAME, self.epoch, _SUFFIX, lambda path: save_file(kept, path, metadata=metadata))

    def resume(self, folder: Path) -> None:
        """Restore the newest whole state of a folder that belongs to the same settings and vectors, if there is one."""
        for file in whole_states(folder, _NAME, _SUFFIX):
            with safe_open(file, framework="pt") as stored:
                state = json.loads((stored.metadata() or {}).get("state", "{}"))
                tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            epoch, history = state.pop("epoch", 0), state.pop("history", [])
            if state == self._identity():
                self._restore(epoch, history, tensors)
                return
            _log.warning("%s belongs to other settings or data and is removed", file)
            file.unlink()

    def _restore(self, epoch: int, history: list[dict[str, float]], tensors: dict[str, Tensor]) -> None:
        self.epoch, self.history = epoch, history
        self.network.load_state_dict(_below("now.", tensors))
        self.best = _below("best.", tensors)
        self.upkeep.load_state_dict(_below("upkeep.", tensors))
        saved = self.optimizer.state_dict()
        numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("optimizer.")})
        saved["state"] = {number: _below(f"optimizer.{number}.", tensors) for number in numbers}
        self.optimizer.load_state_dict(saved)

    def _identity(self) -> dict[str, Any]:
        """Settings and digest of the data; a checkpoint is used only if they are equal."""
        inputs = [self.vectors] if self.collaborative is None else [self.vectors, self.collaborative]
        digest = hashlib.sha256()
        for matrix in inputs:
            digest.update(str(tuple(matrix.shape)).encode() + matrix.cpu().numpy().tobytes())
        settings = self.settings.model_dump(mode="json", exclude={"collisions"})
        return {"settings": settings, "given": digest.hexdigest()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


# ------------------------------------------------------------------------------------------------------ upkeep of codes

_USUAL_DECAY = 0.99


class CodeUpkeep(nn.Module):
    """Moving averages of the use of codes, which update and reset them; its buffers are part of a checkpoint."""

    shares_LK: Tensor
    sums_LKD: Tensor
    idle_LK: Tensor

    def __init__(self, codes_LKD: Tensor, use: CodeUse) -> None:
        """Initialise the averages for equal use of all codes."""
        super().__init__()
        self.use, self.decay = use, use.ema or _USUAL_DECAY
        levels, size, _ = codes_LKD.shape
        self.register_buffer("shares_LK", torch.full((levels, size), 1 / size, device=codes_LKD.device))
        self.register_buffer("sums_LKD", codes_LKD.detach().clone() / size)
        self.register_buffer("idle_LK", torch.zeros_like(self.shares_LK))

    @torch.no_grad()
    def after_step(self, codes_LKD: Tensor, quantized: QuantizedBatch) -> None:
        """Update the averages after a training step and, as set, the codes in place."""
        if not (self.use.ema or self.use.revive_after):
            return
        chosen_BLK = nn.functional.one_hot(quantized.codes_BL, codes_LKD.shape[1]).to(codes_LKD.dtype)
        self.shares_LK.lerp_(chosen_BLK.mean(0), 1 - self.decay)
        self.sums_LKD.lerp_(
            torch.einsum("blk,bld->lkd", chosen_BLK, quantized.residuals_BLD) / len(chosen_BLK), 1 - self.decay
        )
        if self.use.ema:
            least = 1e-5 / codes_LKD.shape[1]  # a code unused for long keeps its position: its mean would be 0 / 0
            mean_LKD = self.sums_LKD / self.shares_LK.clamp_min(least)[..., None]
            codes_LKD.copy_(torch.where(self.shares_LK[..., None] > least, mean_LKD, codes_LKD))
        if self.use.revive_after:
            self._revive(codes_LKD, quantized.residuals_BLD)

    def _revive(self, codes_LKD: Tensor, residuals_BLD: Tensor) -> None:
        """Reset codes that were rarely used for long to residuals of random items of this step."""
        self.idle_LK.copy_(torch.where(self.shares_LK < self.use.revive_below, self.idle_LK + 1, 0))
        level, code = torch.nonzero(self.idle_LK >= self.use.revive_after, as_tuple=True)
        if not len(level):
            return
        items = torch.randint(len(residuals_BLD), level.shape, device=level.device)
        codes_LKD[level, code] = residuals_BLD[items, level]
        self.idle_LK[level, code] = 0
        self.shares_LK[level, code] = 1 / codes_LKD.shape[1]
        self.sums_LKD[level, code] = codes_LKD[level, code] / codes_LKD.shape[1]
