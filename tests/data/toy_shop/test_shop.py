"""The toy shop is a fair little world: text, hierarchy and collaboration each carry signal, and none is enough."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from lexirec.core.errors import SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.toy_shop.generator import read_words
from lexirec.data.toy_shop.shop import mini_world, toy_shop


@dataclass(frozen=True)
class World:
    """The default shop as numbers: histories, what was bought last, and what the items are."""

    items: list[dict]
    sequences: list[NDArray[np.int64]]
    leaf: NDArray[np.int64]
    brand: NDArray[np.int64]
    circle: NDArray[np.int64]

    @property
    def n(self) -> int:
        return len(self.items)

    def steps(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Training successions (from, to): everything but each shopper's last two events."""
        pairs = [(row[:-3], row[1:-2]) for row in self.sequences]
        return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])

    def recall(self, scores_of: NDArray, k: int = 10) -> float:
        """Recall@k of the last event; row i of `scores_of` (n, n) scores what follows item i; seen items excluded."""
        last, target = np.array([row[-2:] for row in self.sequences]).T
        scores = scores_of[last].astype(np.float64)
        for row, history in zip(scores, self.sequences, strict=True):
            row[history[:-1]] = -np.inf
        better = (scores > scores[np.arange(len(target)), target][:, None]).sum(axis=1)
        return float((better < k).mean())


@pytest.fixture(scope="module")
def world() -> World:
    shop = toy_shop()
    items = shop.items.to_pylist()
    number = {item["item_id"]: i for i, item in enumerate(items)}
    rows: dict[str, list[int]] = {}
    for event in shop.interactions.to_pylist():
        rows.setdefault(event["user_id"], []).append(number[event["item_id"]])
    brands = {brand["name"]: brand for brand in read_words().brands}
    leaf = np.unique([" > ".join(item["categories"]) for item in items], return_inverse=True)[1]
    brand = np.unique([item["brand"] for item in items], return_inverse=True)[1]
    circle = np.array([brands[item["brand"]]["circle"] for item in items])
    return World(items, [np.array(row) for row in rows.values()], leaf, brand, circle)


@pytest.fixture(scope="module")
def popularity(world: World) -> NDArray:
    return np.bincount(np.concatenate([row[:-2] for row in world.sequences]), minlength=world.n).astype(np.float64)


@pytest.fixture(scope="module")
def transitions(world: World) -> NDArray:
    counts = np.zeros((world.n, world.n))
    np.add.at(counts, world.steps(), 1.0)
    return counts


def lift(world: World, same: NDArray, kept: NDArray | None = None) -> float:
    """How much likelier two successive items share `same` than two random purchases do."""
    source, target = world.steps()
    shuffled = np.random.default_rng(0).permutation(target)
    apart = np.ones(len(source), dtype=bool) if kept is None else kept[source] != kept[target]
    by_chance = np.ones(len(source), dtype=bool) if kept is None else kept[source] != kept[shuffled]
    return float((same[source] == same[target])[apart].mean() / (same[source] == same[shuffled])[by_chance].mean())


