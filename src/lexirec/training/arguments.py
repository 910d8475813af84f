"""What every training run is given: settings of the optimiser and schedule, and validators that choose weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.metrics import ndcg, ranks_of, recall


class TrainerArguments(Protocol):
    """Settings that every training has (`core.trainer_settings.TrainerSettings`)."""

    @property
    def learning_rate(self) -> float:
        """Of AdamW, after the warm-up and before the decay."""

    @property
    def schedule(self) -> str:
        """How the learning rate falls after the warm-up: `cosine`, `linear` or `inverse-sqrt`."""

    @property
    def weight_decay(self) -> float:
        """Of matrices."""

    @property
    def warmup_ratio(self) -> float:
        """Share of the steps in which the learning rate rises."""

    @property
    def gradient_accumulation_steps(self) -> int:
        """Batches whose gradients make one step."""

    @property
    def max_grad_norm(self) -> float:
        """Global norm at which gradients are clipped."""

    @property
    def ema_decay(self) -> float:
        """Decay of the moving average of weights that is validated and kept; 0 for none."""

    @property
    def evals_per_epoch(self) -> int:
        """Number of validations per epoch."""

    @property
    def checkpoints_per_epoch(self) -> int:
        """Number of checkpoints per epoch."""

    @property
    def precision(self) -> str:
        """Of products: auto, float32 or bfloat16."""

    @property
    def seed(self) -> int:
        """Of order and dropout."""


# ----------------------------------------------------------------------------------------------------------- validators
# Weights are chosen by the metric they are used for, never by the training loss.


METRIC = "validation_ndcg@10"
"""Metric that chooses a recommender's weights."""


Stop = Callable[[Sequence[float]], bool]
"""Stopping rule: from the metric of all validations so far (greater is better) to whether the run should end."""


class Validator(Protocol):
    """Measures the weights of a model during training."""

    @property
    def metric(self) -> str:
        """Name of the metric that chooses the weights."""

    @property
    def sign(self) -> int:
        """1 if greater is better, −1 if smaller is."""

    def figures(self, model: Any) -> dict[str, float]:
        """Return the metrics of a model's present weights, `metric` among them."""


class NdcgValidator:
    """Measures NDCG@10 and recall@10 of validation cases."""

    metric, sign = METRIC, 1

    def __init__(self, cases: Cases, rank: Callable[[Any, Sequences], NDArray[np.int32]]) -> None:
        """Hold the cases, and a function that ranks the ten best items (rows, 10) of histories with a model."""
        self._cases, self._rank = cases, rank

    def figures(self, model: nn.Module) -> dict[str, float]:
        """Rank every case; the model is returned to training mode."""
        ranks = ranks_of(self._rank(model, self._cases.histories), self._cases.targets)
        model.train()
        return {METRIC: ndcg(ranks, 10), "validation_recall@10": recall(ranks, 10)}


def early_stopping(most: int) -> Stop:
    """Stop when the last `most` validations brought no improvement."""
    return lambda values: len(values) - 1 - int(np.argmax(values)) >= most
