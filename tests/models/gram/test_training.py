import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lexirec.core.errors import DataError, TrainingError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.metrics import ndcg, ranks_of
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.settings import GramTrainingSettings
from lexirec.models.gram.step_decoder import GramSearcher
from lexirec.models.gram.training import fit_gram
from lexirec.nn.search import SearchSettings
from lexirec.testing import circle_walks
from lexirec.training.arguments import METRIC
from tests.worlds.ensemble import ITEMS, apart, fusion

CHOSEN = {"head": "grounded", "user_prompt": "grounded", "item_prompts": False}
TRAIN = circle_walks(ITEMS, shoppers=60)
STEPS = 13  # an epoch at batch_targets = 22
SHORT = GramTrainingSettings(epochs=2, batch_targets=22, learning_rate=5e-3, checkpoints_per_epoch=3)

LIGHT = {"epochs": 1, "learning_rate": 1e-12, "checkpoints_per_epoch": 1}


def validation(step: int = 1, cases: int = 24) -> Cases:
    """Cases whose target is so many places further round the circle."""
    starts = np.arange(cases)
    histories = Sequences.from_lists([[(start + i) % ITEMS for i in range(3)] for start in starts])
    return Cases(starts, ((starts + 2 + step) % ITEMS).astype(np.int32), histories)


class PowerCutError(Exception):
    """What stands for a kill."""


def kill_after(model: GramNetwork, passes: int) -> None:
    """Let the model break off at some forward pass of its training."""
    left = iter(range(passes))

    def count(module, inputs):
        if module.training and next(left, None) is None:
            raise PowerCutError

    model.register_forward_pre_hook(count)


