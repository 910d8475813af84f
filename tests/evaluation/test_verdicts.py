import numpy as np
import pytest

from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.evaluator import Report
from lexirec.evaluation.significance import compare_ranks
from lexirec.evaluation.verdicts import card_seeds, training_seeds, verdict

SHOWN = ("above", "below")


@pytest.mark.parametrize("seeds", [(None, None), (3, None), (None, 3), (4, 3)])
def test_a_significant_difference_of_enough_seeds_is_shown(seeds):
    assert verdict(0.1, 0.049, 0.95, seeds) == "above"
    assert verdict(-0.1, 0.001, 0.95, seeds) == "below"
    assert verdict(0.1, 0.051, 0.95, seeds) == "open"
    assert verdict(0.1, float("nan"), 0.95, seeds) == "open"


@pytest.mark.parametrize("seeds", [(1, None), (2, None), (None, 2), (3, 1), (2, 3)])
def test_fewer_seeds_show_nothing(seeds):
    assert verdict(0.1, 0.0001, 0.95, seeds) == "above in these users"
    assert verdict(-0.1, 0.0001, 0.95, seeds) == "below in these users"
    assert verdict(-0.1, 0.2, 0.95, seeds) == "open"


def report(ranks, **card):
    return Report({}, np.asarray(ranks), card)


@pytest.mark.parametrize(
    ("card", "seeds"),
    [
        ({"settings": {"kind": "memory", "window": 8}}, {}),
        ({"settings": {"kind": "als", "seed": 3}}, {"settings.seed": 3}),
        ({"settings": {"training": {"seed": 4}, "seed": 1}}, {"settings.training.seed": 4, "settings.seed": 1}),
        ({"settings": {}, "parts": {"model": {"settings": {"seed": 2}}}}, {"parts.model.settings.seed": 2}),
        ({"settings": {"seed": 3}, "sample_seed": 9, "seeds": {}}, {}),
        ({"settings": {}, "sample_seed": 9}, {}),
        ({"search": "exact"}, None),
    ],
)
def test_a_card_names_the_seeds_behind_it(card, seeds):
    assert card_seeds(card) == seeds


def test_seeds_are_counted_once_and_what_has_none_needs_none():
    assert training_seeds([report([1, 2], seeds={})]) is None
    assert training_seeds([report([1, 2], seeds={})] * 3) is None
    assert training_seeds([report([1, 2])]) == 1, "a card that does not say is taken for a trained system's"
    three = [report([1, rank], settings={"seed": rank}) for rank in (2, 3, 4)]
    assert training_seeds(three) == 3
    assert training_seeds([three[0]] * 3) == 1, "the same run thrice"
    assert training_seeds([report([1, 2], settings={"seed": seed}) for seed in (0, 1, 2)]) == 1, "a seed without effect"
    assert training_seeds([report([1, rank], settings={"seed": 0}) for rank in (2, 3, 4)]) == 1, "one seed, run thrice"
    assert training_seeds([report([1, rank], seeds={}) for rank in (2, 3, 4)]) == 3, "it does depend on something"


def equal_systems(rng, seeds, ratio, users=1500):
    """Return ranks of a trained system, (seeds, users), and of a fixed rival that is as good on average over seeds.

    Every seed shifts the chance of a hit of all users by a normal number, whose standard deviation is `ratio` standard
    errors of the difference over users.
    """
    ease = rng.beta(0.5, 4, users)
    error = np.sqrt(2 * (ease * (1 - ease)).mean() / users)
    chance = np.stack([ease * (1 + rng.normal(0, ratio * error) / ease.mean()) for _ in range(seeds)])
    return (rng.random(chance.shape) < chance).astype(int), (rng.random(users) < ease).astype(int)


def errors(seeds, ratio, trials=600):
    """Return the shares of trials of equal systems with p < .05, and with a shown difference."""
    rng, significant, shown = np.random.default_rng([seeds, int(10 * ratio)]), 0, 0
    for _ in range(trials):
        trained, rival = equal_systems(rng, seeds, ratio)
        found = compare_ranks(
            trained, rival, np.arange(len(rival)), metric="recall", k=1, bootstrap=Bootstrap(replicates=300)
        )
        reports = [report(row, settings={"seed": seed}) for seed, row in enumerate(trained)]
        sides = (training_seeds(reports), training_seeds([report(rival, settings={})]))
        significant += found.p_value < 0.05
        shown += verdict(found.value, found.p_value, 0.95, sides) in SHOWN
    return significant / trials, shown / trials


def test_between_seed_noise_misleads_one_seed_and_not_three():
    """Simulated type I error against a fixed rival, by the seeds' standard deviation in standard errors over users.

    4,000 trials of 1,500 users and 400 replicates each (this test runs 600 with a fixed seed):

        ratio     0     .5    1     2     4
        1 seed   .042  .077  .161  .362  .619    p < .05; nothing of it is a shown difference
        2 seeds  .036  .036  .055  .086  .087
        3 seeds  .032  .038  .044  .043  .051
        5 seeds  .046  .048  .042  .050  .053
    """
    for ratio, least in ((1.0, 0.1), (2.0, 0.25)):
        significant, shown = errors(1, ratio)
        assert significant > least, "the p-value of one seed says nothing about seeds"
        assert shown == 0
        significant, shown = errors(3, ratio)
        assert shown == significant
        assert abs(shown - 0.05) < 3.5 * (0.05 * 0.95 / 600) ** 0.5
