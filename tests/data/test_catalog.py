from __future__ import annotations

import gzip
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.catalog import Catalog

ROWS = [
    {"asin": 11, "name": "Red  mug\n(large)", "brand": None, "categories": ["Kitchen", "Mugs"], "price": 5.0},
    {"asin": 7, "name": "Blue mug", "brand": "Tassel", "categories": None, "price": 5.25},
    {"asin": 9, "name": None, "brand": "Tassel", "categories": [], "price": None},
]
COLUMNS = {"item_id": "asin", "title": "name"}
TEXT = ["title", "brand", "categories"]


@pytest.fixture
def parquet(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


def as_json(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_parquet_with_mapped_columns(parquet):
    catalog = Catalog.read(parquet, text=TEXT, columns=COLUMNS)
    assert len(catalog) == 3
    assert catalog.item_ids == ["11", "7", "9"]
    assert catalog.field("price") == ["5", "5.25", ""]
    assert catalog.field("categories") == ["Kitchen, Mugs", "", ""]
    assert catalog.table.schema.field("categories").type == pa.list_(pa.string())
    assert catalog.texts() == [
        "title: Red mug (large); categories: Kitchen, Mugs",
        "title: Blue mug; brand: Tassel",
        "brand: Tassel",
    ]
    assert catalog.texts(["brand"]) == ["", "brand: Tassel", "brand: Tassel"]
    assert catalog.rejected == {}


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("items.jsonl", bytes),
        ("items.ndjson.gz", gzip.compress),
        ("items.json.zst", zstd),
        # Two frames behind each other are one file, as `cat a.zst b.zst` makes them.
        (
            "items.jsonl.zst",
            lambda text: b"".join(zstd(p) for p in (text[:50], text[50:])),
        ),
    ],
)
def test_json_lines_hold_the_same_items(tmp_path, parquet, name, pack):
    (tmp_path / name).write_bytes(pack(as_json(ROWS)))
    catalog = Catalog.read(tmp_path / name, text=TEXT, columns=COLUMNS)
    same = Catalog.read(parquet, text=TEXT, columns=COLUMNS)
    assert catalog.item_ids == same.item_ids
    assert catalog.texts() == same.texts()


@pytest.mark.parametrize(("name", "mark"), [("items.csv", ","), ("items.csv", ";"), ("items.tsv", "\t")])
def test_delimited_text(tmp_path, name, mark):
    text = f'\ufeffasin{mark}name\n11{mark}"Red {mark} mug"\n007{mark}Blue mug\n'
    (tmp_path / name).write_text(text, encoding="utf-8")
    catalog = Catalog.read(tmp_path / name, text=["title"], columns=COLUMNS)
    assert catalog.item_ids == ["11", "007"]
    assert catalog.field("title") == [f"Red {mark} mug".replace("\t", "").replace("  ", " "), "Blue mug"]


@pytest.mark.parametrize("name", ["items.parquet", "items.jsonl"])
def test_nulls_inside_lists_do_not_hide_the_rest(tmp_path, name):
    row = {"item_id": "a", "categories": ["Kitchen", None, "Mugs"]}
    if name == "items.jsonl":
        (tmp_path / name).write_bytes(as_json([row, {"item_id": "b", "categories": "Pots"}]))
    else:
        pq.write_table(pa.Table.from_pylist([row, {"item_id": "b", "categories": ["Pots"]}]), tmp_path / name)
    catalog = Catalog.read(tmp_path / name, text=["categories"])
    assert catalog.field("categories") == ["Kitchen, Mugs", "Pots"]


def test_whole_floats_are_ids_without_a_point(tmp_path):
    pq.write_table(pa.table({"item_id": [1.0, 2.0], "title": ["a", "b"]}), tmp_path / "items.parquet")
    assert Catalog.read(tmp_path / "items.parquet", text=["title"]).item_ids == ["1", "2"]


