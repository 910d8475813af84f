import numpy as np
import pytest

from lexirec.core.errors import SettingsError, TrainingError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import prefix_cases
from lexirec.models.baselines.memory import TRANSITIONS, Memory
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.ensemble.candidates import Part, candidates, places_in, reciprocal, union
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.testing import circle_walks
from tests.models.gram.test_recommender import CATALOG, GROUNDED, ITEMS, TRAIN, WORDY, built

CASES = prefix_cases(circle_walks(ITEMS, shoppers=6, seed=4), 5)


def memory() -> ScoreRecommender:
    return ScoreRecommender(CATALOG, Memory(TRANSITIONS).fit(TRAIN, ITEMS))


def test_lists_are_joined_without_repeats():
    joined = union([np.array([[3, 1, -1], [0, 2, 4]], np.int32), np.array([[1, 5], [2, -1]], np.int32)])
    assert joined.tolist() == [[1, 3, 5], [0, 2, 4]]


def test_places_are_found_and_missing_ones_too():
    items, listed = np.array([[1, 3, 5], [0, 2, -1]], np.int32), np.array([[5, 1], [7, -1]], np.int32)
    places = places_in(items, listed, 8)
    assert places.tolist() == [[1, -1, 0], [-1, -1, -1]]
    np.testing.assert_allclose(reciprocal(places, 60)[0], [1 / 62, 0, 1 / 61])


@pytest.mark.parametrize("unseen", ["excluded", "included"])
def test_what_each_part_says_of_candidates_is_what_it_says_of_the_catalogue(unseen):
    parts = [Part("model", built(GROUNDED)), Part("memory", memory())]
    settings = EnsembleSettings(of=("model", "memory"), depth=10, seen=unseen)
    found = candidates(parts, CASES, settings, np.zeros(ITEMS, np.float32))
    lead, expert = found.terms(0.001)
    there = found.items >= 0
    rows, columns = np.nonzero(there)
    for part, told in zip(parts, (lead, expert)):
        whole = part.log_probabilities(CASES.histories, 0.001)
        np.testing.assert_allclose(told[there], whole[rows, found.items[rows, columns]], atol=1e-4)
        np.testing.assert_allclose(np.exp(whole).sum(axis=1), 1, atol=1e-4)
    if unseen == "excluded":
        histories = [set(CASES.histories.row(i).tolist()) for i in range(len(CASES))]
        assert not any(histories[i] & set(row[row >= 0].tolist()) for i, row in enumerate(found.items))


def test_within_its_reach_a_part_says_what_it_says_of_the_catalogue_and_the_least_of_it_beyond():
    part = Part("model", built(GROUNDED))
    whole, near = part.log_probabilities(CASES.histories, 0.001), part.log_probabilities(CASES.histories, 0.001, 5)
    rank = (-whole).argsort(axis=1).argsort(axis=1)
    np.testing.assert_allclose(near[rank < 5], whole[rank < 5], atol=1e-4)
    np.testing.assert_allclose(
        near[rank >= 5].reshape(len(CASES), -1), near.min(axis=1, keepdims=True) + 0 * whole[:, 5:]
    )
    np.testing.assert_allclose(near.min(axis=1), np.sort(whole, axis=1)[:, -5], atol=1e-4)
    beyond = part.log_probabilities(CASES.histories, 0.001, ITEMS + 1)
    np.testing.assert_allclose(beyond, whole)


def test_what_may_not_be_shown_is_not_reached_for():
    part, few = Part("model", built(GROUNDED)), np.zeros(ITEMS, np.bool_)
    few[[1, 4, 7]] = True
    whole = part.read(CASES.histories)
    near = part.read(CASES.histories, 2, allowed=few)
    best = np.where(few, whole, -np.inf).argmax(axis=1)
    assert np.array_equal(near.argmax(axis=1), best)
    assert all(len(np.unique(row[~few])) == 1 for row in near)
    nothing = part.read(CASES.histories, 2, allowed=np.zeros(ITEMS, np.bool_))
    assert not nothing.any(), "nothing is preferred where nothing is allowed"


def test_ranks_are_those_of_the_parts_lists():
    parts = [Part("model", built(WORDY)), Part("memory", memory())]
    settings = EnsembleSettings(of=("model", "memory"), kind="reciprocal-rank", depth=10)
    found = candidates(parts, CASES, settings, np.zeros(ITEMS, np.float32))
    listed = parts[1].recommender.rank(CASES.histories, k=10, exclude_seen=True).items
    term = found.terms(60.0)[1]
    best = np.take_along_axis(found.items, term.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert np.array_equal(best, listed[:, 0])


def test_what_neither_generates_nor_scores_cannot_be_fused():
    class Silent:
        catalog = CATALOG

    with pytest.raises(SettingsError, match="'silent' neither generates items nor scores"):
        Part("silent", Silent())


def test_readings_suit_the_scores():
    assert Part("memory", memory()).counts
    assert not Part("model", built(GROUNDED)).counts
    empty = Sequences.from_lists([[]])
    np.testing.assert_allclose(np.exp(Part("memory", memory()).log_probabilities(empty, 0.01)).sum(), 1, rtol=1e-4)


@pytest.mark.parametrize("logits", [True, False])
def test_a_part_without_numbers_is_named(logits):
    class Broken:
        def __init__(self) -> None:
            self.logits = logits

        def scores(self, histories):
            scores = np.zeros((len(histories), ITEMS), dtype=np.float32)
            scores[2, 3] = np.nan
            return scores

    part = Part("mine", ScoreRecommender(CATALOG, Broken()))
    with pytest.raises(
        TrainingError, match=rf"scores of the part 'mine' are NaN or infinite for 1 of {len(CASES)} hist"
    ):
        part.read(CASES.histories)
