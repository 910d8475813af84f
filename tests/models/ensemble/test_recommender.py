import json
from functools import cache

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.data.ranking import forbid
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Split, prefix_cases
from lexirec.models.baselines.item_similarity import ItemKnn
from lexirec.models.baselines.memory import TRANSITIONS, Memory
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.sasrec import Sasrec, SasrecSettings
from lexirec.models.ensemble.candidates import Part
from lexirec.models.ensemble.recommender import EnsembleRecommender
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.ensemble.weights import EnsembleWeights
from lexirec.models.loading import load_recommender
from lexirec.models.recommend import recommend
from lexirec.testing import RecommenderContract, circle_walks
from tests.models.gram.test_recommender import CATALOG, GROUNDED, ITEMS, PAPER, TRAIN, WORDY, built
from tests.models.tsrec import test_recommender as causal

SPLIT = Split(
    TRAIN,
    np.arange(len(TRAIN)),
    prefix_cases(circle_walks(ITEMS, shoppers=20, seed=1), 5),
    prefix_cases(circle_walks(ITEMS, shoppers=20, seed=2), 5),
    ITEMS,
    {},
)


def memory() -> ScoreRecommender:
    return ScoreRecommender(CATALOG, Memory(TRANSITIONS).fit(TRAIN, ITEMS))


@cache
def sasrec() -> ScoreRecommender:
    scorer = Sasrec(SasrecSettings(dimensions=8, layers=1))
    scorer.network, scorer.shares = scorer.build(ITEMS), np.full(ITEMS, 1 / ITEMS, np.float32)
    return ScoreRecommender(CATALOG, scorer)


@cache
def parts():
    knn = ScoreRecommender(CATALOG, ItemKnn().fit(TRAIN, ITEMS))
    made = {"memory": memory(), "sasrec": sasrec(), "knn": knn, "model": built(GROUNDED), "wordy": built(WORDY)}
    return {**made, "paper": built(PAPER), "causal": causal.built(causal.GROUNDED)}


def fused(*of: str, weights=None, **changes) -> EnsembleRecommender:
    settings = EnsembleSettings(of=of, **changes)
    given = None
    if weights is not None:
        given = EnsembleWeights(
            np.array([weights], float), np.empty(0), settings.options[0], np.zeros(ITEMS, np.float32)
        )
    return EnsembleRecommender({name: parts()[name] for name in of}, settings, given)


def histories() -> Sequences:
    return Sequences.from_lists([[], [3], [1, 2, 3, 4, 5, 6, 7], [9, 9], [18, 19, 0]])


class TestProductInTheBeam(RecommenderContract):
    @classmethod
    def make(cls):
        return fused("model", "memory", rule="per-case", bins=2, shrink=1).fit(SPLIT)


class TestProductOfScorers(RecommenderContract):
    @classmethod
    def make(cls):
        return fused("sasrec", "memory", "knn").fit(SPLIT)


class TestProductWithACausalModel(RecommenderContract):
    @classmethod
    def make(cls):
        return fused("memory", "causal", weights=[0.7])


class TestProductOfBothFamilies(RecommenderContract):
    @classmethod
    def make(cls):
        return fused("causal", "model", "memory", depth=10, reach=12).fit(SPLIT)


class TestReciprocalRanks(RecommenderContract):
    boosts_are_added = False

    @classmethod
    def make(cls):
        return fused("model", "memory", kind="reciprocal-rank", depth=12).fit(SPLIT)


