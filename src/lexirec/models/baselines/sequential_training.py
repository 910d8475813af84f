"""Training of sequential baselines: packed rows, full or sampled softmax, choice of the epoch, resumable.

A training row holds a user's items; every position but the last predicts the next item, so one pass serves all targets
of a user. Rows longer than `max_history` + 1 are cut into pieces that share one item, so that no target is lost.

Shapes: B rows, L positions, D dimensions, I items, T targets, N sampled negatives.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lexirec.core.divergence import GRADIENT, LOSS, Watch
from lexirec.core.errors import DataError
from lexirec.core.files import save_state, whole_states
from lexirec.core.progress import Progress
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.metrics import ndcg, ranks_in_scores
from lexirec.models.baselines.base import popularity
from lexirec.models.baselines.sequential import SequenceNetwork, SequenceScorer, SequenceTrainingSettings

_log = logging.getLogger(__name__)
_NAME, _SUFFIX = "sequences", ".safetensors"
"""Of the files of saved states."""
M = TypeVar("M", bound=SequenceScorer)


def fit_sequences(
    model: M,
    train: Sequences,
    n_items: int,
    *,
    validation: Cases | None = None,
    vectors: NDArray[np.floating[Any]] | None = None,
    neighbors: Neighbors | None = None,
    progress: Path | None = None,
) -> M:
    """Train a model; afterwards it holds the weights of its best epoch.

    Args:
        model: an unfitted `Sasrec`, `Gru4Rec` or `Hstu`.
        train: rows of item numbers, oldest first.
        n_items: size of the catalogue.
        validation: cases that choose the epoch by NDCG@10 (seen items not excluded); without them the last is kept.
        vectors: text vectors (n_items, F) that become part of the item vectors.
        neighbors: items whose mean vector is added to each item's.
        progress: a folder from which a killed training resumes after its last complete epoch; it ends like an
            uninterrupted one.

    Raises:
        DataError: no row of `train` has two items, or features are not one row per item.
        TrainingError: a loss, a gradient or a weight is not finite.
    """
    rows = training_rows(train, model.settings.max_history)
    if not len(rows):
        raise DataError(
            f"{model.label}: none of the {len(train):,} training rows has two items, so there is nothing to predict"
        )
    model.shares = popularity(train, n_items)
    model.network = model.build(n_items, vectors=vectors, neighbors=neighbors)
    training = model.settings.training
    chosen = validation.sample(training.validation_cases, training.seed) if validation is not None else None
    run = _Run(model, rows, chosen if chosen is not None and len(chosen) else None)
    if progress is not None:
        run.resume(progress)
    run.train(progress)
    model.network.load_state_dict(run.best or run.weights())
    run.check_weights()
    model.history = run.history
    return model


def training_rows(train: Sequences, max_history: int) -> Sequences:
    """Cut rows into pieces of at most `max_history` + 1 items that overlap by one; rows of one item are left out."""
    pieces = np.maximum(-(-(train.lengths - 1) // max_history), 0)
    piece = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(train.offsets[:-1], pieces) + piece * max_history
    lengths = np.minimum(np.repeat(train.offsets[1:], pieces) - starts, max_history + 1)
    return train.windows(starts, lengths)


def sampled_cross_entropy(
    logits_TN: Tensor, target_logits_T: Tensor, log_expected_N: Tensor, clash_TN: Tensor
) -> Tensor:
    """Estimate the catalogue's cross-entropy from a sample of its items.

    The softmax' denominator is exp(target) plus Σ exp(logit) / (expected draws) over the sample, without draws that
    hit the target: an unbiased estimate of the sum over all other items (Bengio and Senécal, IEEE TNN 2008; that the
    target itself takes no correction: Khrylchenko et al., RecSys 2025).

    Args:
        logits_TN: logits of the sampled items.
        target_logits_T: logits of the targets.
        log_expected_N: log of how often each sampled item is expected in the sample.
        clash_TN: True where a sampled item is the row's target.
    """
    corrected_TN = (logits_TN - log_expected_N).masked_fill(clash_TN, -math.inf)
    both = torch.cat([target_logits_T[:, None], corrected_TN], dim=1)
    return (both.logsumexp(1) - target_logits_T).mean()


@dataclass
class _Run:
    """The state of one training run."""

    model: SequenceScorer
    rows: Sequences
    validation: Cases | None
    epoch: int = 0
    best: dict[str, Tensor] | None = None
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings: SequenceTrainingSettings = self.model.settings.training
        self.network: SequenceNetwork = self.model.network
        self.steps = math.ceil(len(self.rows) / self.settings.batch_size)
        self.optimizer = torch.optim.AdamW(_groups(self.network, self.settings), lr=self.settings.learning_rate)
        counts = torch.from_numpy(self.rows.counts(len(self.model.shares))).double().to(self.model.device)
        weights = counts + 1 if self.settings.proposal == "popularity" else torch.ones_like(counts)
        self.proposal_I = (weights / weights.sum()).float()
        advice = f"lower training.learning_rate ({self.settings.learning_rate:g})"
        self.watch = Watch(self.model.label, advice, self.settings.epochs * self.steps, self.steps)

    def train(self, folder: Path | None) -> None:
        """Run the remaining epochs and save the state in `folder` after each."""
        with Progress(self.model.label, total=self.settings.epochs * self.steps) as progress:
            progress.advance(self.epoch * self.steps)
            while self.epoch < self.settings.epochs and not self._tired():
                self._one_epoch(progress)
                if folder is not None:
                    self.save(folder)

    def _one_epoch(self, progress: Progress) -> None:
        # seeding every epoch makes a resumed run draw what an uninterrupted one would have drawn
        with torch.random.fork_rng(devices=[self.model.device] if self.model.device.type == "cuda" else []):
            torch.manual_seed(self.settings.seed * 100_003 + self.epoch + 1)
            losses = [self._step(number, batch, progress) for number, batch in enumerate(self._batches())]
        self.watch.check()
        self.check_weights()
        figures = {"loss": float(torch.stack(losses).mean())}
        if self.validation is not None:
            figures["ndcg@10"] = self._validate(self.validation)
            if figures["ndcg@10"] > max((past["ndcg@10"] for past in self.history), default=-1.0):
                self.best = {name: value.clone() for name, value in self.weights().items()}
        self.history.append(figures)
        self.epoch += 1
        text = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        progress.update(text)
        _log.info("%s epoch %d: %s", self.model.label, self.epoch, text)

    def _batches(self) -> Iterator[Sequences]:
        """Yield the rows in random order, rows of similar length together, so that there is little padding."""
        size = self.settings.batch_size
        random = np.random.default_rng([self.settings.seed, self.epoch])
        order = random.permutation(len(self.rows))
        region = np.arange(len(order)) // (50 * size)
        order = order[np.lexsort((self.rows.lengths[order], region))]
        for number in random.permutation(self.steps):
            yield self.rows.take(order[number * size : (number + 1) * size])

    def _step(self, number: int, batch: Sequences, progress: Progress) -> Tensor:
        step, on_cpu = self.epoch * self.steps + number, self.model.device.type == "cpu"
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self._schedule(step)
        self.network.train()
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.model.device.type == "cuda"):
            loss = self._loss(batch)
        self.watch.note(step, LOSS, loss.detach(), at_once=on_cpu)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.watch.note(step, GRADIENT, norm, at_once=on_cpu)
        self.optimizer.step()
        progress.advance()
        return loss.detach()

    def _schedule(self, step: int) -> float:
        """Cosine from 1 to 0, after a warm-up over the first 5 % of the steps."""
        total = self.settings.epochs * self.steps
        warm_up = max(1, total // 20)
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))

    def _loss(self, batch: Sequences) -> Tensor:
        items_BL = torch.from_numpy(batch.padded(int(batch.lengths.max()))).long().to(self.model.device)
        vectors_ID = self.network.table()
        states_BLD = self.network(items_BL[:, :-1], vectors_ID)
        real_BL = items_BL[:, 1:] >= 0
        states_TD, targets_T = states_BLD[real_BL], items_BL[:, 1:][real_BL]
        if self.settings.negatives:
            return self._sampled_loss(states_TD, targets_T, vectors_ID)
        return F.cross_entropy(self.network.logits(states_TD, vectors_ID).float(), targets_T)

    def _sampled_loss(self, states_TD: Tensor, targets_T: Tensor, vectors_ID: Tensor) -> Tensor:
        drawn_N = torch.multinomial(self.proposal_I, self.settings.negatives, replacement=True)
        used, index = torch.unique(torch.cat([targets_T, drawn_N]), return_inverse=True)
        logits = self.network.logits(states_TD, vectors_ID[used]).float()
        target_logits_T = logits.gather(1, index[: len(targets_T), None])[:, 0]
        log_expected_N = self.proposal_I[drawn_N].log() + math.log(len(drawn_N))
        clash_TN = targets_T[:, None] == drawn_N[None, :]
        return sampled_cross_entropy(logits[:, index[len(targets_T) :]], target_logits_T, log_expected_N, clash_TN)

    def _validate(self, cases: Cases) -> float:
        size = max(1, (1 << 24) // len(self.model.shares))
        parts = [cases.take(np.arange(first, min(first + size, len(cases)))) for first in range(0, len(cases), size)]
        return ndcg(np.concatenate([ranks_in_scores(self.model.scores(p.histories), p.targets) for p in parts]), 10)

    def _tired(self) -> bool:
        """Whether the last `patience` epochs were all worse than one before them."""
        values = [past["ndcg@10"] for past in self.history if "ndcg@10" in past]
        return bool(values) and len(values) - 1 - int(np.argmax(values)) >= self.settings.patience

    def check_weights(self) -> None:
        """Raise where a weight is not finite, so that it is neither chosen nor saved."""
        for name, value in self.weights().items():
            if value.is_floating_point() and not value.isfinite().all():
                raise self.watch.error(f"the weight '{name}' is not finite after epoch {self.epoch + 1}")

    def weights(self) -> dict[str, Tensor]:
        """The network's tensors, by name."""
        return {name: value.detach() for name, value in self.network.state_dict().items()}

    def save(self, folder: Path) -> None:
        """Write weights, best weights, optimiser and history; the state before is kept."""
        tensors = {f"now.{name}": value for name, value in self.weights().items()}
        tensors |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        kept = {name: value.cpu().contiguous().clone() for name, value in tensors.items()}
        metadata = {"state": json.dumps(self._identity() | {"history": self.history})}
        save_state(folder, _NAME, self.epoch, _SUFFIX, lambda path: save_file(kept, path, metadata=metadata))

    def resume(self, folder: Path) -> None:
        """Resume from the newest whole state that belongs to the same settings and rows, if there is one."""
        for file in whole_states(folder, _NAME, _SUFFIX):
            with safe_open(file, framework="pt") as stored:
                state = json.loads(stored.metadata()["state"])
                tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            history = state.pop("history")
            if state == self._identity():
                self._restore(history, tensors)
                return
            _log.warning("%s belongs to other settings or data and is removed", file)
            file.unlink()

    def _restore(self, history: list[dict[str, float]], tensors: dict[str, Tensor]) -> None:
        self.history, self.epoch = history, len(history)
        self.network.load_state_dict(_below("now.", tensors))
        self.best = _below("best.", tensors) or None
        saved = self.optimizer.state_dict()
        numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("optimizer.")})
        saved["state"] = {number: _below(f"optimizer.{number}.", tensors) for number in numbers}
        self.optimizer.load_state_dict(saved)

    def _identity(self) -> dict[str, Any]:
        """Return what must be equal for a saved state to belong to this run."""
        sizes = [len(self.rows), len(self.rows.items), len(self.model.shares), int(self.rows.items.sum(dtype=np.int64))]
        return {"settings": self.model.settings.model_dump(mode="json"), "sizes": sizes}


def _groups(network: SequenceNetwork, settings: SequenceTrainingSettings) -> list[dict[str, Any]]:
    """Weight decay is for matrices only: not for norms, biases and the temperature."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in learned if p.ndim < 2], "weight_decay": 0.0},
    ]


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
