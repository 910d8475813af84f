import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.inference.ids import item_columns
from lexirec.data.readers.duckdb_source import Workspace


@pytest.fixture
def find(tmp_path):
    """Return a function that writes two tables and finds their columns of item ids."""

    def find(items, events):
        for name, table in (("items", items), ("events", events)):
            pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
        with Workspace() as work:
            return item_columns(work, *(work.open(tmp_path / f"{name}.parquet") for name in ("items", "events")))

    return find


def test_ids_that_agree_need_no_other_spelling(find):
    found = find({"sku": ["a", "b"]}, {"user": ["u"] * 4, "sku": ["a", "b", "b", "x"]})
    assert (found.items.name, found.events.name, found.known) == ("sku", "sku", 0.75)
    assert (found.match_ids, found.remarks) == ((), ())


@pytest.mark.parametrize(
    ("items", "events", "spellings"),
    [
        (["100", "101"], ["100.0", "101.0"], ("decimals",)),
        (["0108775010", "0108775011"], [108775010, 108775011], ("leading-zeros",)),
        (["A1", "B2"], ["a1", "b2 "], ("blanks", "case")),
        (["978-3-16-148410-0"], ["9783161484100"], ("hyphens",)),
    ],
)
@pytest.mark.parametrize("name", ["item_id", "bought"])
def test_ids_in_other_spelling_are_found_and_told(find, items, events, spellings, name):
    found = find({"key": items, "title": ["x"] * len(items)}, {"user": ["u"] * len(events), name: events})
    assert (found.items.name, found.events.name, found.known) == ("key", name, 1.0)
    assert found.match_ids == spellings
    (said,) = found.remarks
    assert said.startswith("100% of the events have item ids that agree with those of the items but for ")
    assert said.endswith(f"match_ids = [{', '.join(f'{chr(34)}{each}{chr(34)}' for each in spellings)}] matches them")


def test_some_events_in_another_spelling_are_matched_too(find):
    found = find({"item_id": ["1", "2"]}, {"item_id": ["1", "2", "1.0", "2.0", "9.0"]})
    assert found.match_ids == ("decimals",)
    assert found.known == pytest.approx(0.8)
    assert "40% of the events" in found.remarks[0]


def test_a_spelling_that_makes_one_of_two_ids_is_not_proposed(find):
    found = find({"item_id": ["a", "A", "B"]}, {"item_id": ["a", "A", "b"]})
    assert found.match_ids == ()
    (said,) = found.remarks
    assert "'b' and 'B', but " in said
    assert "'A' and 'a' are two ids" in said


def test_no_pair_of_columns_is_refused(find):
    with pytest.raises(DataError, match="no column holds ids of"):
        find({"item_id": ["a"]}, {"item_id": ["z"]})
