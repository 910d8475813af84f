import numpy as np
import pytest
from torch import nn

from lexirec.core.errors import SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.base import GenerativeRecommender
from lexirec.nn.search import SearchResult


class Finds:
    """Finds the items in their order, whoever asks, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict] = []

    def list_length(self, k):
        return k + 1

    def rank(self, histories, k, **options):
        self.asked.append(options)
        items = np.tile(np.arange(k, dtype=np.int32), (len(histories), 1))
        return SearchResult(items, -items.astype(np.float32), np.ones(len(histories), dtype=bool))


class Small(GenerativeRecommender[Finds]):
    made = 0

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog)
        self.model = nn.Linear(1, 1)

    @property
    def protocol(self):
        return {"recommender": "small"}

    def save(self, folder):
        raise NotImplementedError

    def _make_searcher(self):
        self.made += 1
        return Finds()

    def fit(self):
        self._to_device()
        return self


@pytest.fixture
def small(tmp_path) -> Small:
    rows = "".join(f"i{number},thing {number}\n" for number in range(6))
    (tmp_path / "items.csv").write_text(f"item_id,title\n{rows}", encoding="utf-8")
    return Small(Catalog.read(tmp_path / "items.csv", text=["title"]))


def test_the_searcher_is_made_on_first_use_and_again_when_weights_may_have_changed(small):
    histories = Sequences.from_lists([[0], [1, 2]])
    assert small.made == 0
    small.rank(histories, k=3)
    small.rank(histories, k=3)
    assert small.made == 1
    small.fit().rank(histories, k=3)
    assert small.made == 2


def test_ranking_passes_on_what_is_asked(small):
    allowed = np.ones(6, dtype=bool)
    found = small.rank(Sequences.from_lists([[0]]), k=4, exclude_seen=True, allowed=allowed)
    assert found.items.tolist() == [[0, 1, 2, 3]]
    (asked,) = small.searcher.asked
    assert asked["exclude_seen"] is True
    assert asked["allowed"] is allowed


def test_impossible_requests_are_refused_before_anything_is_made(small):
    with pytest.raises(SettingsError, match="k = 0"):
        small.rank(Sequences.from_lists([[0]]), k=0)
    with pytest.raises(SettingsError, match=r"allowed has shape \(5,\)"):
        small.rank(Sequences.from_lists([[0]]), k=2, allowed=np.ones(5, dtype=bool))
    assert small.made == 0


def test_recommending_tells_items_in_words(small):
    found = small.recommend(["i3"], k=2)
    assert [(each.item_id, each.title) for each in found] == [("i0", "thing 0"), ("i1", "thing 1")]
