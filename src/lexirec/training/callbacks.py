"""Callbacks of the training loop: early stopping, weight averaging, the log before a checkpoint, the progress bar."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from lexirec.core.progress import Progress
from lexirec.training.weight_averaging import WeightAverage

if TYPE_CHECKING:
    from lexirec.training.trainer import TrainingRun

_log = logging.getLogger(__name__)


class Ending(TrainerCallback):  # type: ignore[misc]
    """Stops the run by its stopping rule; it reads the log, so it works after a restart."""

    def __init__(self, run: TrainingRun) -> None:
        """Hold the run."""
        self._run = run

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop where the rule says so."""
        if self._run.finished(state.log_history):
            control.should_training_stop = True


class Averaging(TrainerCallback):  # type: ignore[misc]
    """Adds every step to the weight average, before validation and saving."""

    def __init__(self, average: WeightAverage) -> None:
        """Hold the average."""
        self._average = average

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the weights of this step."""
        self._average.move(state.global_step)


class LoggedWhenSaved(TrainerCallback):  # type: ignore[misc]
    """Logs the loss before every checkpoint, which does not keep the running sum: a resumed curve would differ."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log where a checkpoint is due."""
        control.should_log |= control.should_save


class Shown(TrainerCallback):  # type: ignore[misc]
    """Shows steps, loss and the validation metric in the progress bar."""

    def __init__(self, run: TrainingRun) -> None:
        """Hold the names of the run and of its metric."""
        self._title, self._metric = run.title, run.validator.metric if run.validator is not None else ""
        self._progress: Progress | None = None
        self._texts: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the bar, with the steps of an earlier part of the run."""
        self._progress = Progress(self._title, total=state.max_steps).__enter__()
        self._progress.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count a step."""
        if self._progress is not None:
            self._progress.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Show what was logged."""
        kept = {name: f"{value:.4f}" for name, value in (logs or {}).items() if name in ("loss", self._metric)}
        self._texts |= kept
        if self._progress is not None and kept:
            self._progress.update(", ".join(f"{name} {value}" for name, value in self._texts.items()))
        if self._metric in kept:
            _log.info("step %d of %d: %s", state.global_step, state.max_steps, self._texts)

    def close(self) -> None:
        """Take the bar away, also after an error."""
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None
