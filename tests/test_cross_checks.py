"""What others compute: metrics by scikit-learn and ranx, baselines by implicit and RecTools, on equal data.

ranx and RecTools bring numba, pandas and Lightning with them, so they are no part of `dev` and their checks are skipped
unless somebody installs them, in a place of their own (Python 3.13, since RecTools holds numpy below 2 elsewhere):

    python3.13 -m venv cross && cross/bin/pip install torch==2.13.0
    cross/bin/pip install -e . "rectools[torch]" ranx pytest hypothesis
    cross/bin/pytest tests/test_cross_checks.py --log-cli-level=INFO
"""

import logging
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.metrics import mrr, ndcg, ranks_in_scores, ranks_of, recall
from lexirec.models.baselines.als import Als, AlsSettings
from lexirec.models.baselines.hstu import Hstu, HstuSettings
from lexirec.models.baselines.item_similarity import Ease, EaseSettings, ItemKnn, ItemKnnSettings
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.sasrec import Sasrec, SasrecSettings
from lexirec.models.baselines.sequential import SequenceTrainingSettings
from lexirec.models.baselines.sequential_training import fit_sequences

ITEMS, USERS = 120, 600
pytestmark = pytest.mark.timeout(1200)
_log = logging.getLogger(__name__)


def lists_and_targets() -> tuple[np.ndarray, np.ndarray]:
    """Ranked lists of 20 of 50 items, and a target for each that 6 of 10 hold."""
    random = np.random.default_rng(1)
    lists = np.argsort(random.random((400, 50)), axis=1)[:, :20].astype(np.int32)
    targets = np.where(
        random.random(400) < 0.6, lists[np.arange(400), random.integers(0, 20, 400)], 50 - 1 - lists[:, 0]
    )
    return lists, targets.astype(np.int32)


@cache
def world() -> tuple[Sequences, Cases]:
    """Walkers on a circle who skip now and then and never come back, and where each of them goes next."""
    random = np.random.default_rng(0)
    steps = random.choice([1, 2, 3, 7], (USERS, 12), p=[0.6, 0.2, 0.1, 0.1])
    walks = (random.integers(0, ITEMS, (USERS, 1)) + steps.cumsum(axis=1)) % ITEMS
    train = Sequences.from_lists(walks[:, :-1].tolist())
    return train, Cases(np.arange(USERS), walks[:, -1].astype(np.int32), train)


def unseen(scores: np.ndarray, histories: Sequences) -> np.ndarray:
    """Put what a history holds last."""
    scores = scores.astype(np.float64).copy()
    for row in range(len(histories)):
        scores[row, histories.row(row)] = -np.inf
    return scores


def ours(scorer: Any, k: int = 10) -> float:
    """Return the recall of a scorer of ours, seen items excluded."""
    _, cases = world()
    return recall(ranks_in_scores(unseen(scorer.scores(cases.histories), cases.histories), cases.targets), k)


def test_metrics_equal_scikit_learns():
    lists, targets = lists_and_targets()
    ranks = ranks_of(lists, targets)
    relevance = np.zeros((len(lists), 50))
    relevance[np.arange(len(lists)), targets] = 1
    scores = np.full((len(lists), 50), -1.0) - np.arange(50) / 100
    np.put_along_axis(scores, lists, np.broadcast_to(20.0 - np.arange(20), lists.shape).copy(), axis=1)
    for k in (1, 5, 10, 20):
        # Items outside a list stand behind it, so no hit beyond place 20 counts at k up to 20.
        assert abs(ndcg(ranks, k) - ndcg_score(relevance, scores, k=k)) < 1e-9


def test_metrics_equal_those_of_ranx():
    ranx = pytest.importorskip("ranx", reason="heavy; see the top of this file")
    lists, targets = lists_and_targets()
    truth = ranx.Qrels({str(case): {str(target): 1} for case, target in enumerate(targets.tolist())})
    told = ranx.Run(
        {
            str(case): {str(item): 20.0 - place for place, item in enumerate(row)}
            for case, row in enumerate(lists.tolist())
        }
    )
    ranks = ranks_of(lists, targets)
    measured = {
        f"{name}@{k}": of(ranks, k)
        for k in (1, 5, 10, 20)
        for name, of in (("recall", recall), ("ndcg", ndcg), ("mrr", mrr))
    }
    told_by = ranx.evaluate(truth, told, list(measured))
    assert all(abs(measured[name] - told_by[name]) < 1e-9 for name in measured)


# ----------------------------------------------------------------------------------------------- others' recommenders


