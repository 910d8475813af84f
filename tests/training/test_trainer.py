import pytest
import torch
from safetensors.torch import load_file, save_file

from lexirec.core.divergence import Watch
from lexirec.core.errors import TrainingError
from lexirec.models.gram.settings import GramTrainingSettings
from lexirec.training.arguments import early_stopping
from lexirec.training.trainer import BEST, ChoosingTrainer, Epochs, TrainingRun, run_training


class Less:
    metric, sign = "perplexity", -1

    def figures(self, model):
        return {"perplexity": 1.0}


def test_a_run_reads_its_log_in_the_judge_s_sense(tmp_path):
    run = TrainingRun(GramTrainingSettings(), tmp_path, Less(), early_stopping(1))
    log = [{"loss": 3.0}, {"perplexity": 9.0}, {"loss": 2.0}, {"perplexity": 5.0}]
    assert run.validation_scores(log) == [-9.0, -5.0]
    assert not run.finished(log)
    assert run.finished([*log, {"perplexity": 6.0}])
    assert not run.finished([{"loss": 3.0}])
    assert not TrainingRun(GramTrainingSettings(), tmp_path, None, early_stopping(1)).finished(log)


def test_epochs_lie_one_after_another():
    asked = []

    def order(epoch):
        asked.append(epoch)
        return [10 * epoch + part for part in range(3)]

    data = Epochs(order, lambda part: {"part": torch.tensor(part)}, epochs=3)
    assert (data.per_epoch, len(data)) == (3, 9)
    assert [int(data[number]["part"]) for number in (0, 2, 3, 8)] == [0, 2, 10, 22]
    assert asked == [0, 1, 2]


class Slope(torch.nn.Module):
    """One weight whose loss is the weight, until a step spoils its loss, its gradient or the step itself."""

    def __init__(self, spoil: str, step: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.spoil, self.step, self.seen = spoil, step, 0

    def forward(self, part):
        self.seen += 1
        loss = self.weight.sum()
        if self.seen != self.step or self.spoil == "nothing":
            return {"loss": loss}
        # the square root of 0 is 0, its gradient is not finite
        return {"loss": loss * torch.nan if self.spoil == "loss" else loss + (self.weight - self.weight).sqrt().sum()}


class Weighing:
    metric, sign = "sum", 1

    def __init__(self, values=()):
        self.values = iter(values)

    def figures(self, model):
        return {"sum": next(self.values, float(model.weight.detach().sum()))}


def train(folder, model, *, validator=None, **settings):
    chosen = GramTrainingSettings(**{"epochs": 3, "evals_per_epoch": 2, "checkpoints_per_epoch": 2, **settings})
    data = Epochs(lambda epoch: range(4), lambda part: {"part": torch.tensor(part)}, chosen.epochs)
    run = TrainingRun(chosen, folder, validator, early_stopping(99), columns=("sum",), title="Training the slope")
    return run_training(ChoosingTrainer(model, data, run))


@pytest.mark.parametrize(
    ("spoil", "named"), [("loss", "the loss is nan"), ("gradient", "the gradient norm is (inf|nan)")]
)
@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.9}])
def test_a_loss_or_gradient_that_is_not_finite_ends_the_run_in_one_line(spoil, named, settings, tmp_path):
    told = rf"^Training the slope: {named} at step 7 of 12 \(epoch 2\); .* lower learning_rate \(0\.002\)[^\n]*$"
    with pytest.raises(TrainingError, match=told):
        train(tmp_path, Slope(spoil, 7), validator=Weighing(), **settings)
    saved = list(tmp_path.rglob("*.safetensors"))
    assert (tmp_path / BEST) in saved
    assert all(value.isfinite().all() for file in saved for value in load_file(file).values())
    # a second call resumes before the spoilt step and, without it, ends well
    assert len(train(tmp_path, Slope("nothing", 0), validator=Weighing(), **settings)) > 6


def test_a_step_too_far_is_neither_saved_nor_chosen(tmp_path):
    for validator in (None, Weighing()):
        folder = tmp_path / str(validator is None)
        with pytest.raises(TrainingError, match=r"the weight 'weight' is not finite after step|the loss is -?inf"):
            train(folder, Slope("nothing", 0), validator=validator, learning_rate=3e38, warmup_ratio=0.0)
        assert all(
            value.isfinite().all() for file in folder.rglob("*.safetensors") for value in load_file(file).values()
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_never_wins(value, tmp_path):
    with pytest.raises(TrainingError, match=rf"sum is {value} after step 4"):
        train(tmp_path, Slope("nothing", 0), validator=Weighing([1.0, value, 0.5]))


def test_weights_that_an_earlier_version_kept_are_refused(tmp_path):
    train(tmp_path, Slope("nothing", 0), validator=Weighing())
    save_file({"weight": torch.full((3,), torch.nan)}, tmp_path / BEST)
    with pytest.raises(TrainingError, match="the weight 'weight' is not finite"):
        train(tmp_path, Slope("nothing", 0), validator=Weighing())


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
def test_where_looking_at_once_costs_time_the_run_ends_before_anything_is_saved(spoil, tmp_path, monkeypatch):
    note = Watch.note

    def later(watch, step, what, value, *, at_once):
        note(watch, step, what, value, at_once=False)  # as on an accelerator

    monkeypatch.setattr(Watch, "note", later)
    named = {"loss": "the loss is nan", "gradient": "the gradient norm is (inf|nan)"}
    with pytest.raises(TrainingError, match=rf"{named[spoil]} at step 6 of 12 \(epoch 2\)"):
        train(tmp_path, Slope(spoil, 6), validator=Weighing())
    assert all(value.isfinite().all() for file in tmp_path.rglob("*.safetensors") for value in load_file(file).values())
