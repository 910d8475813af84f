"""Training late fusion with the Hugging Face Trainer, which brings devices, precision, accumulation and checkpoints.

What is ours: batches are windows of like length (`windows`); a model is chosen by NDCG@10 of a fixed sample of
validation users, decoded as in use; every step draws its dropout from its own number, so that a run killed at any
moment and carried on ends as if it had not been killed.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lexirec.config import Settings
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.errors import DataError
from lexirec.metrics import ndcg, ranks_of, recall
from lexirec.models.late_fusion import LateFusion
from lexirec.models.late_fusion_ranking import Ranker, SearchSettings
from lexirec.progress import Progress
from lexirec.training.windows import Windows, batches, packed_windows, windows_per_prefix

METRIC = "validation_ndcg@10"
_BEST = "best.safetensors"
_log = logging.getLogger(__name__)


class TrainingSettings(Settings):
    """How a late-fusion model is trained."""

    epochs: int = Field(default=12, ge=1)
    """Times every target is seen."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Of AdamW, after the warm-up and before the cosine decay."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices; norms have none."""
    warmup: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps over which the learning rate rises."""
    batch_targets: int = Field(default=400, ge=1)
    """Targets of a step, about: whole windows are packed until there are as many."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients make one step."""
    packed: bool = True
    """Whether all prefixes of a user share a window; false trains on one row per prefix as the reference does."""
    max_gradient: float = Field(default=1.0, gt=0)
    """Global norm at which gradients are clipped."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users by whom a model is chosen; a fixed random sample where there are more."""
    validation_width: int = Field(default=20, ge=10)
    """Beam width of the choice; the final measurement uses the search settings."""
    validations_per_epoch: int = Field(default=1, ge=1)
    """How often the choice is made."""
    patience: int = Field(default=3, ge=1)
    """Choices in a row without a better model after which training stops."""
    checkpoints_per_epoch: int = Field(default=4, ge=1)
    """How often the state is saved; a kill loses at most that share of an epoch."""
    seed: int = 0
    """Seed of order and dropout."""


