"""Training with two learning rates: pretrained weights move slower than fresh ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun


class TwoRatesTrainer(ChoosingTrainer):
    """The trainer with another learning rate for some weights; the schedule is the same for all."""

    def __init__(
        self,
        model: nn.Module,
        data: Epochs[Any],
        run: TrainingRun,
        others: Iterable[nn.Parameter],
        learning_rate: float,
    ) -> None:
        """Prepare the run; `others` are the weights that learn at `learning_rate`."""
        self._others, self._rate = {id(weight) for weight in others}, learning_rate
        super().__init__(model, data, run)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Split every group of weights in two, before the schedule multiplies the groups' rates."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer = super().create_optimizer(*args, **kwargs)
        for group in list(optimizer.param_groups):
            moved = [weight for weight in group["params"] if id(weight) in self._others]
            group["params"] = [weight for weight in group["params"] if id(weight) not in self._others]
            if moved:
                optimizer.add_param_group({**group, "params": moved, "lr": self._rate})
        return optimizer
