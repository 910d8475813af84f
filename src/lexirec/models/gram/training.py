"""Training of GRAM: prefix-augmented windows, packed into batches of similar length, and the run over them.

A window is a run of at most `max_history` + 1 items of one user. Its targets are all items but the first, each
predicted from the items before it in the window, so one pass predicts all prefixes of a user (prefix augmentation,
spec sections 2.3 and 11.1). A longer row is cut into windows that overlap by half a history: every item of it is a
target once, and only histories beyond the first window may be shorter than GRAM's (which keeps 20 items for each).
`windows_per_prefix` gives the rows the reference would train on.

Legend: `B` windows of a batch, `M` items of a window, `Q` targets of a window.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.distillation_teacher import DistillationTeacher, copy_trainer
from lexirec.models.gram.kept_states import keeping_states
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.settings import GramTrainingSettings
from lexirec.models.gram.step_decoder import GramSearcher
from lexirec.nn.search import SearchSettings
from lexirec.training.arguments import NdcgValidator, early_stopping
from lexirec.training.precision import in_bfloat16
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, run_training
from lexirec.training.two_rates import TwoRatesTrainer

if TYPE_CHECKING:
    from lexirec.models.gram.recommender import GramRecommender


def fit_recommender(
    recommender: GramRecommender,
    train: Sequences,
    settings: GramTrainingSettings,
    *,
    validation: Cases | None,
    folder: str | Path | None,
) -> None:
    """Train a recommender in place, after its distillation teacher where there is one; see `GramRecommender.fit`."""
    flat = recommender.settings.network.flat
    with tempfile.TemporaryDirectory() as temporary:
        checkpoints = Path(folder or temporary)

        def fit_copy(
            copy: GramRecommender, rows: NDArray[np.int64], how: GramTrainingSettings, below: Path
        ) -> GramRecommender:
            return copy.fit(train.take(rows), validation=validation, training=how, folder=below)

        teacher = DistillationTeacher.fit(
            train,
            recommender.catalog.texts(),
            settings.distillation,
            flat=flat,
            seed=settings.seed,
            copies=copy_trainer(recommender, settings, checkpoints, fit_copy),
        )
        recommender.curve = fit_gram(
            recommender.model, train, settings, validation=validation, folder=checkpoints, teacher=teacher
        )


def fit_gram(
    model: GramNetwork,
    train: Sequences,
    settings: GramTrainingSettings,
    *,
    validation: Cases | None,
    folder: Path,
    teacher: DistillationTeacher | None = None,
) -> list[dict[str, float]]:
    """Train a model; afterwards it holds the weights of its best validation.

    Args:
        model: the model to train, in place.
        train: training rows of item numbers, oldest first.
        settings: of the training.
        validation: cases that choose the weights; without them the last weights are kept.
        folder: of the checkpoints; training resumes from the newest one.
        teacher: gives soft targets; None for none.

    Returns:
        The learning curve: rows with `step`, `epoch`, and `loss` or the validation metrics.

    Raises:
        DataError: no training row has two items.
        TrainingError: the training diverges.
    """
    cut = packed_windows if settings.packed else windows_per_prefix
    rows = train if teacher is None else Sequences.concatenate([train, teacher.rehearsed])
    windows = cut(rows, model.settings.max_history)
    if not len(windows):
        raise DataError(f"none of the {len(train):,} training rows has two items, so there is nothing to predict")
    data = Epochs(
        lambda epoch: batches(windows, settings.batch_targets, [settings.seed, epoch]),
        partial(_batch, windows, teacher),
        settings.epochs,
    )
    stop = early_stopping(settings.patience)
    run = TrainingRun(settings, folder, _validator(validation, settings), stop, title="Training GRAM")
    with keeping_states(model, folder, in_half=in_bfloat16(settings.precision)):
        return run_training(_trainer(model, data, run))


def _trainer(model: GramNetwork, data: Epochs[NDArray[np.int64]], run: TrainingRun) -> ChoosingTrainer:
    encoder = model.text_encoder
    if encoder is None or encoder.frozen:
        return ChoosingTrainer(model, data, run)
    return TwoRatesTrainer(model, data, run, encoder.model.parameters(), encoder.settings.learning_rate)


def _batch(windows: Windows, teacher: DistillationTeacher | None, numbers: NDArray[np.int64]) -> dict[str, Tensor]:
    batch = windows.batch(numbers)
    if teacher is not None and teacher.has_soft_targets:
        batch["soft_targets"] = teacher.soft_targets(*windows.cases(numbers))
    return batch


def _validator(validation: Cases | None, settings: GramTrainingSettings) -> NdcgValidator | None:
    if validation is None or not len(validation):
        return None
    search = SearchSettings(num_beams=settings.validation_num_beams)
    return NdcgValidator(validation.sample(settings.validation_users, settings.seed), partial(_best_ten, search))


def _best_ten(search: SearchSettings, model: GramNetwork, histories: Sequences) -> NDArray[np.int32]:
    return GramSearcher(model, search).rank(histories, 10).items


# -------------------------------------------------------------------------------------------------------------- windows


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of users' items and where their targets begin.

    Attributes:
        rows: the items of each window, oldest first.
        first: int64 (windows,), the position of each window's first target.
        sources: int64 (windows,), the training row of each window.
    """

    rows: Sequences
    first: NDArray[np.int64]
    sources: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def targets(self) -> NDArray[np.int64]:
        """Number of targets of each window."""
        return self.rows.lengths - self.first

    def batch(self, numbers: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return windows as `GramNetwork.forward` takes them: items (B, M) and target positions (B, Q), −1 padded."""
        chosen, first, targets = self.rows.take(numbers), self.first[numbers], self.targets[numbers]
        position_BQ = first[:, None] + np.arange(targets.max())
        position_BQ[position_BQ >= chosen.lengths[:, None]] = -1
        items_BM = chosen.padded(int(chosen.lengths.max())).astype(np.int64)
        return {"items_BM": torch.from_numpy(items_BM), "targets_BQ": torch.from_numpy(position_BQ)}

    def cases(self, numbers: NDArray[np.int64]) -> tuple[Sequences, NDArray[np.int64]]:
        """Return the history and the training row of every target, in a batch's order."""
        chosen, first, targets = self.rows.take(numbers), self.first[numbers], self.targets[numbers]
        window = np.repeat(np.arange(len(numbers)), targets)
        within = np.arange(len(window)) - np.repeat(np.cumsum(targets) - targets, targets)
        return chosen.windows(chosen.offsets[:-1][window], first[window] + within), self.sources[numbers][window]


def packed_windows(train: Sequences, max_history: int) -> Windows:
    """Cut training rows into windows; rows of one item are left out."""
    half = max(1, max_history // 2)
    lengths = train.lengths
    later = np.maximum(-(-(lengths - max_history - 1) // half), 0)
    pieces = np.where(lengths >= 2, 1 + later, 0)
    number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    # window 0 covers positions 0 … max_history; targets of window n ≥ 1 begin at max_history + 1 + (n − 1) · half
    target = np.where(number == 0, 1, max_history + 1 + (number - 1) * half)
    start = np.where(number == 0, 0, np.maximum(target - (max_history - half) - 1, 0))
    stop = np.minimum(np.where(number == 0, max_history + 1, target + half), np.repeat(lengths, pieces))
    cut = train.windows(np.repeat(train.offsets[:-1], pieces) + start, stop - start)
    return Windows(cut, target - start, np.repeat(np.arange(len(train)), pieces))


def windows_per_prefix(train: Sequences, max_history: int) -> Windows:
    """Return every prefix as a window with one target: the reference's training rows (131,413 on Beauty)."""
    targets = np.maximum(train.lengths - 1, 0)
    position = np.arange(int(targets.sum())) - np.repeat(np.cumsum(targets) - targets, targets) + 1
    history = np.minimum(position, max_history)
    start = np.repeat(train.offsets[:-1], targets) + position - history
    return Windows(
        train.windows(start, history + 1), history.astype(np.int64), np.repeat(np.arange(len(train)), targets)
    )


def batches(windows: Windows, targets: int, seed: SequenceOf[int]) -> list[NDArray[np.int64]]:
    """Group windows of similar length into batches of about `targets` targets (at least one window's), in random order.

    The number of batches depends on the windows and `targets` alone, so that all epochs are equally long and a run can
    resume in the middle of one.
    """
    random = np.random.default_rng(seed)
    noisy_lengths = windows.rows.lengths * random.uniform(0.9, 1.1, len(windows))
    order = np.argsort(noisy_lengths, kind="stable")
    done = np.cumsum(windows.targets[order])
    total, most = int(done[-1]), int(windows.targets.max())
    # if each batch's share of the targets is at least the largest window, no batch is empty in any order
    count = min(max(1, round(total / targets)), total // most)
    bounds = np.searchsorted(done * count, np.arange(1, count) * total, side="right")
    parts = np.split(order, bounds)
    return [parts[number] for number in random.permutation(len(parts))]
