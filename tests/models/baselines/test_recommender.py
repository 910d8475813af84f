import json
from typing import Any, ClassVar

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, DataError, SettingsError, TrainingError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.als import Als, AlsSettings
from lexirec.models.baselines.graph_heuristic import GraphHeuristic
from lexirec.models.baselines.gru4rec import Gru4Rec
from lexirec.models.baselines.hstu import Hstu
from lexirec.models.baselines.item_similarity import Ease, EaseSettings, ItemKnn
from lexirec.models.baselines.memory import Memory
from lexirec.models.baselines.popularity import Popularity, Recency
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.sasrec import Sasrec
from lexirec.models.baselines.sequential import SequenceScorer, SequenceTrainingSettings
from lexirec.models.baselines.sequential_training import fit_sequences
from lexirec.models.baselines.transitions import Transitions
from lexirec.models.loading import load_recommender
from lexirec.testing import RecommenderContract, checkerboard, circle_walks, tiny_catalog

ITEMS = 20
TRAIN = checkerboard(ITEMS)


class KnowsTheBoard(RecommenderContract):
    """A contract with an answer: on the checkerboard the one item of the shopper's parity that is left comes first."""

    def test_the_missing_item_comes_first(self):
        found = self.recommender().rank(TRAIN, k=1, exclude_seen=True)
        assert found.items[:, 0].tolist() == list(range(ITEMS))


class TestItemKnn(KnowsTheBoard):
    @classmethod
    def make(cls):
        return ScoreRecommender(tiny_catalog(ITEMS), ItemKnn().fit(TRAIN, ITEMS))


class TestEase(KnowsTheBoard):
    @classmethod
    def make(cls):
        return ScoreRecommender(tiny_catalog(ITEMS), Ease(EaseSettings(regularization=1)).fit(TRAIN, ITEMS))


class TestMemory(KnowsTheBoard):
    @classmethod
    def make(cls):
        return ScoreRecommender(tiny_catalog(ITEMS), Memory().fit(TRAIN, ITEMS))


class TestMemoryWithTexts(KnowsTheBoard):
    @classmethod
    def make(cls):
        catalog = tiny_catalog(ITEMS)
        return ScoreRecommender(catalog, Memory().fit(TRAIN, ITEMS, texts=catalog.texts()))


class TestPopularity(RecommenderContract):
    @classmethod
    def make(cls):
        return ScoreRecommender(tiny_catalog(8), Popularity().fit(Sequences.from_lists([[3, 1], [3, 0], [3, 1]]), 8))

    def test_more_bought_items_come_first_and_ties_by_number(self):
        ranking = self.recommender().rank(Sequences.from_lists([[5]]), k=8)
        assert ranking.items[0].tolist() == [3, 1, 0, 2, 4, 5, 6, 7]
        assert ranking.scores[0, :3].tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])


class TestRecency(RecommenderContract):
    @classmethod
    def make(cls):
        return ScoreRecommender(tiny_catalog(8), Recency().fit(Sequences.from_lists([[3, 1], [3, 0], [3, 1]]), 8))

    def test_what_was_bought_last_comes_first(self):
        assert self.recommender().rank(Sequences.from_lists([[5]]), k=3).items[0].tolist() == [1, 3, 0]


class TestAls(KnowsTheBoard):
    @classmethod
    def make(cls):
        # Two dimensions hold the two parities; more would learn who lacks what.
        settings = AlsSettings(dimensions=2, regularization=1.0, confidence=1.0, history_decay=1.0, iterations=30)
        return ScoreRecommender(tiny_catalog(ITEMS), Als(settings).fit(TRAIN, ITEMS))


class KnowsTheCircle(RecommenderContract):
    """A contract with an answer: on the circle the next item comes first."""

    scorer: ClassVar[type[SequenceScorer]]
    settings: ClassVar[dict[str, Any]] = {}

    @classmethod
    def make(cls):
        training = SequenceTrainingSettings(learning_rate=0.02, epochs=10, batch_size=32)
        values = {"dimensions": 16, "layers": 1, "dropout": 0.0, "max_history": 8, "training": training}
        scorer = cls.scorer(cls.scorer.settings_class(**values, **cls.settings), "cpu")
        return ScoreRecommender(tiny_catalog(12), fit_sequences(scorer, circle_walks(12), 12))

    def test_what_always_comes_next_comes_first(self):
        walks = Sequences.from_lists([[(i - 1) % 12, i] for i in range(12)])
        assert self.recommender().rank(walks, k=1).items[:, 0].tolist() == [(i + 1) % 12 for i in range(12)]


