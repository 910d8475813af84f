"""Steps of a run: how many batches make one, how far each goes, which weights are kept, what a resumed run draws."""

import math

import pytest
import torch
from torch import nn

from lexirec.core.trainer_settings import TrainerSettings
from lexirec.training.arguments import early_stopping
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, run_training

RATE = 0.1


class Line(nn.Module):
    """One weight per column of the batch, dropout before it; keeps the batches that it has read."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.weight, self.dropout = nn.Parameter(torch.ones(4)), nn.Dropout(dropout)
        self.read: list[int] = []
        self.draws_more = False
        self.breaks_after: int | None = None

    def forward(self, number, values):
        self.read.append(int(number))
        if self.breaks_after is not None and len(self.read) > self.breaks_after:
            raise InterruptedError
        loss = (self.dropout(values) * self.weight).sum()
        if self.draws_more:
            torch.rand(3)
        return {"loss": loss}


class Scripted:
    """Validates by a list of figures, and keeps the weights that it has seen."""

    metric, sign = "score", 1

    def __init__(self, *figures: float) -> None:
        self.figures_left, self.seen = iter(figures), []

    def figures(self, model):
        self.seen.append(model.weight.detach().clone())
        return {"score": next(self.figures_left)}


def batch(number: int) -> dict[str, torch.Tensor]:
    return {"number": torch.tensor(number), "values": torch.tensor([1.0, -1.0, 2.0, 0.5]) * (1 + number)}


def run(model, folder, validator=None, *, per_epoch=4, columns=("learning_rate",), patience=99, **settings):
    chosen = TrainerSettings(**{"learning_rate": RATE, "epochs": 2, "warmup_ratio": 0.0, **settings})
    data = Epochs(lambda epoch: [per_epoch * epoch + part for part in range(per_epoch)], batch, chosen.epochs)
    how = TrainingRun(chosen, folder, validator, early_stopping(patience), columns=columns)
    return run_training(ChoosingTrainer(model, data, how))


def test_several_batches_make_a_step_by_the_mean_of_their_gradients(tmp_path):
    one, two = Line(), Line()
    curve = run(one, tmp_path / "one", gradient_accumulation_steps=2, max_grad_norm=1e9)
    assert one.read == list(range(8)), "every batch is read"
    assert curve[-1]["step"] == 4
    assert len(run(two, tmp_path / "two", max_grad_norm=1e9)) > len(curve)
    gradients = []
    one.weight.register_hook(lambda gradient: gradients.append(gradient.clone()))
    one.read.clear()
    run(one, tmp_path / "again", gradient_accumulation_steps=2, max_grad_norm=1e9)
    expected = [batch(number)["values"] / 2 for number in range(8)]
    assert all(torch.allclose(one_, two_) for one_, two_ in zip(gradients, expected, strict=True))


def test_the_learning_rate_rises_first_and_falls_as_a_cosine(tmp_path):
    curve = run(Line(), tmp_path, per_epoch=10, epochs=2, warmup_ratio=0.25)
    rates = {int(row["step"]): row["learning_rate"] for row in curve if "learning_rate" in row}
    assert len(rates) >= 19
    for step, rate in rates.items():
        done = step - 1  # the rate of a step depends on the steps before it: the first one is 0
        rising, falling = done / 5, 0.5 * (1 + math.cos(math.pi * (done - 5) / 15))
        assert rate == pytest.approx(RATE * (rising if done < 5 else falling), abs=1e-9), step


@pytest.mark.parametrize("figures", [(0.1, 0.3, 0.2, 0.2), (0.3, 0.1, 0.1, 0.2), (0.1, 0.2, 0.3, 0.3)])
def test_the_weights_of_the_best_validation_are_kept(tmp_path, figures):
    model, validator = Line(), Scripted(*figures)
    run(model, tmp_path, validator, evals_per_epoch=2)
    best = figures.index(max(figures))
    assert torch.equal(model.weight, validator.seen[best])
    assert not any(torch.equal(model.weight, each) for place, each in enumerate(validator.seen) if place != best)


def test_a_run_stops_when_nothing_has_improved_for_long_enough(tmp_path):
    model, validator = Line(), Scripted(0.3, 0.2, 0.1, 0.9)
    run(model, tmp_path, validator, evals_per_epoch=2, patience=2)
    assert len(validator.seen) == 3


@pytest.mark.parametrize("breaks_after", [1, 3, 4, 7])
@pytest.mark.parametrize("batches", [1, 2])
def test_a_resumed_run_draws_what_the_whole_one_drew(tmp_path, breaks_after, batches):
    how = {"gradient_accumulation_steps": batches, "checkpoints_per_epoch": 2}
    whole, broken, resumed = (Line(dropout=0.5) for _ in range(3))
    torch.manual_seed(1)
    curve = run(whole, tmp_path / "whole", **how)
    broken.breaks_after = breaks_after
    torch.manual_seed(2)
    with pytest.raises(InterruptedError):
        run(broken, tmp_path / "broken", **how)
    torch.manual_seed(3)
    assert run(resumed, tmp_path / "broken", **how) == curve
    assert torch.equal(resumed.weight, whole.weight)
    assert len(resumed.read) < 8 or breaks_after < 2 * batches, "from a checkpoint where there is one"


def test_the_numbers_of_a_step_depend_on_the_step_alone(tmp_path):
    """Whatever else draws random numbers, such as a validation that a resumed run does not repeat, changes nothing."""
    quiet, busy = Line(dropout=0.5), Line(dropout=0.5)
    busy.draws_more = True
    run(quiet, tmp_path / "quiet", gradient_accumulation_steps=2)
    run(busy, tmp_path / "busy", gradient_accumulation_steps=2)
    assert torch.equal(quiet.weight, busy.weight)


def test_dropout_differs_between_the_batches_of_a_step_and_between_steps(tmp_path):
    masks = []
    model = Line(dropout=0.5)
    model.dropout.register_forward_hook(lambda module, given, result: masks.append(tuple((result != 0).tolist())))
    run(model, tmp_path, gradient_accumulation_steps=2, per_epoch=20)
    assert len(masks) == 40
    assert all(len(set(masks[part::2])) > 4 for part in (0, 1)), "of sixteen masks, several turn up"
    assert masks[::2] != masks[1::2]