def ranked(model: GramNetwork, cases: Cases) -> float:
    found = GramSearcher(model, SearchSettings(num_beams=20)).rank(cases.histories, 10)
    return ndcg(ranks_of(found.items, cases.targets), 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts: its model, its curve and its folder."""
    model, folder = fusion(dropout=0.1, **CHOSEN), tmp_path_factory.mktemp("whole")
    curve = fit_gram(model, TRAIN, SHORT, validation=validation(), folder=folder)
    return model, curve, folder


def test_training_learns_what_comes_next(whole):
    model, curve, _ = whole
    losses = [row["loss"] for row in curve if "loss" in row]
    assert losses[-1] < losses[0] - 0.5
    assert ranked(model, validation()) > ranked(fusion(**CHOSEN), validation()) + 0.1
    assert not model.training


def test_curve_says_when_and_how_good(whole):
    _, curve, _ = whole
    chosen = [row for row in curve if METRIC in row]
    assert [row["step"] for row in chosen] == [STEPS, 2 * STEPS]
    assert [row["epoch"] for row in chosen] == pytest.approx([0.5, 1])
    assert all(0 <= row[METRIC] <= row["validation_recall@10"] <= 1 for row in chosen)
    assert [row["step"] for row in curve] == sorted(row["step"] for row in curve)
    assert json.loads(json.dumps(curve)) == curve


@pytest.mark.parametrize("passes", [0, 3, 7, STEPS, STEPS + 5, 2 * STEPS - 1])
def test_a_killed_run_carries_on_and_ends_as_if_it_had_not_been(whole, tmp_path, passes):
    """The second process starts from other weights, so that whatever counts must have been saved."""
    kept, curve, _ = whole
    model = fusion(dropout=0.1, **CHOSEN)
    kill_after(model, passes)
    with pytest.raises(PowerCutError):
        fit_gram(model, TRAIN, SHORT, validation=validation(), folder=tmp_path)
    resumed = fusion(9 if passes >= 4 else 0, dropout=0.1, **CHOSEN)
    assert fit_gram(resumed, TRAIN, SHORT, validation=validation(), folder=tmp_path) == curve
    assert all(torch.equal(value, kept.state_dict()[key]) for key, value in resumed.state_dict().items())


@pytest.mark.parametrize("judged", [True, False])
def test_a_killed_run_with_averaged_weights_carries_on_too(tmp_path, judged):
    settings, cases = SHORT.model_copy(update={"ema_decay": 0.9}), validation() if judged else None
    whole, plain, killed, resumed = (fusion(dropout=0.1, **CHOSEN) for _ in range(4))
    curve = fit_gram(whole, TRAIN, settings, validation=cases, folder=tmp_path / "whole")
    fit_gram(plain, TRAIN, SHORT, validation=cases, folder=tmp_path / "plain")
    assert apart(whole.state_dict(), plain.state_dict()) > 0
    if judged:
        assert ranked(whole, cases) == pytest.approx(max(row[METRIC] for row in curve if METRIC in row), abs=1e-6)
    kill_after(killed, 2 * STEPS - 1)
    with pytest.raises(PowerCutError):
        fit_gram(killed, TRAIN, settings, validation=cases, folder=tmp_path / "killed")
    assert fit_gram(resumed, TRAIN, settings, validation=cases, folder=tmp_path / "killed") == curve
    assert apart(resumed.state_dict(), whole.state_dict()) == 0


def test_killed_again_and_again(whole, tmp_path):
    kept, curve, _ = whole
    for passes in (5, 6, 9):
        model = fusion(dropout=0.1, **CHOSEN)
        kill_after(model, passes)
        with pytest.raises(PowerCutError):
            fit_gram(model, TRAIN, SHORT, validation=validation(), folder=tmp_path)
    model = fusion(dropout=0.1, **CHOSEN)
    assert fit_gram(model, TRAIN, SHORT, validation=validation(), folder=tmp_path) == curve
    assert apart(model.state_dict(), kept.state_dict()) == 0


def test_accumulated_steps_carry_on_too(tmp_path):
    settings = SHORT.model_copy(update={"gradient_accumulation_steps": 2, "epochs": 1})
    whole, killed, resumed = (fusion(dropout=0.1, **CHOSEN) for _ in range(3))
    curve = fit_gram(whole, TRAIN, settings, validation=None, folder=tmp_path / "whole")
    kill_after(killed, 7)
    with pytest.raises(PowerCutError):
        fit_gram(killed, TRAIN, settings, validation=None, folder=tmp_path / "killed")
    assert fit_gram(resumed, TRAIN, settings, validation=None, folder=tmp_path / "killed") == curve
    assert apart(resumed.state_dict(), whole.state_dict()) == 0


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))


@pytest.mark.parametrize("damage", ["absent", "cut"])
def test_a_checkpoint_that_was_cut_off_is_passed_over(whole, tmp_path, damage, caplog):
    kept, curve, folder = whole
    shutil.copytree(folder, tmp_path / "run")
    newest = checkpoints(tmp_path / "run")[-1]
    state = newest / "trainer_state.json"
    if damage == "absent":
        state.unlink()
    else:
        state.write_text(state.read_text(encoding="utf-8")[:100], encoding="utf-8")
    model = fusion(9, dropout=0.1, **CHOSEN)
    with caplog.at_level(logging.WARNING):
        assert fit_gram(model, TRAIN, SHORT, validation=validation(), folder=tmp_path / "run") == curve
    assert f"{newest.name} is incomplete" in caplog.text
    assert apart(model.state_dict(), kept.state_dict()) == 0


def test_a_finished_run_is_not_trained_any_further(whole, tmp_path):
    kept, curve, folder = whole
    shutil.copytree(folder, tmp_path / "run")
    model = fusion(9, dropout=0.1, **CHOSEN)
    kill_after(model, 0)
    assert fit_gram(model, TRAIN, SHORT, validation=validation(), folder=tmp_path / "run") == curve
    assert apart(model.state_dict(), kept.state_dict()) == 0


PATIENT = SHORT.model_copy(
    update={"epochs": 6, "learning_rate": 1e-12, "patience": 2, "evals_per_epoch": 2, "checkpoints_per_epoch": 2}
)


def test_patience_ends_a_run_that_does_not_get_better(tmp_path):
    """At a learning rate of nothing all choices are alike: the first is the best, two more are waited for."""
    curve = fit_gram(fusion(**CHOSEN), TRAIN, PATIENT, validation=validation(), folder=tmp_path)
    assert [row["step"] for row in curve if METRIC in row] == [STEPS // 2, STEPS // 2 * 2, STEPS // 2 * 3]


def test_a_run_that_patience_ended_stays_ended(tmp_path):
    """PowerCutError after its last checkpoint and before its weights were used, it must not train any further."""
    one, two = fusion(**CHOSEN), fusion(9, **CHOSEN)
    curve = fit_gram(one, TRAIN, PATIENT, validation=validation(), folder=tmp_path)
    kill_after(two, 0)
    assert fit_gram(two, TRAIN, PATIENT, validation=validation(), folder=tmp_path) == curve
    assert apart(one.state_dict(), two.state_dict()) == 0


def test_the_weights_of_the_best_choice_are_kept(tmp_path):
    """Nobody buys a thing twice, and the choice asks for the last item again: learning does not make that better."""
    model, again = fusion(no_repeat=False, **CHOSEN), validation(step=0)
    settings = SHORT.model_copy(update={"evals_per_epoch": 4, "patience": 20})
    curve = fit_gram(model, TRAIN, settings, validation=again, folder=tmp_path)
    values = [row[METRIC] for row in curve if METRIC in row]
    assert values[-1] < max(values) - 0.02
    assert ranked(model, again) == pytest.approx(max(values), abs=1e-6)


def test_without_validation_the_last_weights_are_kept(tmp_path):
    model = fusion(**CHOSEN)
    curve = fit_gram(model, TRAIN, SHORT, validation=None, folder=tmp_path)
    assert all("loss" in row for row in curve)
    last = load_file(checkpoints(tmp_path)[-1] / "model.safetensors")
    assert apart(model.state_dict(), last) == 0


def test_packed_and_separate_windows_train_on_the_same_targets(tmp_path):
    """At a learning rate of nothing the mean losses of an epoch are the same, but for the weights of the batches."""
    losses = []
    for packed in (True, False):
        settings = SHORT.model_copy(update={**LIGHT, "packed": packed})
        curve = fit_gram(fusion(**CHOSEN), TRAIN, settings, validation=None, folder=tmp_path / str(packed))
        losses.append(np.mean([row["loss"] for row in curve]))
    assert losses[0] == pytest.approx(losses[1], abs=0.1)


def test_the_choice_is_made_by_a_fixed_sample(tmp_path):
    settings = SHORT.model_copy(update={**LIGHT, "validation_users": 7})
    curves = [
        fit_gram(fusion(**CHOSEN), TRAIN, settings, validation=validation(cases=cases), folder=tmp_path / str(n))
        for n, cases in enumerate((24, 24, 7))
    ]
    values = [[row[METRIC] for row in curve if METRIC in row] for curve in curves]
    assert values[0] == values[1]
    assert values[0] != values[2]


def test_rows_of_one_item_cannot_be_learned_from(tmp_path):
    with pytest.raises(DataError, match=r"none of the 2 training rows has two items"):
        fit_gram(fusion(**CHOSEN), Sequences.from_lists([[1], [2]]), SHORT, validation=None, folder=tmp_path / "none")


def test_nothing_is_printed(tmp_path, capsys):
    settings = SHORT.model_copy(update={"epochs": 1})
    fit_gram(fusion(**CHOSEN), TRAIN, settings, validation=validation(cases=3), folder=tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("chosen", [{}, CHOSEN])
@pytest.mark.parametrize("judged", [True, False])
def test_a_training_that_diverges_ends_in_one_line_and_keeps_nothing(chosen, judged, tmp_path):
    settings = SHORT.model_copy(update={"learning_rate": 1e30})
    cases = validation() if judged else None
    with pytest.raises(TrainingError, match=r"^Training GRAM: the .* lower learning_rate \(1e\+30\) or max_grad_norm"):
        fit_gram(fusion(**chosen), TRAIN, settings, validation=cases, folder=tmp_path)
    for file in tmp_path.rglob("*.safetensors"):
        assert all(value.isfinite().all() for value in load_file(file).values() if value.is_floating_point())


@pytest.mark.parametrize("chosen", [{}, CHOSEN])
def test_a_model_without_finite_weights_lists_nothing_and_says_so(chosen):
    model = fusion(**chosen)
    with torch.no_grad():
        model.backbone.decoder.final_layer_norm.weight[0] = torch.nan
    with pytest.raises(TrainingError, match="the model's scores are NaN for 24 of 24 histories"):
        ranked(model, validation())
