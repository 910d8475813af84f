"""Training late fusion: batches are windows of like length (`windows`), runs are those of `running`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.distillation import DistillationSettings, Teacher
from lexirec.models.gram.late_fusion_ranking import Ranker, SearchSettings
from lexirec.models.gram.network import LateFusion
from lexirec.models.gram.windows import Windows, batches, packed_windows, windows_per_prefix
from lexirec.training.arguments import PaceSettings
from lexirec.training.judging import METRIC, Choice, patience, sample
from lexirec.training.trainer import ChoosingTrainer, Epochs, Run, carry_out

__all__ = ["METRIC", "TrainingSettings", "fit_late_fusion"]


class TrainingSettings(PaceSettings):
    """How a late-fusion model is trained; the defaults suit models from scratch."""

    epochs: int = Field(default=12, ge=1)
    """Times every target is seen, at most."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Of AdamW, after the warm-up and before the cosine decay."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices; norms have none."""
    warmup: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps over which the learning rate rises."""
    batch_targets: int = Field(default=400, ge=1)
    """Targets of a step, about: whole windows are packed until there are as many."""
    packed: bool = True
    """Whether all prefixes of a user share a window; false trains on one row per prefix as the reference does."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users by whom a model is chosen; a fixed random sample where there are more."""
    validation_width: int = Field(default=20, ge=10)
    """Beam width of the choice; the final measurement uses the search settings."""
    validations_per_epoch: int = Field(default=1, ge=1)
    """How often weights are judged."""
    patience: int = Field(default=3, ge=1)
    """Choices in a row without a better model after which training stops."""
    distillation: DistillationSettings = DistillationSettings()
    """What next items are learned from the memory, beside what was bought."""


def fit_late_fusion(
    model: LateFusion,
    train: Sequences,
    settings: TrainingSettings,
    *,
    validation: Cases | None,
    folder: Path,
    teacher: Teacher | None = None,
) -> list[dict[str, float]]:
    """Train a model; afterwards it holds the weights of its best validation.

    Args:
        model: the model to train, in place.
        train: training rows of item numbers, oldest first.
        settings: how.
        validation: cases that choose the weights; without them the last ones are kept.
        folder: where checkpoints go; training carries on from what is there.
        teacher: the memory that targets are told of, too.

    Returns:
        The learning curve: rows with `step`, `epoch` and `loss` or the validation's figures.

    Raises:
        DataError: no training row has two items.
    """
    cut = packed_windows if settings.packed else windows_per_prefix
    rows = train if teacher is None else Sequences.below([train, teacher.rehearsed])
    windows = cut(rows, model.settings.max_history)
    if not len(windows):
        raise DataError(f"none of the {len(train):,} training rows has two items, so there is nothing to predict")
    data = Epochs(
        lambda epoch: batches(windows, settings.batch_targets, [settings.seed, epoch]),
        partial(_batch, windows, teacher),
        settings.epochs,
    )
    run = Run(settings, folder, _choice(validation, settings), patience(settings.patience))
    return carry_out(ChoosingTrainer(model, data, run))


def _batch(windows: Windows, teacher: Teacher | None, numbers: NDArray[np.int64]) -> dict[str, Tensor]:
    batch = windows.batch(numbers)
    if teacher is not None and teacher.tells:
        batch["told"] = teacher.told(*windows.cases(numbers))
    return batch


def _choice(validation: Cases | None, settings: TrainingSettings) -> Choice | None:
    if validation is None:
        return None
    search = SearchSettings(width=settings.validation_width)
    return Choice(sample(validation, settings.validation_users, settings.seed), partial(_best_ten, search))


def _best_ten(search: SearchSettings, model: LateFusion, histories: Sequences) -> NDArray[np.int32]:
    return Ranker(model, search).rank(histories, 10).items
