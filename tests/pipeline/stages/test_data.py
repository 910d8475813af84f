import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.pipeline.components import Tables, ToyShop
from lexirec.pipeline.stages.data import load_split, load_times, prepare_data, prepare_times


@pytest.fixture
def tables(tmp_path):
    pq.write_table(
        pa.table({"item_id": list("abcd"), "title": ["one", "two", "three", "four"]}), tmp_path / "i.parquet"
    )
    events = [("u", "a", 40), ("u", "b", 10), ("v", "c", 7), ("u", "c", 30), ("u", "d", 20), ("w", "a", 5)]
    events = [(user, item, 1_500_000_000 + seconds) for user, item, seconds in events]
    users, items, times = zip(*events)
    pq.write_table(pa.table({"user_id": users, "item_id": items, "time": times}), tmp_path / "e.parquet")
    return Tables(items=tmp_path / "i.parquet", interactions=tmp_path / "e.parquet")


def test_times_stand_beside_the_training_events(tables, tmp_path):
    prepare_data(tables, {}, tmp_path)
    prepare_times(tables, {}, tmp_path)
    times, train = load_times(tmp_path), load_split(tmp_path).train
    assert [train.row(row).tolist() for row in range(3)] == [[1, 3], [2], [0]]
    assert (times - 1.5e9).tolist() == [10.0, 20.0, 7.0, 5.0]


def test_data_without_times_have_none(tables, tmp_path):
    prepare_times(tables.model_copy(update={"interaction_columns": {"time": ""}}), {}, tmp_path)
    assert load_times(tmp_path) is None
    assert "no event times" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_the_toy_shop_has_times(tmp_path):
    shop = ToyShop(products=100, shoppers=40)
    prepare_data(shop, {}, tmp_path)
    prepare_times(shop, {}, tmp_path)
    times, train = load_times(tmp_path), load_split(tmp_path).train
    assert len(times) == len(train.items)
    assert (np.diff(times)[np.diff(np.repeat(np.arange(len(train)), train.lengths)) == 0] >= 0).all()
