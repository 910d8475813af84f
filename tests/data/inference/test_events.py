import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.data.inference.events import Conditions, event_conditions
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.where import parse

ROLES = ("user_id", "item_id", "time")


@pytest.fixture
def found(tmp_path):
    """Return a function that writes events with further columns, whose values repeat, and returns the conditions."""

    def infer(rows=60, **columns):
        with (tmp_path / "events.csv").open("w", newline="", encoding="utf-8") as out:
            table = csv.writer(out)
            table.writerow([*ROLES, *columns])
            for n in range(rows):
                further = [values[n % len(values)] for values in columns.values()]
                table.writerow([f"u{n % 7}", f"i{n % 11}", 1_600_000_000 + n, *further])
        return read(tmp_path / "events.csv")

    return infer


def read(path):
    with Workspace() as work:
        conditions = event_conditions(work, work.open(path), ROLES)
    for condition in (*conditions.proposed, *filter(None, [conditions.where])):
        parse(condition)
    return conditions


def test_ratings_are_named_with_their_values_and_counts(found):
    conditions = found(rating=[1, 2, 3, 4, 5, 5])
    assert conditions.where is None
    assert conditions.proposed == ("rating >= 4",)
    assert conditions.remarks == (
        "column 'rating' of the events has the values 1 (10), 2 (10), 3 (10), 4 (10), 5 (20); all count as events,"
        " unless where says otherwise, such as rating >= 4",
    )


@pytest.mark.parametrize(
    ("name", "values", "proposed"),
    [
        ("Book-Rating", [0, 8, 9, 10], ('"Book-Rating" >= 8',)),
        ("overall", ["3.0", "4.0", "4.5"], ("overall >= 4",)),
        ("stars", ["", "nan", 3, 5], ("stars >= 5",)),
        ("is_read", ["True", "False"], ("is_read = true",)),
        ("clicked", [0, 1], ("clicked > 0",)),
        ("event", ["view", "transaction", "addtocart"], ("event = 'transaction'",)),
        ("event_type", ["view", "cart", "it's"], ("event_type = 'cart'",)),
        ("behavior_type", ["pv", "fav", "buy"], ("behavior_type = 'buy'",)),
        ("type", ["1", "2", "3"], ("type = 3",)),
        ("what", ["click", "order"], ("what = 'order'",)),
        ("sign", [-1, 1], ("sign > 0",)),
        ("score", list(range(0, 101, 2)), ("score >= 80",)),
    ],
)
def test_columns_that_tell_events_apart(found, name, values, proposed):
    conditions = found(**{name: values})
    assert (conditions.where, conditions.proposed) == (None, proposed)
    assert len(conditions.remarks) == 1
    assert f"column '{name}' of the events has the values" in conditions.remarks[0]


@pytest.mark.parametrize(
    ("name", "values", "where"),
    [
        ("rating", [-1, 4, 5], "rating >= 0"),
        ("rating", [-1, 4, ""], "(rating >= 0 or rating is null)"),
        ("Quantity", [1, 2, -3, *range(5, 60)], "Quantity > 0"),
        ("event", ["purchase", "remove_from_cart"], "event not in ('remove_from_cart')"),
        ("event", ["purchase", "Refund", "dislike", ""], "(event not in ('Refund', 'dislike') or event is null)"),
        ("order_status", ["paid", "cancelled"], None),
        ("status", ["paid", "cancelled"], "status not in ('cancelled')"),
    ],
)
def test_what_takes_something_back_is_no_event(found, name, values, where):
    conditions = found(**{name: values})
    if where is None:  # several words: known kinds decide
        where = f"{name} not in ('cancelled')"
    assert conditions.where == where
    assert f"where leaves out those that take something back ({where})" in conditions.remarks[0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rating", [5]),
        ("rating", ["", "nan"]),
        ("country", ["AT", "NA", "DE"]),
        ("device_type", ["mobile", "desktop"]),
        ("price", [1.5, 2.5, 3.5]),
        ("quantity", [1, 2, 3]),
        ("review", [f"good {n}" for n in range(60)]),
        ("comment", ["", "fine"]),
        ("event", [f"e{n}" for n in range(60)]),
        ("longitude", [-1.5 * n for n in range(60)]),
    ],
)
def test_other_columns_are_not_named(found, name, values):
    conditions = found(**{name: values})
    assert conditions == Conditions(None, (), ())


def test_several_columns_and_types(tmp_path):
    table = {
        "user_id": ["u"] * 6,
        "item_id": ["i"] * 6,
        "time": range(6),
        "rating": pa.array([4.0, 5.0, -1.0, None, 4.0, 5.0]),
        "liked": [True, False, True, None, True, False],
        "tags": [["a"]] * 6,
        "seen": pa.array(range(6), pa.timestamp("s")),
    }
    pq.write_table(pa.table(table), tmp_path / "events.parquet")
    conditions = read(tmp_path / "events.parquet")
    assert conditions.where == "(rating >= 0 or rating is null)"
    assert conditions.proposed == ("rating >= 4", "liked = true")
    assert len(conditions.remarks) == 2
