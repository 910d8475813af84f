import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lexirec.core.errors import ArtifactError, DataError, TrainingError
from lexirec.evaluation.metrics import ndcg, ranks_of
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.settings import SftSettings
from lexirec.models.tsrec.sft import _batch, fit_tsrec
from lexirec.models.tsrec.step_decoder import TSRecSearcher
from lexirec.nn.ragged import side_by_side
from lexirec.nn.search import SearchSettings
from lexirec.training.arguments import METRIC
from tests.worlds.ensemble import apart
from tests.worlds.tsrec_shop import KNOWN, PowerCutError, builder, examples, kill_after, shop, validation

SHORT = SftSettings(
    epochs=2, batch_size=16, learning_rate=3e-2, evals_per_epoch=1, checkpoints_per_epoch=3, weight_decay=0.1
)


def fit(model: TSRecNetwork, folder, settings: SftSettings = SHORT, cases=None):
    return fit_tsrec(model, examples(), settings, validation=cases, builder=builder(), folder=folder)


def ranked(model: TSRecNetwork, cases) -> float:
    found = TSRecSearcher(model, builder(), SearchSettings(num_beams=20)).rank(cases.histories, 10)
    return ndcg(ranks_of(found.items, cases.targets), 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    model, folder = shop(dropout=0.1), tmp_path_factory.mktemp("whole")
    return model, fit(model, folder, cases=validation()), folder


def test_batches_hold_questions_and_answers():
    whole = side_by_side([examples().prompts, examples().targets])
    rows = np.arange(40)
    batch = _batch(examples(), whole, None, rows)
    for row in rows:
        length = len(examples().prompts.row(row)) + len(examples().targets.row(row))
        ids = batch["input_ids"][row]
        assert ids[:length].tolist() == examples().prompts.row(row) + examples().targets.row(row)
        assert batch["attention_mask"][row].sum() == length
        assert ids[batch["starts"][row] : length].tolist() == examples().targets.row(row)
        labels = batch["labels"][row]
        assert labels[labels >= 0].tolist() == examples().targets.row(row)
        seen = batch["seen"][row]
        assert seen[seen >= 0].tolist() == examples().histories.row(row).tolist()
    assert torch.equal(batch["items"], examples().items[:40])


def test_fine_tuning_learns_what_comes_next(whole):
    model, curve, _ = whole
    losses = [row["loss"] for row in curve if "loss" in row]
    assert np.mean(losses[len(losses) // 2 :]) < np.mean(losses[: len(losses) // 2]) - 0.2
    best = max(row[METRIC] for row in curve if METRIC in row)
    assert ranked(model, validation()) == pytest.approx(best, abs=1e-6)
    assert best > ranked(shop(), validation()) + 0.1
    assert not model.training
    assert json.loads(json.dumps(curve)) == curve


def test_a_killed_run_carries_on_and_ends_as_if_it_had_not_been(whole, tmp_path):
    """The second process starts from other weights, so that whatever counts must have been saved."""
    kept, curve, _ = whole
    model = shop(dropout=0.1)
    kill_after(model, 9)
    with pytest.raises(PowerCutError):
        fit(model, tmp_path, cases=validation())
    resumed = shop(9, dropout=0.1)
    assert fit(resumed, tmp_path, cases=validation()) == curve
    assert apart(resumed.state_dict(), kept.state_dict()) == 0


def test_a_finished_run_is_read_not_run(whole):
    kept, curve, folder = whole
    model = shop(9, dropout=0.1)
    kill_after(model, 0)
    assert fit(model, folder, cases=validation()) == curve
    assert apart(model.state_dict(), kept.state_dict()) == 0


@pytest.mark.parametrize("tied", [True, False])
def test_added_rows_alone(tmp_path, tied):
    model, before = shop(dropout=0.1, tied=tied), shop(tied=tied).state_dict()
    fit(model, tmp_path, SHORT.model_copy(update={"trainable": "embeddings", "epochs": 1}))
    tables = {name for name in before if name.endswith(("embed_tokens.weight", "lm_head.weight"))}
    assert len(tables) == (1 if tied else 2)
    for name, value in model.state_dict().items():
        if name in tables:
            assert torch.equal(value[:KNOWN], before[name][:KNOWN])
            changed = (value[KNOWN:] != before[name][KNOWN:]).any(1)
            assert changed[:12].all()
        else:
            assert torch.equal(value, before[name])
    assert all(weight.requires_grad for weight in model.parameters())


def test_low_rank_updates_are_merged(tmp_path):
    """Killed on its way, too; the tokenizer's own rows and the norms stay what they were, bit for bit."""
    pytest.importorskip("peft")
    settings = SHORT.model_copy(update={"trainable": "lora", "epochs": 1})
    before = shop().state_dict()
    models = [shop(dropout=0.1) for _ in range(3)]
    curve = fit(models[0], tmp_path / "whole", settings, cases=validation())
    kill_after(models[1], 8)
    with pytest.raises(PowerCutError):
        fit(models[1], tmp_path / "killed", settings, cases=validation())
    assert fit(models[2], tmp_path / "killed", settings, cases=validation()) == curve
    assert apart(models[2].state_dict(), models[0].state_dict()) == 0
    after = models[0].state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name.split(".")[-2] for name in changed} == {
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        "embed_tokens",
    }
    assert all(name.endswith("weight") for name in changed)
    table = next(name for name in after if name.endswith("embed_tokens.weight"))
    assert torch.equal(after[table][:KNOWN], before[table][:KNOWN])
    best = max(row[METRIC] for row in curve if METRIC in row)
    assert ranked(models[0], validation()) == pytest.approx(best, abs=1e-6)


def test_partial_training_rests_on_the_weights_it_began_from(tmp_path):
    settings = SHORT.model_copy(update={"trainable": "embeddings", "epochs": 1})
    fit(shop(), tmp_path, settings)
    with pytest.raises(ArtifactError, match="started from other weights"):
        fit(shop(3), tmp_path, settings)


def test_a_grounded_head_is_trained_beside_frozen_layers(tmp_path):
    model, before = shop(head="grounded"), shop(head="grounded").state_dict()
    fit(model, tmp_path, SHORT.model_copy(update={"trainable": "embeddings", "epochs": 1}))
    assert not torch.equal(model.state_dict()["items.identity.weight"], before["items.identity.weight"])
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items() if ".mlp." in n)


def test_nothing_to_learn_from_is_refused(tmp_path):
    with pytest.raises(DataError, match="no training examples"):
        fit_tsrec(
            shop(), examples().take(np.array([], dtype=int)), SHORT, validation=None, builder=builder(), folder=tmp_path
        )


def test_nothing_is_printed(tmp_path, capsys):
    fit(shop(), tmp_path, SHORT.model_copy(update={"epochs": 1}), cases=validation(cases=2))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("trainable", ["full", "lora", "embeddings"])
@pytest.mark.parametrize("judged", [True, False])
def test_a_training_that_diverges_ends_in_one_line_and_keeps_nothing(trainable, judged, tmp_path):
    settings = SHORT.model_copy(update={"learning_rate": 1e38, "trainable": trainable})
    with pytest.raises(TrainingError, match=r"^Fine-tuning TS-Rec: the .* lower learning_rate \(1e\+38\)"):
        fit(shop(), tmp_path, settings, validation() if judged else None)
    for file in tmp_path.rglob("*.safetensors"):
        assert all(value.isfinite().all() for value in load_file(file).values() if value.is_floating_point())