@pytest.mark.parametrize("lead", ["model", "wordy", "paper", "causal"])
@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_the_beam_finds_the_product_over_the_whole_catalogue(lead, weight):
    made = fused(lead, "memory", "sasrec", weights=[weight, 0.3])
    found = made.search(histories(), k=ITEMS, exclude_seen=True)
    terms = [Part(name, parts()[name]).log_probabilities(histories(), made.weights.option) for name in made.names]
    product = terms[0] + weight * terms[1] + 0.3 * terms[2]
    forbid(product, histories(), True, None)
    best = np.sort(product, axis=1)[:, ::-1]
    np.testing.assert_allclose(found.scores, best, atol=2e-4)
    listed = np.take_along_axis(product, np.maximum(found.items, 0), axis=1)
    np.testing.assert_allclose(listed[found.items >= 0], found.scores[found.items >= 0], atol=2e-4)
    assert found.exact.all(), "nothing was pruned"


def test_a_narrow_beam_that_calls_itself_exact_is():
    made = fused("model", "memory", weights=[2.0])
    whole = made.search(histories(), k=3)
    lead = parts()["model"]
    narrow_lead = built(GROUNDED.model_copy(update={"search": GROUNDED.search.model_copy(update={"num_beams": 4})}))
    narrow_lead.model.load_state_dict(lead.model.state_dict())
    narrow = EnsembleRecommender({"model": narrow_lead, "memory": memory()}, made.settings, made.weights)
    found = narrow.search(histories(), k=3)
    assert found.exact.any()
    np.testing.assert_allclose(found.scores[found.exact], whole.scores[found.exact], atol=1e-4)


@pytest.mark.parametrize("lead", ["model", "wordy", "causal"])
def test_without_weight_it_is_the_model(lead):
    made = fused(lead, "memory", weights=[0.0])
    one, two = (each.rank(histories(), k=7, exclude_seen=True) for each in (made, parts()[lead]))
    assert np.array_equal(one.items, two.items)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)


def test_with_great_weight_the_expert_decides():
    row = Sequences.from_lists([[4, 5]])
    assert fused("model", "memory", weights=[50.0]).rank(row, k=1).items[0, 0] == memory().rank(row, k=1).items[0, 0]


def test_whoever_generates_leads_wherever_it_stands():
    assert fused("memory", "model").names == ("model", "memory")
    assert fused("memory", "sasrec").names == ("memory", "sasrec")


def test_two_that_generate_can_be_fused():
    made = fused("model", "causal", weights=[1.0])
    found = made.search(histories(), k=4)
    terms = [parts()[name].searcher.log_probabilities(histories()) for name in ("model", "causal")]
    np.testing.assert_allclose(found.scores, np.sort(terms[0] + terms[1], axis=1)[:, ::-1][:, :4], atol=2e-4)


def test_a_part_that_generates_speaks_within_its_reach_of_what_may_be_shown():
    made = fused("model", "causal", weights=[1.0], depth=10, reach=10)
    some = np.zeros(ITEMS, np.bool_)
    some[:12] = True
    for allowed in (None, some):
        found = made.search(histories(), k=2, exclude_seen=True, allowed=allowed)
        expert = Part("causal", parts()["causal"]).read(histories(), 10, exclude_seen=True, allowed=allowed)
        product = parts()["model"].searcher.log_probabilities(histories()) + expert
        forbid(product, histories(), True, allowed)
        np.testing.assert_allclose(found.scores, np.sort(product, axis=1)[:, ::-1][:, :2], atol=2e-4)
    # rows are searched in the order of their lengths: each must meet its own filter, with every part
    own = np.random.default_rng(5).random((len(histories()), ITEMS)) < 0.7
    found = made.search(histories(), k=2, exclude_seen=True, allowed=own)
    for row in range(len(own)):
        alone = made.search(histories().take([row]), k=2, exclude_seen=True, allowed=own[row])
        assert np.array_equal(found.items[row], alone.items[0])
        np.testing.assert_allclose(found.scores[row], alone.scores[0], atol=1e-4)


