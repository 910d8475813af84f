from __future__ import annotations

import datetime

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from lexirec.core.config import load_settings
from lexirec.core.errors import DataError
from lexirec.data.loading import DataSettings, GlobalTemporal, Published, read_data, split_data

EXPERIMENT = """
items = "shop/items.csv"
interactions = "shop/events.csv"
text = ["title", "brand"]
item_columns = {item_id = "asin", title = "name"}
interaction_columns = {item_id = "product", time = "at"}
on_bad_row = "reject"
max_history = 2
"""


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "items.csv").write_text("asin,name,brand\na,Mug,x\nb,Pot,\nc,,\nd,Lid,x\n")
    days = ["u,a,2014-01-01", "u,b,2014-01-02", "u,c,2014-01-03", "u,d,2014-01-04", "v,a,2014-01-02", "v,b,tomorrow"]
    (tmp_path / "shop" / "events.csv").write_text("user_id,product,at\n" + "\n".join(days) + "\nv,b,2014-01-05\n")
    (tmp_path / "data.toml").write_text(EXPERIMENT)
    return tmp_path


def load(folder, *overrides):
    return load_settings(folder / "data.toml", DataSettings, overrides)


def test_settings_become_a_catalogue_and_interactions(shop):
    settings = load(shop)
    catalog, interactions = read_data(settings, rejects=shop / "out" / "rejects.parquet")
    assert catalog.item_ids == ["a", "b", "d"]
    assert [interactions.sequences.row(i).tolist() for i in range(2)] == [[0, 1, 2], [0, 1]]
    assert catalog.rejected == {"empty text of item": 1}
    assert interactions.rejected == {"unknown item": 1, "no time": 1}
    written = pq.read_table(shop / "out" / "rejects.parquet")
    assert written.column("reason").to_pylist() == ["empty text of item", "unknown item", "no time"]
    protocol = split_data(settings, interactions).protocol
    assert protocol["rejected_items"] == {"empty text of item": 1}
    assert protocol["catalog"] == catalog.digest
    assert protocol["max_history"] == 2
    assert protocol["order"] == "by column 'at', ties keep file order"


def test_relative_paths_start_from_base(shop, monkeypatch):
    settings = DataSettings.model_validate(
        {**load(shop).model_dump(), "items": "items.csv", "interactions": "events.csv"}
    )
    catalog, _ = read_data(settings, shop / "shop")
    assert len(catalog) == 3


def test_bad_rows_stop_by_default(shop):
    with pytest.raises(DataError, match=r"items.csv, row 3, column 'name': empty text of item 'c'"):
        read_data(load(shop, "on_bad_row=error"))


def test_k_core_is_applied(shop):
    catalog, interactions = read_data(load(shop, "k_core=2"))
    assert catalog.item_ids == ["a", "b"]
    assert split_data(load(shop), interactions).protocol["k_core"] == 2


def test_splits_are_chosen_by_kind(shop):
    settings = load(shop, "split={kind='global-temporal', cuts=[2014-01-03, 2014-01-05T00:00:00]}")
    assert isinstance(settings.split, GlobalTemporal)
    _, interactions = read_data(settings)
    split = split_data(settings, interactions)
    midnight = datetime.datetime(2014, 1, 3, tzinfo=datetime.UTC).timestamp()
    assert split.protocol["validation_from"] == midnight
    assert (len(split.validation), len(split.test)) == (1, 1)
    settings = load(shop, "split={hold_back=1.0}")
    assert settings.split.kind == "leave-last-out", "the usual kind needs no name"
    assert split_data(settings, interactions).protocol["hold_back"] == 1.0
    settings = load(shop, "split={kind='published'}")
    assert isinstance(settings.split, Published)
    with pytest.raises(DataError, match="needs a column with train"):
        split_data(settings, interactions)


@pytest.mark.parametrize(
    "wrong", [{"max_history": 0}, {"k_core": 1}, {"text": []}, {"time_unit": "h"}, {"columns": {}}]
)
def test_settings_are_closed(wrong):
    with pytest.raises(ValidationError):
        DataSettings.model_validate({"items": "a", "interactions": "b", **wrong})
