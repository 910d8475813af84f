"""Names of columns that clash with ours, or with the helper columns of reading."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions

HELPERS = [
    "bad", "unreadable", "first_row", "lexirec_row", "lexirec_line", "json", "given", "item_given", "time_given",
    "number", "known", "users", "events", "items", "first", "f0", "v0", "v1", "copy", "rowid", "filename",
    "*", 'a"b', "it's", "%", "a b", "~x/y", "$", "0", "select", "ROW", "名前", "a.b", "[x]", "(x)", "--",
    ";", "NULL", "item id",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_may_have_any_name(tmp_path, kind):
    values = {"item_id": ["a0", "a1"], "title": ["Red river", "Blue moon"]} | {name: ["yes", "no"] for name in HELPERS}
    path = write(tmp_path / f"items.{kind}", values)
    table = Catalog.read(path, text=["title"]).table
    assert sorted(table.column_names) == sorted(values)
    assert table.to_pydict() == {name: values[name] for name in table.column_names}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_mapped_column_may_have_any_name(tmp_path, kind):
    values = {"item_id": ["a0", "a1"], "title": ["Red river", "Blue moon"]} | {name: ["yes", "no"] for name in HELPERS}
    path = write(tmp_path / f"items.{kind}", values)
    for name in HELPERS:
        mapped = Catalog.read(path, text=["tale"], columns={"tale": name})
        assert mapped.field("tale") == ["yes", "no"], name


@pytest.mark.long
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_events_may_have_columns_of_any_name(tmp_path, kind):
    items = Catalog.read(
        write(tmp_path / "items.csv", {"item_id": ["a0", "a1"], "title": ["x y", "z w"]}), text=["title"]
    )
    for name in HELPERS:
        values = {"user_id": ["u", "u"], "item_id": ["a1", "a0"], name: ["1700000001", "1700000000"]}
        path = write(tmp_path / f"events.{kind}", values)
        events = Interactions.read(path, items, columns={"time": name})
        assert events.sequences.items.tolist() == [0, 1], name


@pytest.mark.parametrize(
    ("other", "ours"), [("Brand", "brand"), ("BRAND", "brand"), ("brand", "brand"), ("Title", "title")]
)
def test_a_column_of_one_of_our_names_is_kept_beside_the_mapped_one(tmp_path, other, ours):
    values = {"item_id": ["a0", "a1"], "name": ["Red river", "Blue moon"], other: ["17", "18"]}
    catalog = Catalog.read(write(tmp_path / "items.csv", values), text=[ours], columns={ours: "name"})
    assert catalog.field(ours) == ["Red river", "Blue moon"]
    assert catalog.field(f"{other}_2") == ["17", "18"]


def write(path, values):
    if path.suffix == ".parquet":
        pq.write_table(pa.table(values), path)
        return path
    rows = list(zip(*values.values(), strict=True))
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(values, row, strict=True))) + "\n" for row in rows))
        return path
    lines = [tuple(values), *rows]
    path.write_text("".join(",".join(f'"{value}"' for value in map(doubled, line)) + "\n" for line in lines))
    return path


def doubled(value):
    return value.replace('"', '""')