def fit_late_fusion(
    model: LateFusion,
    train: Sequences,
    settings: TrainingSettings,
    *,
    validation: Cases | None,
    folder: Path,
) -> list[dict[str, float]]:
    """Train a model; afterwards it holds the weights of its best validation.

    Args:
        model: the model to train, in place.
        train: training rows of item numbers, oldest first.
        settings: how.
        validation: cases that choose the weights; without them the last ones are kept.
        folder: where checkpoints go; training carries on from what is there.

    Returns:
        The learning curve: rows with `step`, `epoch` and `loss` or the validation's figures.

    Raises:
        DataError: no training row has two items.
    """
    cut = packed_windows if settings.packed else windows_per_prefix
    windows = cut(train, model.settings.max_history)
    if not len(windows):
        raise DataError(f"none of the {len(train):,} training rows has two items, so there is nothing to predict")
    data = _Epochs(windows, settings)
    trainer = _FusionTrainer(
        model=model,
        args=_arguments(settings, data, folder, choose=validation is not None),
        train_dataset=data,
        eval_dataset=data if validation is not None else None,  # asked for by name only: `evaluate` is ours
        data_collator=_only,
        callbacks=[_Shown(data.per_epoch, settings.epochs), _Patience(settings.patience), _LoggedWhenSaved()],
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
    trainer.choice = _Choice(_sample(validation, settings), settings) if validation is not None else None
    checkpoint = _whole_checkpoint(folder)
    history, best = _history(checkpoint), folder / _BEST
    if not (_exhausted(history, settings.patience) and best.is_file()):
        trainer.train(resume_from_checkpoint=checkpoint)
        history = trainer.state.log_history
    if trainer.choice is not None and best.is_file():
        model.load_state_dict(load_file(best, device=str(model.device)))
    model.eval()
    return _curve(history)


class _Epochs(Dataset[dict[str, Tensor]]):
    """All batches of all epochs in a row; an epoch's order is made when its first batch is asked for."""

    def __init__(self, windows: Windows, settings: TrainingSettings) -> None:
        self._windows, self._settings = windows, settings
        self._epoch, self._parts = 0, self._order(0)
        self.per_epoch = len(self._parts)

    def _order(self, epoch: int) -> list[NDArray[np.int64]]:
        return batches(self._windows, self._settings.batch_targets, [self._settings.seed, epoch])

    def __len__(self) -> int:
        return self.per_epoch * self._settings.epochs

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._parts = epoch, self._order(epoch)
        return self._windows.batch(self._parts[place % len(self._parts)])


class _Choice:
    """Chooses weights by NDCG@10 of validation cases."""

    def __init__(self, cases: Cases, settings: TrainingSettings) -> None:
        self._cases = cases
        self._search = SearchSettings(width=settings.validation_width)

    def figures(self, model: LateFusion) -> dict[str, float]:
        found = Ranker(model, self._search).rank(self._cases.histories, 10)
        ranks = ranks_of(found.items, self._cases.targets)
        model.train()
        return {METRIC: ndcg(ranks, 10), "validation_recall@10": recall(ranks, 10)}


class _FusionTrainer(Trainer):  # type: ignore[misc]
    """The stock Trainer, with our order, our dropout seeds and our choice of weights."""

    choice: _Choice | None = None
    _step, _part = -1, 0
    control: Any

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # the order is in the data

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        step = self.state.global_step
        self._part = self._part + 1 if step == self._step else 0  # which of the batches that make one step
        self._step = step
        torch.manual_seed((self.args.seed * 1_000_003 + step) * 64 + self.args.process_index + (self._part << 40))
        loss: Tensor = super().training_step(*args, **kwargs)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        if self.choice is None:
            return {}
        model = self.accelerator.unwrap_model(self.model)
        figures = self.choice.figures(model)
        before = [entry[METRIC] for entry in self.state.log_history if METRIC in entry]
        if self.is_world_process_zero() and figures[METRIC] > max(before, default=-1.0):
            self._keep(model)
        self.log(figures)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def _keep(self, model: LateFusion) -> None:
        target = Path(self.args.output_dir) / _BEST
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        save_file({name: value.contiguous().cpu() for name, value in model.state_dict().items()}, partial)
        partial.replace(target)


class _Patience(TrainerCallback):  # type: ignore[misc]
    """Stops when the last choices were all worse than one before; reads the log, so it survives a restart."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if _exhausted(state.log_history, self._patience):
            control.should_training_stop = True


class _LoggedWhenSaved(TrainerCallback):  # type: ignore[misc]
    """Logs the loss before every checkpoint: the sum since the last log is not in it, and the curve would differ."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_log |= control.should_save


class _Shown(TrainerCallback):  # type: ignore[misc]
    """Shows steps, loss and validation as our own progress."""

    def __init__(self, per_epoch: int, epochs: int) -> None:
        self._per_epoch, self._epochs = per_epoch, epochs
        self._progress: Progress | None = None
        self._texts: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._progress = Progress("Training", total=state.max_steps).__enter__()
        self._progress.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._progress is not None:
            self._progress.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        kept = {name: f"{value:.4f}" for name, value in (logs or {}).items() if name in ("loss", METRIC)}
        self._texts |= kept
        if self._progress is not None and kept:
            self._progress.update(", ".join(f"{name} {value}" for name, value in self._texts.items()))
        if METRIC in kept:
            _log.info("step %d of %d: %s", state.global_step, state.max_steps, self._texts)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None


def _arguments(settings: TrainingSettings, data: _Epochs, folder: Path, *, choose: bool) -> TrainingArguments:
    steps = len(data) // settings.accumulate
    per_epoch = max(1, data.per_epoch // settings.accumulate)
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=max(1, steps),
        per_device_train_batch_size=1,  # one batch of windows
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_gradient,
        lr_scheduler_type="cosine",
        warmup_steps=int(settings.warmup * steps),
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        eval_strategy="steps" if choose else "no",
        eval_steps=max(1, per_epoch // settings.validations_per_epoch),
        save_strategy="steps",
        save_steps=max(1, per_epoch // settings.checkpoints_per_epoch),
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=max(1, per_epoch // 10),
        seed=settings.seed,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
    )


def _only(batches_of_one: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return batches_of_one[0]


def _sample(cases: Cases, settings: TrainingSettings) -> Cases:
    if len(cases) <= settings.validation_users:
        return cases
    chosen = np.random.default_rng(settings.seed).choice(len(cases), settings.validation_users, replace=False)
    return cases.take(np.sort(chosen))


def _whole_checkpoint(folder: Path) -> str | None:
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


def _history(checkpoint: str | None) -> list[dict[str, Any]]:
    """Return the log of a checkpoint; without one, nothing."""
    if checkpoint is None:
        return []
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


def _exhausted(history: list[dict[str, Any]], patience: int) -> bool:
    """Return whether the last `patience` choices were all no better than one before."""
    values = [entry[METRIC] for entry in history if METRIC in entry]
    return bool(values) and len(values) - 1 - int(np.argmax(values)) >= patience


def _curve(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    wanted = ("step", "epoch", "loss", METRIC, "validation_recall@10")
    rows = [{name: float(entry[name]) for name in wanted if name in entry} for entry in history]
    return [row for row in rows if "loss" in row or METRIC in row]
