import json

import numpy as np
import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.ensemble.weights import (
    Candidates,
    EnsembleWeights,
    choose_weights,
    chosen_cases,
    coverage,
    support_of,
    weighted_scores,
)

ITEMS = 12


def settings(**changes) -> EnsembleSettings:
    return validate_settings({"of": ["lead", "expert"], **changes}, EnsembleSettings)


def planted(cases: int = 600, seed: int = 0) -> Candidates:
    """Make cases in which the lead knows the target where coverage is 0 and the expert knows it where it is 1."""
    random = np.random.default_rng(seed)
    items = np.tile(np.arange(ITEMS, dtype=np.int32), (cases, 1))
    targets = random.integers(0, ITEMS, cases).astype(np.int32)
    knows = np.arange(cases) % 2
    noise = random.normal(size=(2, cases, ITEMS)).astype(np.float32)
    right = (items == targets[:, None]).astype(np.float32)
    terms = [noise[0] + 6 * right * (1 - knows)[:, None], noise[1] + 6 * right * knows[:, None]]
    return Candidates(items, targets, np.arange(cases) // 2, knows.astype(np.float32), lambda option: terms)


def split(validation: list[list[int]], users: list[int], train: list[list[int]]) -> Split:
    cases = Cases(np.array(users), np.zeros(len(users), np.int32), Sequences.from_lists(validation))
    return Split(Sequences.from_lists(train), np.arange(len(train)), cases, cases, ITEMS, {})


def test_one_weight_suits_all_where_it_should():
    found = planted()
    chosen = choose_weights(found, ["expert"], settings(floors=[0.001]), np.zeros(ITEMS, np.float32))
    assert chosen.values.shape == (1, 1)
    assert 0.5 <= chosen.values[0, 0] <= 2, "both parts know as much"
    by_weight = {row["weight"]: row["ndcg@10"] for row in chosen.tried}
    assert by_weight[chosen.values[0, 0]] == max(by_weight.values()) == pytest.approx(chosen.facts["ndcg@10"])
    assert len(by_weight) == len(EnsembleSettings(of=("a", "b")).weights)


def test_weights_follow_the_coverage_of_cases():
    found = planted()
    rule = settings(rule="per-case", bins=2, shrink=10, floors=[0.001])
    chosen = choose_weights(found, ["expert"], rule, np.zeros(ITEMS, np.float32))
    assert chosen.values[0, 0] < chosen.values[1, 0], "the expert counts more where it knows"
    held_out = chosen.facts["held_out"]
    assert held_out["per-case"] > held_out["fixed"]


@pytest.mark.parametrize("rule", [{}, {"rule": "per-case", "bins": 2, "shrink": 5}])
def test_held_out_figures_are_of_users_that_did_not_choose(rule):
    """Of even users the lead knows the targets, of odd ones the expert: each half chooses wrongly for the other."""
    found = planted()
    odd = (found.users % 2 == 1).astype(np.float32)
    lead, expert = (np.random.default_rng(3).normal(size=(2, 600, ITEMS))).astype(np.float32)
    right = (found.items == found.targets[:, None]).astype(np.float32)
    terms = [lead + 6 * right * (1 - odd)[:, None], expert + 6 * right * odd[:, None]]
    halved = found._replace(terms=lambda option: terms)
    wanted = settings(floors=[0.001], **rule)
    facts = choose_weights(halved, ["expert"], wanted, np.zeros(ITEMS, np.float32)).facts
    gains = np.zeros(600)
    for here in (odd == 0, odd == 1):
        others = Candidates(
            *(each[~here] for each in halved[:4]), lambda option, rows=~here: [term[rows] for term in terms]
        )
        chosen = choose_weights(others, ["expert"], wanted, np.zeros(ITEMS, np.float32))
        gains[here] = halved.gains(weighted_scores(halved, 0.001, chosen.values, chosen.edges))[here]
    assert list(facts["held_out"].values())[-1] == pytest.approx(gains.mean())
    assert gains.mean() < facts["ndcg@10"] - 0.1


def test_few_cases_do_not_decide():
    found = planted()
    rule = settings(rule="per-case", bins=2, shrink=1e9, floors=[0.001])
    chosen = choose_weights(found, ["expert"], rule, np.zeros(ITEMS, np.float32))
    fixed = choose_weights(found, ["expert"], settings(floors=[0.001]), np.zeros(ITEMS, np.float32))
    assert (chosen.values == fixed.values).all()


def test_several_experts_are_weighed_one_after_the_other():
    found = planted()
    lead, expert = found.terms(0)
    noise = np.random.default_rng(9).normal(size=lead.shape).astype(np.float32)
    three = found._replace(terms=lambda option: [lead, expert, noise])
    chosen = choose_weights(three, ["expert", "noise"], settings(of=["lead", "expert", "noise"]), np.zeros(ITEMS))
    assert chosen.values[0, 0] >= 0.5
    assert chosen.values[0, 1] <= 0.25, "what knows nothing gets no say"


def test_the_option_is_chosen_too():
    found = planted()
    good, silent = found.terms(0), [found.terms(0)[0], np.zeros((600, ITEMS), np.float32)]
    two = found._replace(terms=lambda option: good if option == 0.01 else silent)
    assert choose_weights(two, ["expert"], settings(floors=[0.001, 0.01]), np.zeros(ITEMS)).option == 0.01


def test_targets_beyond_the_candidates_gain_nothing():
    items = np.array([[0, 2, -1], [1, 3, 5]], dtype=np.int32)
    found = Candidates(items, np.array([1, 3], np.int32), np.arange(2), np.zeros(2, np.float32), lambda option: [])
    gains = found.gains(np.array([[1, 2, 9], [5, 7, 8]], dtype=np.float32))
    np.testing.assert_allclose(gains, [0, 1 / np.log2(3)])


def test_coverage_counts_what_came_after_the_newest_items():
    support = support_of(Sequences.from_lists([[0, 1], [0, 2], [3]]), ITEMS)
    assert support[0] == 2
    assert support[3] == 0
    found = coverage(Sequences.from_lists([[], [3], [0], [0, 3]]), support)
    assert found[0] == found[1] == 0
    assert found[2] == pytest.approx(np.log(3))
    assert 0 < found[3] < found[2]


def test_weights_can_be_chosen_on_cases_whose_newest_event_was_not_learned_from():
    made = split([[1, 2], [1, 2, 5], [4], [], [1, 9]], [0, 0, 7, 1, 1], [[1, 2], [3]])
    cases, facts = chosen_cases(settings(choose_on="unseen"), made)
    assert [cases.histories.row(i).tolist() for i in range(len(cases))] == [[1, 2, 5], [4], [1, 9]]
    assert facts == {"chosen_on": "unseen", "unseen": 0.6, "cases": 3}


def test_nothing_to_choose_on_is_told_in_one_line():
    made = split([[1, 2]], [0], [[1, 2]])
    with pytest.raises(DataError, match=r'choose_on is "unseen", and every validation history .*hold_back = 0.2'):
        chosen_cases(settings(choose_on="unseen"), made)


def test_a_sample_of_cases_is_the_same_every_time():
    made = split([[1, i] for i in range(10)], [0] * 10, [[1, 2]])
    one, two = (chosen_cases(settings(cases=4), made)[0] for _ in range(2))
    assert len(one) == 4
    assert np.array_equal(one.histories.items, two.histories.items)


def test_weights_are_looked_up_by_bin_and_survive_saving(tmp_path):
    support = np.array([0.0, 9.0], np.float32)
    made = EnsembleWeights(np.array([[3.0], [0.5]]), np.array([1.0]), 0.01, support, ({"weight": 1.0},), {"cases": 3})
    made.save(tmp_path)
    loaded = EnsembleWeights.load(tmp_path)
    histories = Sequences.from_lists([[0], [1], []])
    assert made.of(histories).ravel().tolist() == loaded.of(histories).ravel().tolist() == [3.0, 0.5, 3.0]
    assert (loaded.option, loaded.tried, loaded.facts) == (0.01, made.tried, made.facts)
    (tmp_path / "weights.json").write_text(json.dumps({"option": 1}))
    with pytest.raises(ArtifactError, match=r"weights.json: damaged"):
        EnsembleWeights.load(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"of": ["lead"]}, {"of": ["lead", "lead"]}, {"weights": []}, {"weights": [-1.0]}, {"reach": 20}]
)
def test_settings_that_say_nothing_sensible_are_refused(wrong):
    with pytest.raises(SettingsError):
        settings(**wrong)