class TestTransitions(KnowsTheCircle):
    @classmethod
    def make(cls):
        return ScoreRecommender(tiny_catalog(12), Transitions().fit(circle_walks(12), 12))


class TestGraphHeuristic(KnowsTheCircle):
    @classmethod
    def make(cls):
        catalog = tiny_catalog(12)
        return ScoreRecommender(catalog, GraphHeuristic().fit(circle_walks(12), 12, texts=catalog.texts()))


class TestSasrec(KnowsTheCircle):
    scorer = Sasrec


class TestLigrSasrec(KnowsTheCircle):
    scorer, settings = Sasrec, {"block": "ligr"}


class TestGru4Rec(KnowsTheCircle):
    scorer, settings = Gru4Rec, {"width": 24}


class TestHstu(KnowsTheCircle):
    scorer = Hstu


class _Numbers:
    """A scorer whose scores are the item numbers, or what a test sets."""

    def __init__(self, scores):
        self.row = np.asarray(scores, dtype=np.float32)

    def scores(self, histories):
        return np.tile(self.row, (len(histories), 1))


def test_it_recommends_in_ids_scores_and_titles():
    recommender = ScoreRecommender(tiny_catalog(4), _Numbers([0, 1, 2, 3]))
    found = recommender.recommend(["item-3"], k=2)
    assert [(r.item_id, r.score, r.title) for r in found] == [
        ("item-2", 2.0, "red kettle number 2"),
        ("item-1", 1.0, "blue chair number 1"),
    ]
    assert recommender.recommend(["item-3"], k=1, exclude_seen=False)[0].item_id == "item-3"
    assert [r.item_id for r in recommender.recommend(["item-2"], k=3, deny=["item_id=item-3"])] == ["item-1", "item-0"]


def test_an_unknown_id_is_named_with_the_nearest():
    with pytest.raises(DataError, match=r"Item 'item-33' is not in the catalog of 4 items.*item-3"):
        ScoreRecommender(tiny_catalog(4), _Numbers([0, 1, 2, 3])).recommend(["item-33"])


def test_batches_do_not_change_rankings(monkeypatch):
    recommender = ScoreRecommender(tiny_catalog(ITEMS), ItemKnn().fit(TRAIN, ITEMS))
    whole = recommender.rank(TRAIN, k=5, exclude_seen=True)
    monkeypatch.setattr("lexirec.models.baselines.base._CELLS", 3 * ITEMS)
    parts = recommender.rank(TRAIN, k=5, exclude_seen=True)
    assert np.array_equal(parts.items, whole.items)


def test_a_filter_of_the_wrong_shape_says_which_is_right():
    recommender = ScoreRecommender(tiny_catalog(4), _Numbers([0, 1, 2, 3]))
    with pytest.raises(SettingsError, match=r"shape \(3,\); it should be \(4,\), one entry per item, or \(1, 4\)"):
        recommender.rank(Sequences.from_lists([[0]]), k=1, allowed=np.ones(3, dtype=bool))


def test_a_folder_without_a_recommender_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no saved recommender is here"):
        load_recommender(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "crystal-ball"}, "kind 'crystal-ball' is unknown"),
        ({"scorer": "dice"}, "scorer 'dice' is unknown"),
        ({"catalog": "0" * 64}, "was saved with 000000000000"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, change, message):
    ScoreRecommender(tiny_catalog(8), Popularity().fit(TRAIN.take([0]), ITEMS)).save(tmp_path)
    manifest = tmp_path / "recommender.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        load_recommender(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    ScoreRecommender(tiny_catalog(8), Popularity().fit(TRAIN.take([0]), ITEMS)).save(tmp_path)
    (tmp_path / "scorer" / "arrays.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ArtifactError, match="damaged"):
        load_recommender(tmp_path)


def test_a_scorer_that_gives_no_numbers_is_named_with_how_often():
    recommender = ScoreRecommender(tiny_catalog(4), _Numbers([0, np.nan, 2, 3]))
    with pytest.raises(TrainingError, match=r"scores of the recommender '_Numbers' are NaN or .* for 2 of 2 histories"):
        recommender.rank(Sequences.from_lists([[0], [2]]), k=2)
    masked = ScoreRecommender(tiny_catalog(4), _Numbers([0, -np.inf, 2, 3]))
    assert masked.rank(Sequences.from_lists([[0]]), k=4).items.tolist() == [[3, 2, 0, -1]]
