import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lexirec.core.errors import ArtifactError, DataError, TrainingError
from lexirec.data.splits import prefix_cases
from lexirec.evaluation.metrics import ndcg, ranks_of
from lexirec.models.tsrec.grpo import COLUMNS, reinforce, stop_on_drop
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.rewards import Rewards
from lexirec.models.tsrec.settings import GrpoSettings, RewardSettings, SftSettings
from lexirec.models.tsrec.sft import fit_tsrec
from lexirec.models.tsrec.step_decoder import TSRecSearcher
from lexirec.nn.search import SearchSettings
from lexirec.training.arguments import METRIC
from tests.worlds.ensemble import apart
from tests.worlds.tsrec_shop import TRAIN, PowerCutError, builder, examples, kill_after, shop, validation

CASES = prefix_cases(TRAIN, 3)
TWICE = {"updates": 2, "gradient_accumulation_steps": 2, "clip": 0.01}
SHORT = GrpoSettings(
    batch_size=16, group=8, learning_rate=5e-3, evals_per_epoch=2, checkpoints_per_epoch=3, max_drop=1.0
)


def polish(
    model: TSRecNetwork, folder, settings: GrpoSettings = SHORT, *, cases=None, rewards=None, judge=True, seen=CASES
):
    return reinforce(
        model,
        seen,
        settings,
        validation=(validation() if cases is None else cases) if judge else None,
        builder=builder(),
        rewards=rewards or Rewards.of(RewardSettings(), model.trie),
        folder=folder,
    )


