"""Training RQ-VAE: seeded, resumable, the best state by collisions."""

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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lexirec.core.progress import Progress
from lexirec.semantic_ids.quantizers.collisions import CollisionCount
from lexirec.semantic_ids.quantizers.rqvae import RqVae
from lexirec.semantic_ids.quantizers.rqvae_losses import cluster_codes, total_loss
from lexirec.semantic_ids.quantizers.rqvae_network import RqVaeNetwork
from lexirec.semantic_ids.quantizers.rqvae_upkeep import CodeUpkeep

_log = logging.getLogger(__name__)
_FILE = "rqvae.safetensors"
_BLOCK = 1 << 14


def train(
    network: RqVaeNetwork,
    settings: RqVae,
    vectors: NDArray[np.float32],
    collaborative: NDArray[np.float32] | None = None,
    folder: Path | None = None,
) -> list[dict[str, float]]:
    """Train a network, which then holds the state that the settings choose; return loss and collisions by epoch.

    On a GPU where there is one.

    Args:
        network: With its first codes.
        settings: How.
        vectors: float32 (n_items, d).
        collaborative: float32 (n_items, c), where that loss has a weight.
        folder: Keeps the state every `evaluate_every` epochs; training killed at any moment carries on from there and
            ends as if it had not been killed.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    extra = None if collaborative is None else torch.from_numpy(collaborative).to(device)
    run = _Run(network.to(device), settings, torch.from_numpy(vectors).to(device), extra)
    if folder is not None:
        run.resume(folder / _FILE)
    run.train(None if folder is None else folder / _FILE)
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

    @property
    def device(self) -> torch.device:
        return self.vectors.device

    def train(self, file: Path | None) -> None:
        how = self.settings.training
        with Progress("RQ-VAE", total=how.epochs) as progress:
            progress.advance(self.epoch)
            while self.epoch < how.epochs:
                loss = self._one_epoch()
                if self.epoch % how.evaluate_every == 0 or self.epoch == how.epochs:
                    progress.update(self._look(loss))
                    if file is not None:
                        self.save(file)
                progress.advance()

    def _one_epoch(self) -> float:
        # Seeding every epoch anew makes a resumed run draw what an uninterrupted one would have drawn.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.settings.seed * 100_003 + self.epoch + 1)
            self.network.train()
            clusters = self._clusters()
            order = torch.from_numpy(
                np.random.default_rng([self.settings.seed, self.epoch]).permutation(len(self.vectors))
            )
            steps = torch.split(order.to(self.device), self.settings.training.batch_size)
            losses = [self._step(rows, (self.epoch + place / len(steps)), clusters) for place, rows in enumerate(steps)]
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
        loss, found = total_loss(self.network, self.settings, self.vectors[rows], extra, clusters)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learned, 1.0)
        self.optimizer.step()
        self.upkeep.after_step(self.network.codes_LKD, found)
        return loss.detach()

    def _look(self, loss: float) -> str:
        """Count collisions, and keep the state if it is the best so far."""
        how = self.settings.training
        figures = {"epoch": float(self.epoch), "loss": loss, "collisions": self._collisions()}
        rank = {"collisions": ("collisions", "loss"), "loss": ("loss",), "last": ()}[how.select]
        rivals = [past for past in self.history if 2 * past["epoch"] > how.epochs]
        if all([figures[name] for name in rank] <= [past[name] for name in rank] for past in rivals):
            self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.history.append(figures)
        text = f"loss {loss:.4f}, collisions {figures['collisions']:.2%}"
        _log.debug("RQ-VAE epoch %d: %s", self.epoch, text)
        return text

    @torch.no_grad()
    def _collisions(self) -> float:
        self.network.eval()
        parts = torch.split(self.vectors, _BLOCK)
        codes = [self.network.quantize(self.network.encode(self.network.scaled(part))).codes_BL for part in parts]
        return CollisionCount.of(torch.cat(codes).cpu().numpy().astype(np.int32)).rate

    # -------------------------------------------------------------------------------------------------- saved states

    def save(self, file: Path) -> None:
        """Write everything to one file, whole or not at all."""
        tensors = {f"now.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"upkeep.{name}": value for name, value in self.upkeep.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        kept = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        state = self._identity() | {"epoch": self.epoch, "history": self.history}
        save_file(kept, partial, metadata={"state": json.dumps(state)})
        partial.replace(file)

    def resume(self, file: Path) -> None:
        """Carry on from `file` if it is there and belongs to the same settings and vectors."""
        if not file.is_file():
            return
        try:
            with safe_open(file, framework="pt") as stored:
                state = json.loads((stored.metadata() or {}).get("state", "{}"))
                tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except SafetensorError:
            state = {}
        epoch, history = state.pop("epoch", 0), state.pop("history", [])
        if state != self._identity():
            _log.warning("%s belongs to other settings or data, or is damaged; RQ-VAE starts afresh", file)
            return
        self.epoch, self.history = epoch, history
        self.network.load_state_dict(_below("now.", tensors))
        self.best = _below("best.", tensors)
        self.upkeep.load_state_dict(_below("upkeep.", tensors))
        saved = self.optimizer.state_dict()
        numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("optimizer.")})
        saved["state"] = {number: _below(f"optimizer.{number}.", tensors) for number in numbers}
        self.optimizer.load_state_dict(saved)

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a saved state to be this run's."""
        given = [self.vectors] if self.collaborative is None else [self.vectors, self.collaborative]
        digest = hashlib.sha256()
        for matrix in given:
            digest.update(str(tuple(matrix.shape)).encode() + matrix.cpu().numpy().tobytes())
        settings = self.settings.model_dump(mode="json", exclude={"collisions"})
        return {"settings": settings, "given": digest.hexdigest()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
