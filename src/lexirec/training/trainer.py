"""Training loop on the Hugging Face Trainer: ordered batches, validation that chooses weights, resumable runs.

The stock Trainer provides devices, precision, gradient accumulation and checkpoints. Ours are three rules. The order
of the data is fixed by the caller. Weights are chosen by a validator (NDCG@10 of a fixed sample of validation users,
decoded as in use, or another metric), never by the training loss. Every step seeds its random numbers by its own
number, so a run that was killed and resumed ends like an uninterrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lexirec.core.progress import Progress
from lexirec.training.arguments import METRIC, Stop, TrainerArguments, Validator
from lexirec.training.checkpoints import (
    WEIGHTS,
    clear,
    is_whole,
    latest_checkpoint,
    load_weights,
    log_history_of,
    save_weights,
    writing_checkpoint,
)
from lexirec.training.weight_averaging import WeightAverage

BEST = "best.safetensors"
"""File in a run's folder with the best weights so far."""
_log = logging.getLogger(__name__)

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
        """Return the checkpoint to resume from; None where there is none, and the run starts anew.

        Without the best weights that its log speaks of, a checkpoint is of no use.
        """
        checkpoint, best = latest_checkpoint(self.folder), self.folder / BEST
        if checkpoint is not None and self.validation_scores(log_history_of(checkpoint)) and not is_whole(best):
            _log.warning("%s is missing or damaged; training starts anew", best)
            clear(self.folder)
            return None
        return checkpoint

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
            callbacks=[_Shown(run), _Ending(run), _LoggedWhenSaved()],
        )
        self.remove_callback(PrinterCallback)  # it prints to stdout, which is reserved for results
        self.run = run
        self.average = WeightAverage(model, run.settings.ema_decay) if run.settings.ema_decay else None
        if self.average is not None:
            self.add_callback(_Averaging(self.average))

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
        torch.manual_seed((self.args.seed * 1_000_003 + step) * 64 + self.args.process_index + (self._part << 40))
        loss: Tensor = super().training_step(*args, **kwargs)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate the weights, and save them if they are the best so far."""
        validator = self.run.validator
        if validator is None:
            return {}
        model = self.accelerator.unwrap_model(self.model)
        with self.average.in_place() if self.average is not None else nullcontext():
            figures = validator.figures(model)
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
            save_weights(model, folder / WEIGHTS)
            if self.average is not None:
                self.average.save(folder)

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
    """
    run, model = trainer.run, trainer.model
    checkpoint = run.checkpoint()
    history, best = log_history_of(checkpoint), run.folder / BEST
    if not (run.finished(history) and best.is_file()):
        trainer.train(resume_from_checkpoint=checkpoint)
        history = trainer.state.log_history
    if run.validator is not None and best.is_file():
        load_weights(model, best)
    elif trainer.average is not None:
        trainer.average.settle()
    model.eval()
    return _curve(history, run)


class _Ending(TrainerCallback):  # type: ignore[misc]
    """Stops the run by its stopping rule; it reads the log, so it works after a restart."""

    def __init__(self, run: TrainingRun) -> None:
        self._run = run

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._run.finished(state.log_history):
            control.should_training_stop = True


class _Averaging(TrainerCallback):  # type: ignore[misc]
    """Adds every step to the weight average, before validation and saving."""

    def __init__(self, average: WeightAverage) -> None:
        self._average = average

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._average.move(state.global_step)


class _LoggedWhenSaved(TrainerCallback):  # type: ignore[misc]
    """Logs the loss before every checkpoint, which does not keep the running sum: a resumed curve would differ."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_log |= control.should_save


class _Shown(TrainerCallback):  # type: ignore[misc]
    """Shows steps, loss and the validation metric in the progress bar."""

    def __init__(self, run: TrainingRun) -> None:
        self._title, self._metric = run.title, run.validator.metric if run.validator is not None else ""
        self._progress: Progress | None = None
        self._texts: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._progress = Progress(self._title, total=state.max_steps).__enter__()
        self._progress.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._progress is not None:
            self._progress.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        kept = {name: f"{value:.4f}" for name, value in (logs or {}).items() if name in ("loss", self._metric)}
        self._texts |= kept
        if self._progress is not None and kept:
            self._progress.update(", ".join(f"{name} {value}" for name, value in self._texts.items()))
        if self._metric in kept:
            _log.info("step %d of %d: %s", state.global_step, state.max_steps, self._texts)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None


def _arguments(run: TrainingRun, data: Epochs[Any]) -> TrainingArguments:
    pace = run.settings
    steps = len(data) // pace.gradient_accumulation_steps
    per_epoch = max(1, data.per_epoch // pace.gradient_accumulation_steps)
    between = max(1, per_epoch // pace.checkpoints_per_epoch)
    return TrainingArguments(
        output_dir=str(run.folder),
        max_steps=max(1, steps),
        per_device_train_batch_size=1,  # one item of `Epochs` is a whole batch
        gradient_accumulation_steps=pace.gradient_accumulation_steps,
        learning_rate=pace.learning_rate,
        weight_decay=pace.weight_decay,
        max_grad_norm=pace.max_grad_norm,
        lr_scheduler_type="cosine",
        warmup_steps=int(pace.warmup_ratio * steps),
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        eval_strategy="steps" if run.validator is not None else "no",
        eval_steps=max(1, per_epoch // pace.evals_per_epoch),
        eval_on_start=run.validate_first and run.validator is not None and run.checkpoint() is None,
        save_strategy="steps",
        save_steps=-(-between // run.together) * run.together,
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=max(1, per_epoch // 10),
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