@pytest.fixture(scope="module")
def rectools() -> Any:
    """RecTools' view of the world: a data set of the training part."""
    found = pytest.importorskip("rectools", reason="heavy; see the top of this file")
    import pandas
    from rectools.dataset import Dataset

    train, _ = world()
    places = np.arange(len(train.items))
    columns = found.Columns
    table = {columns.User: np.repeat(np.arange(len(train)), train.lengths), columns.Item: train.items}
    times = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(places, unit="min")
    return Dataset.construct(pandas.DataFrame({**table, columns.Weight: 1.0, columns.Datetime: times}))


def theirs(model: Any, dataset: Any, k: int = 10) -> tuple[np.ndarray, float]:
    """Return RecTools' lists, −1 padded, and their recall."""
    found = model.fit(dataset).recommend(np.arange(USERS), dataset, k=k, filter_viewed=True)
    lists = np.full((USERS, k), -1)
    lists[found["user_id"].to_numpy(), found["rank"].to_numpy() - 1] = found["item_id"].to_numpy()
    return lists, recall(ranks_of(lists, world()[1].targets), k)


def scores_at(scorer: Any, lists: np.ndarray) -> np.ndarray:
    """Return our scores of listed items, and of as many best of our own."""
    histories = world()[1].histories
    scores = unseen(scorer.scores(histories), histories)
    return np.stack([np.take_along_axis(scores, lists, 1), -np.sort(-scores, axis=1)[:, : lists.shape[1]]])


def test_counted_and_closed_form_baselines_list_the_same_items(rectools):
    from implicit.nearest_neighbours import CosineRecommender
    from rectools.models import EASEModel, ImplicitItemKNNWrapperModel, PopularModel

    train, _ = world()
    ease = Ease(EaseSettings(regularization=50, history_decay=1, precision="float64")).fit(train, ITEMS)
    # RecTools 0.19 multiplies histories with the transposed weights: its ranker takes rows for the items that are
    # ranked. Ours follows the paper, as test_baselines holds; here what is checked is the matrix.
    ease.weights = ease.weights.T.copy()
    pairs = {
        "popularity": (Popularity().fit(train, ITEMS), PopularModel()),
        "ease": (ease, EASEModel(regularization=50)),
        "item-knn": (
            ItemKnn(ItemKnnSettings(neighbors=ITEMS, history_decay=1)).fit(train, ITEMS),
            ImplicitItemKNNWrapperModel(CosineRecommender(K=ITEMS)),
        ),
    }
    for name, (mine, model) in pairs.items():
        lists, _ = theirs(model, rectools)
        listed, best = scores_at(mine, lists)
        # Equal scores may come in any order: what counts is that by our scores their lists are as good as ours.
        assert np.abs(listed - best).max() < 1e-4, name


def test_factorised_baselines_recommend_as_well(rectools):
    from implicit.als import AlternatingLeastSquares
    from rectools.models import ImplicitALSWrapperModel

    settings = AlsSettings(dimensions=16, iterations=15, regularization=0.1, confidence=5, history_decay=1)
    mine = Als(settings).fit(world()[0], ITEMS)
    solver = AlternatingLeastSquares(factors=16, iterations=15, regularization=0.1, alpha=5, random_state=0)
    _, figure = theirs(ImplicitALSWrapperModel(solver), rectools)
    _log.info("als recall@10: ours %.4f, RecTools %.4f", ours(mine), figure)
    assert abs(ours(mine) - figure) < 0.05


@pytest.mark.parametrize("kind", ["sasrec", "esasrec", "hstu"])
def test_networks_recommend_as_well(rectools, kind):
    from rectools.models import HSTUModel, SASRecModel

    training = SequenceTrainingSettings(learning_rate=5e-3, epochs=20, batch_size=64, patience=20)
    shared = {"dimensions": 32, "dropout": 0.1, "output": "dot", "training": training, "max_history": 11}
    options = {"n_factors": 32, "n_blocks": 2, "n_heads": 2, "dropout_rate": 0.1, "session_max_len": 11, "lr": 5e-3}
    options |= {"epochs": 20, "batch_size": 64, "loss": "softmax", "deterministic": True}
    if kind == "hstu":
        mine, model = Hstu(HstuSettings(**shared), "cpu"), HSTUModel(**options, relative_time_attention=False)
    else:
        block = "ligr" if kind == "esasrec" else "transformer"
        mine = Sasrec(SasrecSettings(**shared, block=block), "cpu")
        extra = {}
        if kind == "esasrec":
            from rectools.models.nn.transformers.ligr import LiGRLayers

            extra = {"transformer_layers_type": LiGRLayers}
        model = SASRecModel(**options, **extra)
    fit_sequences(mine, world()[0], ITEMS)
    _, figure = theirs(model, rectools, k=1)  # at 10 nobody misses anything here; at 1 the best there is to reach is .6
    _log.info("%s recall@1: ours %.4f, RecTools %.4f", kind, ours(mine, 1), figure)
    assert abs(ours(mine, 1) - figure) < 0.06