class TestShape:
    def test_default_sizes_and_columns(self, world: World) -> None:
        shop = toy_shop()
        assert shop.items.column_names == ["item_id", "title", "brand", "categories", "price", "description"]
        assert shop.interactions.column_names == ["user_id", "item_id", "time"]
        assert world.n == 800
        assert len(world.sequences) == 2000

    def test_titles_and_ids_are_unique_and_the_taxonomy_has_three_levels(self, world: World) -> None:
        assert len({item["title"] for item in world.items}) == world.n
        assert len({item["item_id"] for item in world.items}) == world.n
        assert {len(item["categories"]) for item in world.items} == {3}
        assert len({item["categories"][0] for item in world.items}) == 8

    def test_a_few_prices_and_descriptions_are_unknown(self, world: World) -> None:
        for field in ("price", "description"):
            assert 0.005 < np.mean([item[field] is None for item in world.items]) < 0.1
        assert min(item["price"] for item in world.items if item["price"] is not None) > 1

    def test_every_shopper_has_5_to_25_events_and_buys_nothing_twice(self, world: World) -> None:
        lengths = np.array([len(row) for row in world.sequences])
        assert lengths.min() == 5
        assert lengths.max() == 25
        assert all(len(set(row.tolist())) == len(row) for row in world.sequences)

    def test_every_item_is_bought_and_popularity_is_skewed(self, world: World) -> None:
        counts = np.sort(np.bincount(np.concatenate(world.sequences), minlength=world.n))[::-1]
        assert counts[-1] >= 1
        assert (counts >= 5).mean() > 0.95
        assert counts[: world.n // 5].sum() / counts.sum() > 0.33

    def test_time_goes_on_with_gaps_of_hours_and_of_weeks(self) -> None:
        events = toy_shop(items=200, shoppers=300).interactions
        rows: dict[str, list[int]] = {}
        for user, moment in zip(events["user_id"].to_pylist(), events["time"].to_pylist(), strict=True):
            rows.setdefault(user, []).append(moment)
        gaps = np.array([b - a for row in rows.values() for a, b in pairwise(row)])
        assert gaps.min() >= 60
        assert (gaps < 86_400).mean() > 0.3
        assert (gaps > 7 * 86_400).mean() > 0.2
        assert events["time"].to_pylist() == sorted(events["time"].to_pylist())

    def test_rows_of_the_catalogue_do_not_give_the_category_away(self, world: World) -> None:
        assert (world.leaf[1:] == world.leaf[:-1]).mean() < 0.05


class TestSeed:
    def test_equal_seeds_give_equal_shops_and_others_do_not(self) -> None:
        first, again, other = (toy_shop(seed=seed, items=120, shoppers=40) for seed in (3, 3, 4))
        assert first.items.equals(again.items)
        assert first.interactions.equals(again.interactions)
        assert not first.items.equals(other.items)

    def test_it_takes_under_three_seconds(self) -> None:
        before = time.perf_counter()
        toy_shop(seed=1)
        assert time.perf_counter() - before < 3.0

    @pytest.mark.parametrize(("items", "shoppers"), [(84, 3), (10_080, 1)])
    def test_the_smallest_and_the_largest_catalogue_work(self, items: int, shoppers: int) -> None:
        shop = toy_shop(items=items, shoppers=shoppers)
        assert len(set(shop.items["title"].to_pylist())) == items
        assert len(set(shop.interactions["user_id"].to_pylist())) == shoppers

    @pytest.mark.parametrize("sizes", [{"items": 83}, {"items": 10_081}, {"shoppers": 0}])
    def test_impossible_sizes_are_refused_in_one_line(self, sizes: dict[str, int]) -> None:
        name, value = next(iter(sizes.items()))
        with pytest.raises(SettingsError, match=rf"^toy_shop\({name}={value}\): [^\n]+$"):
            toy_shop(**sizes)


class TestSignals:
    def test_the_word_file_is_consistent(self) -> None:
        words = read_words()
        assert len(words.types) == 84
        assert words.stocked.shape == (84, 8)
        assert np.allclose(words.steps.sum(axis=1), 1.0)

    def test_transitions_beat_popularity_and_leave_room_above(
        self, world: World, popularity: NDArray, transitions: NDArray
    ) -> None:
        floor = world.recall(np.tile(popularity, (world.n, 1)))
        counted = world.recall(transitions + 1e-6 * popularity)
        assert 0.02 < floor < 0.06
        assert counted > 4 * floor
        assert 0.15 < counted < 0.27

    def test_the_hierarchy_predicts_the_next_category(self, world: World) -> None:
        """The commonest next leaves of a leaf hold the last event far more often than the commonest overall."""
        source, target = world.steps()
        leaves = int(world.leaf.max()) + 1
        table = np.zeros((leaves, leaves))
        np.add.at(table, (world.leaf[source], world.leaf[target]), 1.0)
        last, goal = world.leaf[np.array([row[-2:] for row in world.sequences])].T
        top = np.argsort(-table, axis=1)[:, :4]
        usual = np.argsort(-table.sum(axis=0))[:4]
        assert (top[last] == goal[:, None]).any(axis=1).mean() > 0.35
        assert (top[last] == goal[:, None]).any(axis=1).mean() > 3 * np.isin(goal, usual).mean()

    def test_items_of_one_leaf_share_their_transitions(
        self, world: World, popularity: NDArray, transitions: NDArray
    ) -> None:
        """What followed the *siblings* of an item, but never the item itself, still predicts what follows it."""
        siblings = (world.leaf[:, None] == world.leaf[None, :]) & ~np.eye(world.n, dtype=bool)
        assert world.recall(siblings @ transitions) > 2.5 * world.recall(np.tile(popularity, (world.n, 1)))

    def test_text_neighbours_of_the_last_item_are_bought(self, world: World, popularity: NDArray) -> None:
        texts = ["; ".join(str(item[name]) for name in ("title", "brand", "description")) for item in world.items]
        vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)
        alike = (vectors @ vectors.T).toarray()
        assert world.recall(alike) > 2 * world.recall(np.tile(popularity, (world.n, 1)))
        assert world.recall(alike) > 6 * 10 / world.n

    def test_brands_go_together_in_a_way_the_text_does_not_say(self, world: World) -> None:
        """Purchases in a row of two *different* brands share the hidden circle; their words are no more alike."""
        assert lift(world, world.circle, kept=world.brand) > 1.5
        brands = read_words().brands
        words = TfidfVectorizer(stop_words="english").fit_transform([f"{b['name']} {b['voice']}" for b in brands])
        alike = (words @ words.T).toarray()
        circle = np.array([brand["circle"] for brand in brands])
        pairs = np.triu(np.ones_like(alike, dtype=bool), 1)
        together = circle[:, None] == circle[None, :]
        assert abs(alike[pairs & together].mean() - alike[pairs & ~together].mean()) < 0.01

    def test_shoppers_keep_to_departments_and_brands(self, world: World) -> None:
        departments = np.unique([item["categories"][0] for item in world.items], return_inverse=True)[1]
        assert lift(world, departments) > 3
        assert lift(world, world.brand) > 3


