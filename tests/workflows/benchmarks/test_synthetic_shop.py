from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import SettingsError
from lexirec.data.loading import DataSettings, read_data, split_data
from lexirec.workflows.benchmarks.synthetic_shop import ShopSize, write_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, ShopSize(2_000, 1_500))
    return folder


def settings(folder) -> DataSettings:
    return DataSettings(
        items=folder / "items.parquet",
        interactions=folder / "interactions.parquet",
        text=("title", "brand", "categories", "description"),
    )


def test_the_tables_are_read_and_split_like_a_shops_own(shop):
    catalog, interactions = read_data(settings(shop))
    split = split_data(settings(shop), interactions)
    assert (len(catalog), len(interactions)) == (2_000, 1_500)
    assert interactions.sequences.lengths.mean() == pytest.approx(8, abs=0.5)
    assert len(split.test) == 1_500


def test_few_items_have_most_events_and_words_follow_zipf(shop):
    events = pq.read_table(shop / "interactions.parquet")
    counts = np.sort(events["item_id"].value_counts().field("counts").to_numpy())[::-1]
    assert counts[:200].sum() > 0.4 * counts.sum()
    assert len(counts) > 1_500
    words = " ".join(pq.read_table(shop / "items.parquet")["description"].to_pylist()).split()
    times = np.sort(np.unique(words, return_counts=True)[1])[::-1]
    assert times[0] > 10 * times[100] > 0


def test_categories_have_words_of_their_own(shop):
    items = pq.read_table(shop / "items.parquet").to_pylist()
    shelves: dict[str, list[set[str]]] = {}
    for item in items:
        shelves.setdefault(item["categories"][-1], []).append(set(item["description"].split()))
    within = [len(a & b) for sets in shelves.values() for a, b in pairwise(sets)]
    across = [len(a[0] & b[0]) for a, b in pairwise(shelves.values())]
    assert np.mean(within) > 1.5 * np.mean(across)
    assert all(len(item["categories"]) == 3 for item in items)


def test_equal_arguments_give_equal_tables(shop, tmp_path):
    for seed, equal in ((0, True), (1, False)):
        write_shop(tmp_path / str(seed), ShopSize(2_000, 1_500), seed)
        for name in ("items", "interactions"):
            found = pq.read_table(tmp_path / str(seed) / f"{name}.parquet")
            assert found.equals(pq.read_table(shop / f"{name}.parquet")) is equal


def test_times_ascend_within_a_user(shop):
    events = pq.read_table(shop / "interactions.parquet")
    user, time = events["user_id"].to_numpy(), events["time"].to_numpy()
    assert (np.diff(time)[user[1:] == user[:-1]] > 0).all()


def test_shops_that_are_too_small_are_refused():
    with pytest.raises(SettingsError, match="100 items, 10 users and 3 events a user at least"):
        ShopSize(99, 50)
