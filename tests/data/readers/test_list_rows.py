import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.inference.schema import guess_tables
from lexirec.data.interactions import Interactions
from lexirec.data.readers.events import EventOptions

ITEMS = Catalog(
    pa.table({"item_id": [f"i{n}" for n in range(9)], "title": [f"thing {n}" for n in range(9)]}), ("title",)
)
HISTORIES = {"ann": ["i0", "i1", "i2", "i0"], "bob": ["i2"], "cid": ["i5", "i4", "i3", "i8", "i7"]}
FORMS = {
    "json": json.dumps,
    "python": repr,
    "tuple": lambda items: repr(tuple(items)),
    "numpy": lambda items: "[" + " ".join(map(repr, items)) + "]",
    "braces": lambda items: "{" + ",".join(items) + "}",
    "blanks": " ".join,
    "bars": "|".join,
    "semicolons": "; ".join,
    "commas": ", ".join,
}


def histories(events):
    users = enumerate(events.user_ids)
    return {str(user): [f"i{item}" for item in events.sequences.row(number)] for number, user in users}


def write(path, columns):
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timed", [False, True])
def test_a_list_in_text_is_a_row_for_each_entry(tmp_path, form, timed):
    write_list = FORMS[form]
    columns = {"user_id": list(HISTORIES), "items": [write_list(items) for items in HISTORIES.values()]}
    if timed:  # newest first
        columns["items"] = [write_list(items[::-1]) for items in HISTORIES.values()]
        moments = [[str(1_600_000_000 + 60 * n) for n in range(len(items))][::-1] for items in HISTORIES.values()]
        columns["times"] = [write_list(each) for each in moments]
    path = write(tmp_path / "events.csv", columns)
    mapped = {"item_id": "items", **({"time": "times"} if timed else {})}
    assert histories(Interactions.read(path, ITEMS, columns=mapped)) == HISTORIES
    write(tmp_path / "items.csv", {"item_id": ITEMS.item_ids, "title": ITEMS.field("title")})
    found = guess_tables(tmp_path / "items.csv", path)
    assert found.interaction_columns == mapped
    assert "column 'items' of the events holds lists of items; each entry is an event" in found.remarks


@pytest.mark.parametrize("name", ["events.parquet", "events.jsonl"])
def test_list_columns_are_rows_too(tmp_path, name):
    rows = [
        {"user_id": user, "item_id": items, "time": [1_600_000_000 + n for n in range(len(items))], "position": 7}
        for user, items in HISTORIES.items()
    ]
    rows.append({"user_id": "nobody", "item_id": [], "time": [], "position": 7})
    if name == "events.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    else:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    events = Interactions.read(tmp_path / name, ITEMS)
    assert histories(events) == HISTORIES
    assert events.times[0] == 1_600_000_000


def test_numbers_that_were_stored_as_floats_are_ids(tmp_path):
    items = Catalog(pa.table({"item_id": ["1", "2", "3"], "title": ["a", "b", "c"]}), ("title",))
    pq.write_table(pa.table({"user_id": ["u"], "item_id": [[3.0, 1.0]]}), tmp_path / "events.parquet")
    events = Interactions.read(tmp_path / "events.parquet", items)
    assert events.sequences.items.tolist() == [2, 0]


def test_sessions_keep_the_order_of_rows_and_lists(tmp_path):
    columns = {
        "user_id": ["ann", "bob", "ann"],
        "item_id": ["i3|i4", "i1|i2", "i0|i5"],
        "time": [3e8 + 9e8, 9.1e8, 1e9],
    }
    path = write(tmp_path / "events.csv", {**columns, "time": [1_200_000_000, 910_000_000, 1_000_000_000]})
    assert histories(Interactions.read(path, ITEMS)) == {"ann": ["i0", "i5", "i3", "i4"], "bob": ["i1", "i2"]}


def test_rows_without_a_list_are_counted(tmp_path):
    lines = [
        '{"user_id": "u", "item_id": ["i1", null, "x"]}',
        '{"user_id": "v"}',
        "broken",
        '{"user_id": "w", "item_id": ["i2"]}',
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    events = Interactions.read(tmp_path / "events.jsonl", ITEMS, on_bad_row="reject")
    assert histories(events) == {"u": ["i1"], "w": ["i2"]}
    assert events.rejected == {"empty item id": 2, "unknown item": 1, "malformed line": 1}


def test_ids_with_blanks_and_signs_are_no_lists(tmp_path):
    ids = ["red pan", "a|b", "c, d", "[e]"]
    items = Catalog(pa.table({"item_id": [*ids, "red", "pan", "a", "b", "e"], "title": ["x"] * 9}), ("title",))
    path = write(tmp_path / "events.csv", {"user_id": ["u"] * 4, "item_id": ids})
    assert Interactions.read(path, items).sequences.items.tolist() == [0, 1, 2, 3]
    mostly = write(tmp_path / "more.csv", {"user_id": ["u"] * 3, "item_id": ["red pan", "nothing known", "i1 i2"]})
    with pytest.raises(DataError, match="unknown item 'nothing known'"):
        Interactions.read(mostly, items)


def test_conditions_look_at_the_rows_of_the_file(tmp_path):
    columns = {"user_id": ["u", "v"], "item_id": ["i1 i2", "i3 i4"], "kind": ["buy", "view"]}
    path = write(tmp_path / "events.csv", columns)
    events = Interactions.read(path, ITEMS, options=EventOptions(where="kind = 'buy'"))
    assert histories(events) == {"u": ["i1", "i2"]}


def test_lists_of_objects_are_refused(tmp_path):
    pq.write_table(pa.table({"user_id": ["u"], "item_id": [[{"id": "i1"}]]}), tmp_path / "events.parquet")
    with pytest.raises(
        DataError, match=r"column 'item_id' holds lists of STRUCT.*; bring lists of item ids, or one row"
    ):
        Interactions.read(tmp_path / "events.parquet", ITEMS)
