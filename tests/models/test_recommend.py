import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.recommend import recommend
from lexirec.testing import tiny_catalog


@pytest.fixture(scope="module")
def recommender():
    """Item i is followed by i + 1: the newest item speaks for its successor."""
    train = Sequences.from_lists([[i, i + 1] for i in range(9)] * 3)
    memory = Memory(MemorySettings(window=1, backward=0.0)).fit(train, 10)
    return ScoreRecommender(tiny_catalog(10), memory)


def ids(found) -> list[str]:
    return [each.item_id for each in found]


def test_ids_go_in_and_out(recommender):
    found = recommend(recommender, ["item-2", "item-5"], k=2)
    assert ids(found) == ["item-6", "item-3"]
    assert found[0].title == "red chair number 6"
    assert found[0].score > found[1].score
    assert found[0].because == ()


def test_reasons_name_the_item_that_speaks_for_each(recommender):
    found = recommend(recommender, ["item-2", "item-5"], k=2, explain=True)
    assert [each.because[0] for each in found] == [("item-5", pytest.approx(1.0)), ("item-2", pytest.approx(1.0))]


def test_seen_items_return_only_when_asked_for(recommender):
    history = ["item-2", "item-3"]
    assert "item-3" not in ids(recommend(recommender, history, k=10))
    assert ids(recommend(recommender, history, k=2, exclude_seen=False)) == ["item-4", "item-3"]


def test_filters_hold(recommender):
    found = recommend(recommender, ["item-5"], k=10, allow=["title~blue"], deny=["item_id=item-7"])
    assert set(ids(found)) == {"item-1", "item-3", "item-9"}


def test_newcomers_get_an_answer_even_with_reasons(recommender):
    assert len(recommend(recommender, [], k=3, explain=True)) == 3


def test_unknown_items_and_places_are_refused(recommender):
    with pytest.raises(DataError, match=r"'item-22' is not in the catalog"):
        recommend(recommender, ["item-22"])
    with pytest.raises(DataError, match="k is 0"):
        recommend(recommender, ["item-2"], k=0)


def test_reasons_are_shares(recommender):
    for each in recommend(recommender, ["item-1", "item-4", "item-7"], k=5, explain=True):
        shares = np.array([share for _, share in each.because])
        assert (shares > 0).all()
        assert shares.sum() <= 1 + 1e-6
