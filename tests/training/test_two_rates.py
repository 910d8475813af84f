import contextlib

import numpy as np
import torch
from torch import nn

from lexirec.core.trainer_settings import TrainerSettings
from lexirec.training.arguments import early_stopping
from lexirec.training.trainer import Epochs, TrainingRun, run_training
from lexirec.training.two_rates import TwoRatesTrainer

SETTINGS = TrainerSettings(epochs=4, learning_rate=1e-2, weight_decay=0.1, warmup_ratio=0.0, checkpoints_per_epoch=1)
STEPS = 5


class Pair(nn.Module):
    """Two layers with equal weights and equal gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh, self.pretrained = nn.Linear(3, 2), nn.Linear(3, 2)
        with torch.no_grad():
            for layer in (self.fresh, self.pretrained):
                layer.weight.fill_(0.5)
                layer.bias.fill_(0.5)

    def forward(self, inputs):
        return {"loss": (self.fresh(inputs) + self.pretrained(inputs)).square().mean()}


def trainer(folder, rate: float = 1e-4) -> TwoRatesTrainer:
    model = Pair()
    data = Epochs(lambda _: list(range(STEPS)), lambda number: {"inputs": torch.full((4, 3), 1.0 + number)}, 4)
    run = TrainingRun(SETTINGS, folder, None, early_stopping(3))
    return TwoRatesTrainer(model, data, run, model.pretrained.parameters(), rate)


def test_weights_learn_at_their_own_rate_on_one_schedule(tmp_path):
    made = trainer(tmp_path)
    start = {name: weight.detach().clone() for name, weight in made.model.named_parameters()}
    run_training(made)
    moved = {name: float((weight.detach() - start[name]).abs().max()) for name, weight in made.model.named_parameters()}
    for part in ("weight", "bias"):
        assert np.isclose(moved[f"fresh.{part}"] / moved[f"pretrained.{part}"], 100, rtol=0.35)
    groups = made.optimizer.param_groups
    assert sorted(group["initial_lr"] for group in groups) == [1e-4, 1e-4, 1e-2, 1e-2]
    assert sorted(group["weight_decay"] for group in groups) == [0, 0, 0.1, 0.1]
    assert sum(len(group["params"]) for group in groups) == 4
    assert all(group["lr"] < group["initial_lr"] * 1e-6 for group in groups)  # the schedule has run out


def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path):
    whole = trainer(tmp_path / "whole")
    run_training(whole)
    cut = trainer(tmp_path / "cut")
    left = iter(range(STEPS + 2))

    def stop(*_):
        if next(left, None) is None:
            raise KeyboardInterrupt

    cut.model.register_forward_pre_hook(stop)
    with contextlib.suppress(KeyboardInterrupt):
        run_training(cut)
    again = trainer(tmp_path / "cut")
    assert again.run.checkpoint() is not None
    run_training(again)
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], weight)