def ranked(model: TSRecNetwork, cases) -> float:
    found = TSRecSearcher(model, builder(), SearchSettings(num_beams=20)).rank(cases.histories, 10)
    return ndcg(ranks_of(found.items, cases.targets), 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts, with two updates on each proposal."""
    model, folder = shop(), tmp_path_factory.mktemp("whole")
    return model, polish(model, folder, SHORT.model_copy(update=TWICE)), folder


def test_the_curve_begins_with_the_weights_that_came(whole):
    _, curve, _ = whole
    judged = [row for row in curve if METRIC in row]
    assert judged[0]["step"] == 0
    assert judged[0][METRIC] == pytest.approx(ranked(shop(), validation()), abs=1e-6)
    assert len(judged) >= 3
    told = [row for row in curve if "loss" in row]
    assert all(set(COLUMNS) <= row.keys() for row in told)
    for row in told:
        assert row["diversity"] == 1  # beams are different items
        assert 0 < row["coverage"] <= 1
        assert 0 <= row["hits"] <= 1 - row["zero_advantage"] + 1e-9
        assert 0 < row["entropy"] < np.log(6) + 1e-6
        assert row["kl"] >= 0
    assert any(row["clipped"] > 0 for row in told)


def test_what_remains_is_never_worse_than_what_came(whole):
    model, curve, _ = whole
    best = max(row[METRIC] for row in curve if METRIC in row)
    assert ranked(model, validation()) == pytest.approx(best, abs=1e-6)
    assert not model.training


def test_a_killed_run_carries_on_and_ends_as_if_it_had_not_been(whole, tmp_path):
    kept, curve, _ = whole
    settings = SHORT.model_copy(update=TWICE)
    killed, resumed = shop(), shop()
    kill_after(killed.backbone.model, 10)
    with pytest.raises(PowerCutError):
        polish(killed, tmp_path, settings)
    assert (tmp_path / "checkpoint-2").is_dir()
    assert polish(resumed, tmp_path, settings) == curve
    assert apart(resumed.state_dict(), kept.state_dict()) == 0


def test_a_run_belongs_to_the_weights_it_began_from(whole):
    _, _, folder = whole
    with pytest.raises(ArtifactError, match="started from other weights"):
        polish(shop(4), folder)


def test_rewards_rise(tmp_path):
    """Paid for one item whatever the history, the policy learns to propose it first."""
    wanted = torch.tensor(17)

    def always(items_BG, *, target_B, **columns):
        return (items_BG == wanted).float()

    model = shop()
    rewards = Rewards.of(RewardSettings(), model.trie)
    rewards = Rewards({"always": (1.0, always)}, rewards.columns)
    settings = SHORT.model_copy(update={"group": 30, "beta": 0.0, "epochs": 2, "learning_rate": 2e-2})
    curve = polish(model, tmp_path, settings, rewards=rewards, judge=False)
    assert all("kl" not in row for row in curve)
    found = TSRecSearcher(model, builder(), SearchSettings(num_beams=20)).rank(CASES.histories, 5)
    before = TSRecSearcher(shop(), builder(), SearchSettings(num_beams=20)).rank(CASES.histories, 5)
    assert (found.items[:, 0] == 17).mean() > 0.8 > 0.2 > (before.items[:, 0] == 17).mean()


def worse(items_BG, *, target_B, **columns):
    return -(items_BG == target_B[:, None]).float()


def test_a_drop_ends_the_run_and_the_best_weights_remain(tmp_path, caplog):
    """The target is fined: validation must fall."""
    model = shop()
    learned = SftSettings(epochs=2, batch_size=16, learning_rate=3e-2, warmup_ratio=0.0)
    fit_tsrec(model, examples(), learned, validation=validation(), builder=builder(), folder=tmp_path / "sft")
    settings = SHORT.model_copy(update={"learning_rate": 3e-2, "max_drop": 0.2, "epochs": 20, "beta": 0.0})
    rewards = Rewards({"worse": (1.0, worse)}, {})
    with caplog.at_level(logging.INFO):
        curve = polish(model, tmp_path / "rl", settings, rewards=rewards)
    judged = {row["step"]: row[METRIC] for row in curve if METRIC in row}
    first, *between, last = judged.values()
    assert last < 0.8 * first
    assert all(value >= 0.8 * first for value in between)
    best = max(judged, key=judged.__getitem__)
    assert ranked(model, validation()) == pytest.approx(judged[best], abs=1e-6)
    assert "validation NDCG@10 fell from" in caplog.text
    assert f"kept the weights of step {best:.0f}" in caplog.text


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_groups_that_teach_nothing_are_left_out_or_held(tmp_path, beta):
    """Without a KL both ways are the same; with one they are not."""
    after = []
    for zero_groups in ("skip", "kl"):
        model = shop()
        settings = SHORT.model_copy(update={"zero_groups": zero_groups, "beta": beta, "group": 3})
        curve = polish(model, tmp_path / zero_groups, settings, judge=False)
        after.append(model.state_dict())
        assert any(0 < row["zero_advantage"] < 1 for row in curve)
    difference = apart(*after)
    assert difference < 1e-4 if beta == 0 else difference > 1e-4


def test_without_any_reward_nothing_moves(tmp_path):
    model, before = shop(), shop().state_dict()
    nothing = Rewards({"nothing": (1.0, lambda items_BG, **columns: 0.0 * items_BG)}, {})
    curve = polish(model, tmp_path, rewards=nothing, judge=False)
    assert apart(model.state_dict(), before) == 0
    assert all(row["zero_advantage"] == 1 for row in curve)
    assert all(row["loss"] == 0 for row in curve)


def test_the_target_may_be_put_into_every_group(tmp_path):
    settings = SHORT.model_copy(update={"add_target": True, "group": 4, "learning_rate": 1e-9})
    curve = polish(shop(), tmp_path, settings, judge=False)
    assert all(row["zero_advantage"] == 0 for row in curve)
    assert all(row["hits"] < 1 for row in curve)  # of the search alone


def test_only_so_many_cases_are_used(tmp_path):
    settings = SHORT.model_copy(update={"cases": 20, "checkpoints_per_epoch": 1})
    curve = polish(shop(), tmp_path, settings, judge=False)
    assert max(row["step"] for row in curve) == 2


def test_the_gate():
    stop = stop_on_drop(0.1)
    assert not stop([0.5])
    assert not stop([0.5, 0.451, 0.6])
    assert stop([0.5, 0.6, 0.449])


def test_no_cases_are_refused(tmp_path):
    with pytest.raises(DataError, match="no training cases"):
        polish(shop(), tmp_path, seen=CASES.take(np.array([], dtype=int)))


@pytest.mark.parametrize("judge", [True, False])
def test_a_training_that_diverges_ends_in_one_line_and_keeps_nothing(judge, tmp_path):
    settings = SHORT.model_copy(update={"learning_rate": 1e38})
    with pytest.raises(
        TrainingError, match=r"^(Reinforcing TS-Rec: the .* lower learning_rate|the model's scores are NaN)"
    ):
        polish(shop(), tmp_path, settings, judge=judge)
    for file in tmp_path.rglob("*.safetensors"):
        assert all(value.isfinite().all() for value in load_file(file).values() if value.is_floating_point())


def test_weights_that_are_not_finite_are_not_reinforced(tmp_path):
    model = shop()
    with torch.no_grad():
        model.backbone.model.norm.weight[0] = torch.nan
    with pytest.raises(TrainingError, match=r"the weight 'backbone\.model\.norm\.weight' is not finite after step 0"):
        polish(model, tmp_path)


def test_a_reward_that_is_not_finite_is_named(tmp_path):
    model = shop()
    wanted = Rewards.of(RewardSettings(), model.trie)
    spoilt = wanted.plus("mine", 0.5, lambda items_BG, **columns: torch.full(items_BG.shape, torch.nan))
    with pytest.raises(DataError, match=r"rewards\.mine: NaN or infinity for 1[46] of 1[46] cases"):
        polish(model, tmp_path, rewards=spoilt)
