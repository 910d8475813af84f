"""Training loop on the Hugging Face Trainer: ordered batches, validation that chooses weights, resumable runs.

The stock Trainer provides devices, precision, gradient accumulation and checkpoints. Ours are three rules. The order
of the data is fixed by the caller. Weights are chosen by a validator (NDCG@10 of a fixed sample of validation users,
decoded as in use, or another metric), never by the training loss. Every step seeds its random numbers by its own
number, so a run that was killed and resumed ends like an uninterrupted one. Beyond the stock one, a run also ends where
a loss, a gradient, a metric or a weight is not finite: such weights are neither saved nor chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from lexirec.core.divergence import GRADIENT, LOSS, Watch
from lexirec.training.arguments import METRIC, Stop, TrainerArguments, Validator
from lexirec.training.callbacks import Averaging, Ending, LoggedWhenSaved, Shown
from lexirec.training.checkpoints import (
    WEIGHTS,
    first_not_finite,
    load_weights,
    log_history_of,
    resumable_checkpoint,
    save_weights,
    writing_checkpoint,
)
from lexirec.training.precision import in_bfloat16, plain_attention
from lexirec.training.weight_averaging import WeightAverage

BEST = "best.safetensors"
"""File in a run's folder with the best weights so far."""

Part = TypeVar("Part")


@dataclass(frozen=True)
class TrainingRun:
    """Settings, folder and validation of one training run.

    Attributes:
        settings: of the trainer.
        folder: of the checkpoints and the best weights; a run resumes from the newest checkpoint.
        validator: chooses the weights; without one the last weights are kept.
        stop: stopping rule of a validated run.
        validate_first: also validate before the first step, so that the initial weights may be the ones that are kept.
        together: number of steps that belong together; no checkpoint falls between them.
        columns: of the learning curve, beside step, epoch and loss.
        undecayed: parameters without weight decay, beside biases and norms.
        title: label of the progress bar.
    """

    settings: TrainerArguments
    folder: Path
    validator: Validator | None
    stop: Stop
    validate_first: bool = False
    together: int = 1
    columns: tuple[str, ...] = (METRIC, "validation_recall@10")
    undecayed: frozenset[str] = frozenset()
    title: str = "Training"

    def validation_scores(self, history: list[dict[str, Any]]) -> list[float]:
        """Return the metric of every validation in a log; greater is better."""
        if self.validator is None:
            return []
        metric, sign = self.validator.metric, self.validator.sign
        return [sign * entry[metric] for entry in history if metric in entry]

    def checkpoint(self) -> str | None:
        """Return the checkpoint to resume from; None where there is none, and the run starts anew."""
        return resumable_checkpoint(self.folder, BEST, lambda log: bool(self.validation_scores(log)))

    def finished(self, history: list[dict[str, Any]]) -> bool:
        """Return whether a run with this log has been stopped early."""
        values = self.validation_scores(history)
        return bool(values) and self.stop(values)