def test_reciprocal_ranks_are_summed():
    made = fused("memory", "sasrec", kind="reciprocal-rank", constants=[60.0], weights=[0.5])
    found = made.rank(histories(), k=5)
    lists = [parts()[name].rank(histories(), k=50).items for name in ("memory", "sasrec")]
    for row in range(len(histories())):
        places = [{item: place for place, item in enumerate(each[row].tolist(), 1)} for each in lists]
        for item, score in zip(found.items[row].tolist(), found.scores[row]):
            assert score == pytest.approx(1 / (60 + places[0][item]) + 0.5 / (60 + places[1][item]), rel=1e-5)


def test_weights_are_chosen_where_they_help():
    made = fused("sasrec", "memory").fit(SPLIT)
    assert made.weights_by_part()["memory"] > 1, "the network was never trained, the memory knows the circle"
    tried = {row["weight"]: row["ndcg@10"] for row in made.weights.tried if row["option"] == made.weights.option}
    assert tried[made.weights_by_part()["memory"]] > tried[0]
    assert made.protocol["weights"] == made.weights_by_part()


def test_reasons_and_filters_are_given_as_anywhere():
    made = fused("model", "memory", weights=[1.0])
    found = recommend(made, ["item-3", "item-4"], k=4, deny=["title~red"], explain=True)
    assert len(found) == 4
    assert all("blue" in each.title for each in found)
    assert any(each.because for each in found)


def test_identifier_metrics_are_those_of_the_lead():
    assert np.array_equal(fused("model", "memory").semantic_ids, parts()["model"].identifiers.tokens)
    assert fused("memory", "sasrec").semantic_ids is None


def test_parts_that_are_missing_or_of_another_catalogue_are_refused():
    with pytest.raises(SettingsError, match=r"names 'model', which is not among the parts: memory"):
        EnsembleRecommender({"memory": memory()}, EnsembleSettings(of=("model", "memory")))
    shuffled = CATALOG.take(np.arange(ITEMS)[::-1])
    other = ScoreRecommender(shuffled, Memory(TRANSITIONS).fit(TRAIN, ITEMS))
    with pytest.raises(SettingsError, match="different catalogs"):
        EnsembleRecommender({"a": memory(), "b": other}, EnsembleSettings(of=("a", "b")))


def test_a_damaged_folder_says_what_is_wrong(tmp_path):
    fused("memory", "sasrec").save(tmp_path / "saved")
    (tmp_path / "saved" / "fusion.json").write_text(json.dumps({"of": []}))
    with pytest.raises(ArtifactError, match=r"fusion.json: setting 'of' "):
        load_recommender(tmp_path / "saved")


def ranks(kind: str, parts: dict[str, np.ndarray]) -> list[int]:
    """Return the list of an ensemble of parts that score items by these numbers, whatever the history."""
    made = {}
    for name, values in parts.items():
        scorer = Popularity().fit(TRAIN, ITEMS)
        scorer.shares = (values / values.sum()).astype(np.float32)
        made[name] = ScoreRecommender(CATALOG, scorer)
    ensemble = EnsembleRecommender(made, EnsembleSettings(of=tuple(parts), kind=kind, depth=ITEMS))
    one, other = ensemble.rank(Sequences.from_lists([[], [3]]), k=ITEMS).items.tolist()
    assert one == other
    return one


def test_equal_scores_of_several_parts_go_to_the_smaller_item_number():
    rising = np.arange(1.0, ITEMS + 1)
    # 1 / (c + rank) from both ends: items i and ITEMS − 1 − i tie, and the outermost pair is the best
    pairs = [each for i in range(ITEMS // 2) for each in (i, ITEMS - 1 - i)]
    assert ranks("reciprocal-rank", {"falling": rising[::-1], "rising": rising}) == pairs
    assert ranks("product", {"even": np.ones(ITEMS), "level": np.ones(ITEMS)}) == list(range(ITEMS))
    halves = np.where(np.arange(ITEMS) % 2, 2.0, 1.0)
    by_halves = sorted(range(ITEMS), key=lambda item: (-halves[item], item))
    assert ranks("product", {"even": np.ones(ITEMS), "halves": halves}) == by_halves
