import numpy as np
import pytest

from lexirec.data.sequences import Sequences
from lexirec.models.baselines.graph_heuristic import GraphHeuristic
from lexirec.models.baselines.item_similarity import Ease, ItemKnn
from lexirec.models.baselines.memory import Memory
from lexirec.models.baselines.popularity import Popularity, Recency
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.transitions import Transitions
from lexirec.models.extension.changes import CatalogChange, ItemChanges
from lexirec.models.extension.encoding import ItemEncoder
from lexirec.models.extension.scorers import extend_scorer
from tests.worlds.grown_shop import HISTORIES, new_rows, trained

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("kind", [Popularity, Recency, ItemKnn, Ease, Transitions, Memory, GraphHeuristic])
def test_trained_items_score_as_before_and_new_ones_without_evidence_last(kind):
    _, artifacts = trained("old-gram", "model")
    catalog = artifacts.catalog
    train = Sequences.from_lists([RNG.integers(0, len(catalog), size=8).tolist() for _ in range(60)])
    scorer = kind().fit(train, len(catalog))
    change = CatalogChange.of(catalog, ItemChanges(new_rows(catalog, [1, 2]), [catalog.item_ids[60]]))
    grown = extend_scorer(ScoreRecommender(catalog, scorer), change, ItemEncoder(artifacts, {}), {"evidence": "none"})
    before, after = scorer.scores(HISTORIES), grown.scorer.scores(HISTORIES)
    assert after.shape[1] == len(catalog) + 1
    np.testing.assert_allclose(after[:, :-2], before[:, change.kept], rtol=1e-6)
    assert (after[:, -2:] == 0).all()
    assert grown.trained == len(catalog) - 1