class Epochs(Dataset[dict[str, Tensor]], Generic[Part]):
    """All batches of all epochs in one sequence; an epoch's order is made when its first batch is read."""

    def __init__(
        self, order: Callable[[int], Sequence[Part]], batch: Callable[[Part], dict[str, Tensor]], epochs: int
    ) -> None:
        """Hold `order`, which splits each epoch into equally many parts, and `batch`, which builds a part's batch."""
        self._make_order, self._batch, self.epochs = order, batch, epochs
        self._epoch, self._parts = 0, order(0)

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch."""
        return len(self._parts)

    def __len__(self) -> int:
        return len(self._parts) * self.epochs

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        epoch, index = divmod(number, len(self._parts))
        if epoch != self._epoch:
            self._epoch, self._parts = epoch, self._make_order(epoch)
        return self._batch(self._parts[index % len(self._parts)])


class ChoosingTrainer(Trainer):  # type: ignore[misc]
    """The stock Trainer with a fixed order, seeds per step, validated weights and checkpoints without pickles."""

    _step, _part = -1, 0
    control: Any

    def __init__(self, model: nn.Module, data: Epochs[Any], run: TrainingRun) -> None:
        """Prepare the run of a model over data."""
        super().__init__(
            model=model,
            args=_arguments(run, data),
            train_dataset=data,
            eval_dataset=data if run.validator is not None else None,  # required by name; our `evaluate` ignores it
            data_collator=_only,
            callbacks=[Ending(run), LoggedWhenSaved()],
        )
        self.remove_callback(PrinterCallback)  # it prints to stdout, which is reserved for results
        self.run, self.shown = run, Shown(run)
        self.add_callback(self.shown)
        self.watch = Watch(run.title, _advice(run.settings), self.args.max_steps, _steps_of_epoch(run, data))
        self.average = WeightAverage(model, run.settings.ema_decay) if run.settings.ema_decay else None
        if self.average is not None:
            self.add_callback(Averaging(self.average))

    @property
    def part(self) -> int:
        """Index of the present batch among those accumulated for one step."""
        return self._part

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # the order is in the data

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Exclude the parameters that the run names."""
        names: list[str] = super().get_decay_parameter_names(model)
        return [name for name in names if name not in self.run.undecayed]

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Seed dropout by the numbers of step and batch, so that a resumed run draws the same."""
        step = self.state.global_step
        self._part = self._part + 1 if step == self._step else 0
        self._step = step
        # CPUs read the lowest 32 bits of a seed only, so the batch has to change these
        seed = (self.args.seed * 1_000_003 + step) * 64 + self.args.process_index + self._part * 0x9E37_79B1
        torch.manual_seed(seed)
        loss: Tensor = super().training_step(*args, **kwargs)
        self.watch.note(step, LOSS, loss, at_once=loss.device.type == "cpu")
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        if norm is not None:
            self.watch.note(self.state.global_step, GRADIENT, norm, at_once=self.args.use_cpu)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log figures of steps whose losses and gradients are finite."""
        self.watch.check()
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate the weights, and save them if they are the best so far."""
        validator = self.run.validator
        if validator is None:
            return {}
        model = self.accelerator.unwrap_model(self.model)
        self.watch.check()
        with self.average.in_place() if self.average is not None else nullcontext():
            self.check_weights(model)
            figures = validator.figures(model)
            if not math.isfinite(figures[validator.metric]):
                step = self.state.global_step
                raise self.watch.error(f"{validator.metric} is {figures[validator.metric]:g} after step {step:,}")
            earlier = self.run.validation_scores(self.state.log_history)
            score = validator.sign * figures[validator.metric]
            if self.is_world_process_zero() and score > max(earlier, default=-np.inf):
                save_weights(model, Path(self.args.output_dir) / BEST)
        self.log(figures)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Write weights only: tied ones once, frozen ones not at all, and no pickled arguments."""
        if self.args.should_save:
            model, folder = self.accelerator.unwrap_model(self.model), Path(output_dir or self.args.output_dir)
            self.check_weights(model)
            save_weights(model, folder / WEIGHTS)
            if self.average is not None:
                self.average.save(folder)

    def check_weights(self, model: nn.Module) -> None:
        """Raise where a weight is not finite: the last step before this may have made it so."""
        name = first_not_finite(model)
        if name is not None:
            raise self.watch.error(f"the weight '{name}' is not finite after step {self.state.global_step:,}")

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with writing_checkpoint(Path(self.args.output_dir), self.state.global_step):
            super()._save_checkpoint(*args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_weights(self.model if model is None else model, Path(resume_from_checkpoint) / WEIGHTS)
        if self.average is not None:
            self.average.load(Path(resume_from_checkpoint))


def run_training(trainer: ChoosingTrainer) -> list[dict[str, float]]:
    """Run or resume a training; afterwards the model holds the chosen weights and is in evaluation mode.

    Returns:
        The learning curve: rows with `step`, `epoch`, and the loss or the validator's metrics.

    Raises:
        TrainingError: a loss, a gradient, the metric or a weight is not finite.
    """
    run, model = trainer.run, trainer.model
    checkpoint = run.checkpoint()
    history, best = log_history_of(checkpoint), run.folder / BEST
    if not (run.finished(history) and best.is_file()):
        try:
            with plain_attention(trainer.model, needed=trainer.args.bf16 and trainer.args.use_cpu):
                trainer.train(resume_from_checkpoint=checkpoint)
        finally:
            trainer.shown.close()
        history = trainer.state.log_history
    if run.validator is not None and best.is_file():
        load_weights(model, best)
    elif trainer.average is not None:
        trainer.average.settle()
    trainer.check_weights(model)
    model.eval()
    return _curve(history, run)


def _advice(pace: TrainerArguments) -> str:
    return (
        f"lower learning_rate ({pace.learning_rate:g}) or max_grad_norm ({pace.max_grad_norm:g}), or raise "
        f"warmup_ratio ({pace.warmup_ratio:g})"
    )


def _steps_of_epoch(run: TrainingRun, data: Epochs[Any]) -> int:
    return max(1, data.per_epoch // run.settings.gradient_accumulation_steps)


def _arguments(run: TrainingRun, data: Epochs[Any]) -> TrainingArguments:
    pace = run.settings
    steps = len(data) // pace.gradient_accumulation_steps
    per_epoch = _steps_of_epoch(run, data)
    between = max(1, per_epoch // pace.checkpoints_per_epoch)
    return TrainingArguments(
        output_dir=str(run.folder),
        max_steps=max(1, steps),
        per_device_train_batch_size=1,  # one item of `Epochs` is a whole batch
        gradient_accumulation_steps=pace.gradient_accumulation_steps,
        learning_rate=pace.learning_rate,
        weight_decay=pace.weight_decay,
        max_grad_norm=pace.max_grad_norm,
        lr_scheduler_type=pace.schedule.replace("-", "_"),
        warmup_steps=int(pace.warmup_ratio * steps),
        bf16=in_bfloat16(pace.precision),
        eval_strategy="steps" if run.validator is not None else "no",
        eval_steps=max(1, per_epoch // pace.evals_per_epoch),
        eval_on_start=run.validate_first and run.validator is not None and run.checkpoint() is None,
        save_strategy="steps",
        save_steps=-(-between // run.together) * run.together,
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=max(1, per_epoch // 10),
        logging_nan_inf_filter=False,  # the filter would log the mean of the steps before, and wait for every step
        seed=pace.seed,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
    )


def _only(batches_of_one: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return batches_of_one[0]


def _curve(history: list[dict[str, Any]], run: TrainingRun) -> list[dict[str, float]]:
    columns = ("step", "epoch", "loss", *run.columns)
    rows = [{name: float(entry[name]) for name in columns if name in entry} for entry in history]
    return [row for row in rows if "loss" in row or (run.validator is not None and run.validator.metric in row)]