def test_numbers_and_their_errors(parquet):
    catalog = Catalog.read(parquet, text=["title", "brand"], columns=COLUMNS)
    numbers = catalog.numbers(["9", "11"])
    assert numbers.tolist() == [2, 0]
    assert numbers.dtype == np.int32
    assert catalog.find(["7", "none"]).tolist() == [1, -1]
    assert len(catalog.numbers([])) == 0
    with pytest.raises(DataError, match=r"^Item '111' is not in the catalog of 3 items. Did you mean '11'\?$"):
        catalog.numbers(["9", "111"])


def test_unknown_fields_name_the_nearest(parquet):
    catalog = Catalog.read(parquet, text=["title", "brand"], columns=COLUMNS)
    with pytest.raises(DataError, match=r"no field 'titel'; .*Did you mean 'title'\?"):
        catalog.field("titel")


def test_save_load_and_digest(tmp_path, parquet):
    catalog = Catalog.read(parquet, text=TEXT, columns=COLUMNS)
    catalog.save(tmp_path / "catalog")
    loaded = Catalog.load(tmp_path / "catalog")
    assert loaded.table.equals(catalog.table)
    assert loaded.text_fields == catalog.text_fields
    assert loaded.digest == catalog.digest
    with pytest.raises(ArtifactError, match=r"not written by Catalog.save"):
        Catalog.load(parquet.parent)


@pytest.mark.parametrize("name", ["items.jsonl", "items.jsonl.gz"])
def test_a_byte_order_mark_before_json_lines_is_no_matter(tmp_path, name):
    text = "\ufeff" + '{"item_id": "a", "title": "x"}\r\n{"item_id": "b", "title": "y"}\r\n'
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert Catalog.read(tmp_path / name, text=["title"]).item_ids == ["a", "b"]


def test_decimals_and_truth_values_are_hashed_by_their_values(tmp_path):
    table = pa.table(
        {
            "item_id": ["a", "b", "c"],
            "title": ["x", "y", "z"],
            "price": pa.array([Decimal("1.50"), None, Decimal("20.00")], pa.decimal128(10, 2)),
            "sold": [True, None, False],
        }
    )
    pq.write_table(table, tmp_path / "items.parquet")
    first, second = (Catalog.read(tmp_path / "items.parquet", text=["title"]) for _ in range(2))
    assert first.digest == second.digest
    assert first.field("price") == ["1.5", "", "20"]
    assert first.field("sold") == ["true", "", "false"]
    first.save(tmp_path / "saved")
    assert Catalog.load(tmp_path / "saved").digest == first.digest


def test_digest_sees_values_and_not_their_layout(parquet):
    catalog = Catalog.read(parquet, text=TEXT, columns=COLUMNS)
    chunked = pa.concat_tables([catalog.table.slice(0, 1), catalog.table.slice(1)])
    assert Catalog(chunked, catalog.text_fields).digest == catalog.digest
    assert Catalog(catalog.table, ("title",)).digest != catalog.digest
    assert catalog.take(np.array([1, 0, 2])).digest != catalog.digest
    moved = Catalog(pa.table({"item_id": ["a", "b"], "title": ["xy", ""]}), ("title",))
    assert moved.digest != Catalog(pa.table({"item_id": ["a", "b"], "title": ["x", "y"]}), ("title",)).digest


def test_take_renumbers(parquet):
    catalog = Catalog.read(parquet, text=TEXT, columns=COLUMNS).take(np.array([2, 0]))
    assert catalog.item_ids == ["9", "11"]
    assert catalog.numbers(["11"]).tolist() == [1]


@pytest.mark.data
def test_real_catalogs(data_dir):
    for name, size in (("beauty", 12_101), ("office14", 2_420), ("industrial18", 3_686), ("videogames18", 3_858)):
        catalog = Catalog.read(data_dir / name / "items.parquet", text=["title", "brand", "categories", "description"])
        assert len(catalog) == size
        assert all(catalog.texts())
