"""Test kit for recommenders: the contract every model must fulfil, and tiny data sets with known right answers.

The test of a model inherits `RecommenderContract` and builds a fitted recommender:

    class TestMine(RecommenderContract):
        @classmethod
        def make(cls) -> Recommender:
            return MyRecommender(tiny_catalog(20), …)

pytest finds the inherited tests; nothing here needs pytest itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from lexirec.core.errors import LexirecError
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.models.loading import load_recommender
from lexirec.models.recommend import recommend

_COLORS = ("red", "blue")
_THINGS = ("lamp", "chair", "kettle", "rug", "vase")


def tiny_catalog(items: int) -> Catalog:
    """Return a catalogue of items `item-0`, `item-1` …; items of one parity share their colour word."""
    titles = [f"{_COLORS[i % 2]} {_THINGS[i % len(_THINGS)]} number {i}" for i in range(items)]
    return Catalog(pa.table({"item_id": [f"item-{i}" for i in range(items)], "title": titles}), ("title",))


def checkerboard(items: int, seed: int = 0) -> Sequences:
    """Return histories whose next item is known: user i has all items of i's parity except item i, in random order.

    With seen items excluded, item i is the only one of user i's parity that is left, so it must rank first. After the
    matrix in the tests of `implicit` (Frederickson).
    """
    random = np.random.default_rng(seed)
    rows = [np.setdiff1d(np.arange(user % 2, items, 2), [user]) for user in range(items)]
    return Sequences.from_lists([random.permutation(row).tolist() for row in rows])


def circle_walks(items: int, shoppers: int = 200, seed: int = 0) -> Sequences:
    """Return histories on a circle: item i is always followed by item i + 1, the last item by the first."""
    random = np.random.default_rng(seed)
    starts, lengths = random.integers(0, items, shoppers), random.integers(3, 9, shoppers)
    return Sequences.from_lists([((start + np.arange(n)) % items).tolist() for start, n in zip(starts, lengths)])


class RecommenderContract:
    """Tests that every recommender must pass; inherit it and override `make`.

    The recommender should have at least 8 items; it is built once per class.
    """

    boosts_are_added: ClassVar[bool] = True
    """Whether boosts are added to scores or to logarithms of their shares; if not, they act in the lists of parts."""
    _recommenders: ClassVar[dict[type, Recommender]] = {}

    @classmethod
    def make(cls) -> Recommender:
        """Return a fitted recommender of the model under test."""
        raise NotImplementedError(f"{cls.__name__} must override `make` and return a fitted recommender")

    @classmethod
    def recommender(cls) -> Recommender:
        """Return the recommender under test, built on first use."""
        if cls not in RecommenderContract._recommenders:
            RecommenderContract._recommenders[cls] = cls.make()
        return RecommenderContract._recommenders[cls]

    @classmethod
    def histories(cls) -> Sequences:
        """Return histories without items, with one, with a few, with a repeated item, and longer than models read."""
        n_items = len(cls.recommender().catalog)
        random = np.random.default_rng(7)
        most = random.permutation(n_items)[: max(1, n_items - 3)].tolist()
        return Sequences.from_lists([[], [0], [1, 3, 2], [4, 4, 1], most, random.permutation(n_items)[:5].tolist()])

    def test_lists_have_the_requested_shape_and_descending_scores(self) -> None:
        """Items are numbers of the catalogue, and scores never rise within a list."""
        ranking = self.recommender().rank(self.histories(), k=4)
        assert ranking.items.shape == ranking.scores.shape == (6, 4)
        assert ranking.items.dtype == np.int32
        assert ranking.items.min() >= 0
        assert ranking.items.max() < len(self.recommender().catalog)
        assert (np.diff(ranking.scores, axis=1) <= 0).all()

    def test_no_item_is_repeated_in_a_list(self) -> None:
        """All items of a list are distinct."""
        for row in self.recommender().rank(self.histories(), k=7).items:
            assert len(set(row.tolist())) == 7

    def test_seen_items_are_excluded_on_request(self) -> None:
        """Also the items beyond what the model reads of a history."""
        histories = self.histories()
        for i, row in enumerate(self.recommender().rank(histories, k=3, exclude_seen=True).items):
            assert not set(row.tolist()) & set(histories.row(i).tolist())
            assert (row >= 0).all()

    def test_lists_are_padded_where_no_item_is_left(self) -> None:
        """Positions after the last allowed item hold −1, never an item that is not allowed."""
        recommender, histories = self.recommender(), self.histories()
        n_items = len(recommender.catalog)
        items = recommender.rank(histories, k=n_items + 2, exclude_seen=True).items
        unseen = [n_items - len(set(histories.row(i).tolist())) for i in range(len(histories))]
        assert (items[:, n_items:] == -1).all()
        assert all((row >= 0).sum() <= left for row, left in zip(items, unseen))
        assert all((np.diff((row < 0).astype(int)) >= 0).all() for row in items)

    def test_only_allowed_items_are_ranked(self) -> None:
        """`allowed` is one set of items for all rows, or one per row."""
        recommender, histories = self.recommender(), self.histories()
        for_all = np.zeros(len(recommender.catalog), dtype=np.bool_)
        for_all[[1, 4, 6]] = True
        assert set(recommender.rank(histories, k=5, allowed=for_all).items.ravel().tolist()) == {-1, 1, 4, 6}
        per_row = np.zeros((len(histories), len(for_all)), dtype=np.bool_)
        per_row[np.arange(len(histories)), np.arange(len(histories))] = True
        assert recommender.rank(histories, k=1, allowed=per_row).items[:, 0].tolist() == list(range(len(histories)))

    def test_boosts_are_added_to_the_scores_of_all_items(self) -> None:
        """Less its boost, an item's score keeps the order it has without boosts; `boosts` may differ per row."""
        recommender, histories = self.recommender(), self.histories()
        n_items = len(recommender.catalog)
        per_row = np.random.default_rng(3).normal(size=(len(histories), n_items)).astype(np.float32)
        for boosts in (per_row, per_row[0]):
            plain, changed = (recommender.rank(histories, k=n_items, boosts=given) for given in (None, boosts))
            assert np.array_equal(np.sort(plain.items, axis=1), np.sort(changed.items, axis=1))
            assert (np.diff(changed.scores, axis=1) <= 0).all()
            if self.boosts_are_added:
                less = np.zeros((len(histories), n_items), dtype=np.float32)
                np.put_along_axis(less, changed.items.astype(np.int64), changed.scores, axis=1)
                less -= boosts
                assert (np.diff(np.take_along_axis(less, plain.items.astype(np.int64), axis=1), axis=1) < 1e-3).all()

    def test_a_great_boost_lifts_any_item_to_the_top(self) -> None:
        """The search does not prune it before its boost would come; an item that is not allowed stays out."""
        recommender, histories = self.recommender(), self.histories()
        n_items, rows = len(recommender.catalog), np.arange(len(histories))
        worst = recommender.rank(histories, k=n_items).items[:, -1]
        boosts = np.zeros((len(histories), n_items), dtype=np.float32)
        boosts[rows, worst] = 10_000
        assert np.array_equal(recommender.rank(histories, k=1, boosts=boosts).items[:, 0], worst)
        allowed = boosts == 0
        assert not (recommender.rank(histories, k=1, boosts=boosts, allowed=allowed).items[:, 0] == worst).any()

    def test_boosts_of_zero_change_nothing(self) -> None:
        """Also for one row among others that are boosted."""
        recommender, histories = self.recommender(), self.histories()
        plain = recommender.rank(histories, k=5, exclude_seen=True)
        boosts = np.zeros((len(histories), len(recommender.catalog)), dtype=np.float32)
        same = recommender.rank(histories, k=5, exclude_seen=True, boosts=boosts)
        assert np.array_equal(plain.items, same.items)
        assert np.array_equal(plain.scores, same.scores)
        boosts[1] = np.linspace(-2, 2, boosts.shape[1])
        others = np.arange(len(histories)) != 1
        some = recommender.rank(histories, k=5, exclude_seen=True, boosts=boosts)
        assert np.array_equal(plain.items[others], some.items[others])
        assert np.allclose(plain.scores[others], some.scores[others], atol=1e-5)

    def test_new_users_get_recommendations(self) -> None:
        """A history without items is no error, alone or among others."""
        recommendations = recommend(self.recommender(), [], k=3)
        assert len(recommendations) == 3
        assert all(np.isfinite(recommendation.score) for recommendation in recommendations)

    def test_an_unknown_item_is_refused_by_name(self) -> None:
        """The message is one line that names the item."""
        message = _refusal(lambda: recommend(self.recommender(), ["no such item"]))
        assert "no such item" in message

    def test_impossible_requests_are_refused(self) -> None:
        """A list of no items, or a filter that does not fit the catalogue, is a user's mistake."""
        recommender, histories = self.recommender(), self.histories()
        assert "k = 0" in _refusal(lambda: recommender.rank(histories, k=0))
        assert "allowed" in _refusal(lambda: recommender.rank(histories, k=1, allowed=np.ones(3, dtype=np.bool_)))

    def test_item_numbers_that_no_item_has_are_refused(self) -> None:
        """Below 0, one too large, far too large; the catalogue's last item is fine."""
        recommender, n_items = self.recommender(), len(self.recommender().catalog)
        for number in (-1, n_items, n_items + 10_000_000, -(2**31) + 1, 2**31 - 1):
            histories = Sequences.from_lists([[0, 1], [2, number, 3]])
            message = _refusal(partial(recommender.rank, histories, k=2))
            assert f"history 1 holds item number {number}," in message
        assert recommender.rank(Sequences.from_lists([[n_items - 1]]), k=1).items[0, 0] >= 0

    def test_arguments_of_other_types_are_refused(self) -> None:
        """A history as a text or list, numbers that are not whole, a mask of numbers, a length that is no number."""
        recommender, histories = self.recommender(), self.histories()
        n_items = len(recommender.catalog)
        rank: Any = recommender.rank
        wrong: list[tuple[Any, dict[str, Any]]] = [
            ("item-0", {"k": 2}),
            ([[0, 1]], {"k": 2}),
            (np.array([[0, 1]]), {"k": 2}),
            (histories, {"k": "2"}),
            (histories, {"k": 2.0}),
            (histories, {"k": True}),
            (histories, {"k": 2, "exclude_seen": "no"}),
            (histories, {"k": 2, "allowed": [True] * n_items}),
            (histories, {"k": 2, "allowed": np.ones(n_items, dtype=np.int64)}),
            (histories, {"k": 2, "allowed": np.ones((n_items, 1), dtype=np.bool_)}),
            (histories, {"k": 2, "boosts": [0.5] * n_items}),
            (histories, {"k": 2, "boosts": np.ones(n_items, dtype=np.int64)}),
            (histories, {"k": 2, "boosts": np.ones((n_items, 1), dtype=np.float32)}),
            (histories, {"k": 2, "boosts": np.full(n_items, np.nan, dtype=np.float32)}),
            (histories, {"k": 2, "boosts": np.full(n_items, -np.inf, dtype=np.float32)}),
        ]
        for given, options in wrong:
            assert _refusal(partial(rank, given, **options))
        text: Any = "item-0"
        assert "list" in _refusal(lambda: recommend(recommender, text))
        assert "list" in _refusal(lambda: recommend(recommender, ["item-0"], allow=text))

    def test_equal_scores_go_to_the_smaller_item_number(self) -> None:
        """Within a list; which items a list holds is the search's business."""
        ranking = self.recommender().rank(self.histories(), k=7)
        tied = (np.diff(ranking.scores, axis=1) == 0) & (ranking.items[:, 1:] >= 0)
        assert (np.diff(ranking.items, axis=1)[tied] > 0).all()

    def test_rankings_are_deterministic(self) -> None:
        """Ranking the same histories twice gives the same items and scores."""
        one, two = (self.recommender().rank(self.histories(), k=6) for _ in range(2))
        assert np.array_equal(one.items, two.items)
        assert np.array_equal(one.scores, two.scores)

    def test_a_ranking_does_not_depend_on_the_rest_of_the_batch(self) -> None:
        """Ranking one history alone gives the scores it gets among others."""
        histories = self.histories()
        together = self.recommender().rank(histories, k=5)
        for i in range(len(histories)):
            alone = self.recommender().rank(histories.take([i]), k=5)
            assert np.allclose(alone.scores[0], together.scores[i], atol=1e-4)

    def test_a_saved_recommender_ranks_as_before(self, tmp_path: Path) -> None:
        """One folder holds everything `load_recommender` needs."""
        self.recommender().save(tmp_path / "saved")
        loaded = load_recommender(tmp_path / "saved")
        assert loaded.catalog.digest == self.recommender().catalog.digest
        one, two = (each.rank(self.histories(), k=6, exclude_seen=True) for each in (self.recommender(), loaded))
        assert np.array_equal(one.items, two.items)
        assert np.allclose(one.scores, two.scores, atol=1e-6)

    def test_probabilities_sum_to_one_where_the_protocol_declares_them(self) -> None:
        """They sum over the whole catalogue; excluding seen items does not change those of the others."""
        recommender, histories = self.recommender(), self.histories()
        if not recommender.protocol.get("probabilities"):
            return
        n_items = len(recommender.catalog)
        kept, excluded = (recommender.rank(histories, k=n_items, exclude_seen=flag) for flag in (False, True))
        assert np.allclose(np.exp(kept.scores.astype(np.float64)).sum(axis=1), 1, atol=1e-3)
        one, two = (np.full((len(histories), n_items + 1), -np.inf) for _ in range(2))  # −1 falls into the last column
        np.put_along_axis(one, kept.items.astype(np.int64), kept.scores, axis=1)
        np.put_along_axis(two, excluded.items.astype(np.int64), excluded.scores, axis=1)
        unseen = np.isfinite(two)
        assert np.allclose(one[unseen], two[unseen], atol=1e-3)

    def test_the_protocol_is_json(self) -> None:
        """The protocol names the recommender and holds JSON values only."""
        protocol = self.recommender().protocol
        assert protocol["recommender"]
        assert json.loads(json.dumps(protocol)) == protocol


def _refusal(request: Callable[[], object]) -> str:
    """Return the message of the error a request raises; it must be one line."""
    try:
        request()
    except LexirecError as error:
        message = str(error)
    else:
        raise AssertionError("an impossible request raised no LexirecError")
    assert "\n" not in message
    return message