class TestFiles:
    def test_write_makes_two_readable_tables(self, tmp_path) -> None:
        shop = toy_shop(items=100, shoppers=10)
        folder = shop.write(tmp_path / "deep" / "shop")
        assert pq.read_table(folder / "items.parquet").equals(shop.items)
        assert pq.read_table(folder / "interactions.parquet").equals(shop.interactions)

    def test_the_library_reads_them_without_any_mapping(self, tmp_path) -> None:
        folder = toy_shop(items=100, shoppers=10).write(tmp_path)
        catalog = Catalog.read(folder / "items.parquet", text=["title", "brand", "categories", "price", "description"])
        interactions = Interactions.read(folder / "interactions.parquet", catalog)
        assert len(catalog) == 100
        assert len(interactions) == 10
        assert interactions.times is not None
        assert interactions.rejected == {}


class TestMiniWorld:
    def test_each_purchase_is_followed_by_its_successor(self) -> None:
        world = mini_world(rounds=2)
        rows: dict[str, list[str]] = {}
        for event in world.interactions.to_pylist():
            rows.setdefault(event["user_id"], []).append(event["item_id"])
        assert len(rows) == 48
        assert all(len(set(row)) == 6 for row in rows.values())
        assert all(world.follows[a] == b for row in rows.values() for a, b in pairwise(row))

    def test_the_successors_are_four_cycles_of_six_over_all_items(self) -> None:
        world = mini_world()
        ids = world.items["item_id"].to_pylist()
        assert sorted(world.follows) == sorted(world.follows.values()) == sorted(ids)
        groups = set()
        for item in ids:
            path = [item]
            while len(path) < 7:
                path.append(world.follows[path[-1]])
            assert path[6] == item
            groups.add(frozenset(path))
        assert sorted(len(group) for group in groups) == [6, 6, 6, 6]

    def test_the_training_part_holds_each_succession_equally_often(self) -> None:
        world = mini_world(rounds=3)
        rows = np.array(world.interactions["item_id"].to_pylist()).reshape(-1, 6)[:, :4]
        pairs, counts = np.unique(np.stack([rows[:, :-1].ravel(), rows[:, 1:].ravel()]), axis=1, return_counts=True)
        assert pairs.shape == (2, 24)
        assert set(counts.tolist()) == {9}

    def test_no_rounds_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="at least 1 round"):
            mini_world(rounds=0)
