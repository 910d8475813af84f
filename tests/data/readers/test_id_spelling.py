"""Ids in other spelling: found, told, and matched where a setting allows it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.events import EventOptions
from lexirec.data.readers.id_spelling import SPELLINGS, check_distinct, key_of, likely_spellings
from lexirec.data.readers.sql_columns import literal


@pytest.fixture(scope="module")
def work():
    with Workspace() as work:
        yield work


@pytest.mark.parametrize(
    ("one", "other", "spellings"),
    [
        ("100.0", "100", ["decimals"]), ("100.", "100", ["decimals"]), ("-1.00", "-1", ["decimals"]),
        ("1.234500e+04", "12345", ["decimals"]), ("1.5E2", "150", []), ("1.05E2", "105", ["decimals"]),
        ("0042", "42", ["leading-zeros"]), ("000", "0", ["leading-zeros"]),
        ("0042.0", "42", ["decimals", "leading-zeros"]),
        (" a1\t", "a1", ["blanks"]), ("a1\u00a0", "a1", ["blanks"]), (" 100.0 ", "100", ["blanks", "decimals"]),
        ("ABC", "abc", ["case"]), ("Straße", "STRASSE", []), ("É1", "é1", ["case"]),
        ("978-3-16-148410-0", "9783161484100", ["hyphens"]), ("a_b c", "abc", ["hyphens"]), ("a‐b", "ab", ["hyphens"]),
        ("e\u0301", "é", ["unicode"]), ("\tE\u0301-0.", "é0.", ["blanks", "case", "hyphens", "unicode"]),
        ("v1.0", "v1", []), ("0A1", "A1", []), ("10", "1", []), ("1.5", "15", []), ("1.2e+08", "120000000", []),
        ("100.01", "100", []), ("x", "y", []),
    ],
)  # fmt: skip
def test_keys_are_equal_for_these_differences_alone(work, one, other, spellings):
    def keys(allowed):
        return work.rows(f"SELECT {key_of(literal(one), allowed)}, {key_of(literal(other), allowed)}")[0]

    first, second = keys(SPELLINGS)
    assert (first == second) == bool(spellings)
    if spellings:
        first, second = keys(spellings)
        assert first == second
        for each in spellings:
            first, second = keys([name for name in spellings if name != each])
            assert first != second


@pytest.mark.parametrize(
    ("unknown", "known", "found"),
    [
        (["1.0", "2.0"], ["1", "2"], ("decimals",)),
        (["1", "2", "x"], ["01", "02"], ("leading-zeros",)),
        ([" A1", "a2 "], ["a1", "A2"], ("blanks", "case")),
        (["0001.0"], ["1"], ("decimals", "leading-zeros")),
        (["x"], ["y"], ()),
        (["AB"], ["ab", "Ab"], ()),  # two could be meant
        ([], ["y"], ()),
    ],
)
def test_the_fewest_differences_are_found(work, unknown, known, found):
    for name, ids in (("unknown_given", unknown), ("known_given", known)):
        work.connection.register(name, pa.table({"id": pa.array(ids, pa.string()), "n": [3] * len(ids)}))
    spellings, rows, example = likely_spellings(work, "unknown_given", "known_given")
    assert spellings == found
    assert (rows > 0) == bool(found)
    assert bool(example[0]) == bool(found)


def test_two_ids_that_become_one_are_refused(work):
    work.connection.register("twins", pa.table({"id": ["a", "A", "b"]}))
    check_distinct(work, "twins", ("blanks",), "items.csv")
    with pytest.raises(DataError, match=r"^items.csv: 'A' and 'a' are two ids, but match_ids = \[\"case\"\] makes one"):
        check_distinct(work, "twins", ("case",), "items.csv")
    with pytest.raises(DataError, match="match_ids has 'colour'; allowed are blanks, case, decimals"):
        check_distinct(work, "twins", ("colour",), "items.csv")


# -------------------------------------------------------------------------------------------------------- with a reader


@pytest.fixture
def read(tmp_path):
    """Return a function that reads events of some items: the ids, oldest first."""

    def read(item_ids, events, kind="csv", **options):
        pq.write_table(pa.table({"item_id": item_ids, "title": ["x"] * len(item_ids)}), tmp_path / "items.parquet")
        catalog = Catalog.read(tmp_path / "items.parquet", text=["title"])
        path = tmp_path / f"events.{kind}"
        if kind == "csv":
            path.write_text("user_id,item_id\n" + "".join(f'u,"{item}"\n' for item in events))
        else:
            pq.write_table(pa.table({"user_id": ["u"] * len(events), "item_id": events}), path)
        reject = options.pop("on_bad_row", "error")
        events = Interactions.read(path, catalog, options=EventOptions(**options), on_bad_row=reject)
        return [catalog.item_ids[n] for n in events.sequences.items], events.protocol

    return read


def test_ids_that_agree_but_for_spelling_are_told(read):
    with pytest.raises(DataError) as error:
        read(["100", "101"], ["100.0", "101.0", "7.0"])
    assert str(error.value).split("events.csv, ")[1] == (
        "row 1, column 'item_id': unknown item '100.0'; allowed are the 2 ids of the catalog; 2 of 3 rows with unknown"
        " ids agree with an id but for '.0' at the end or scientific notation, such as '100.0' and '100':"
        ' set match_ids = ["decimals"]. 3 rows are bad in total; on_bad_row = "reject" skips bad rows.'
    )
    found, protocol = read(["100", "101"], ["100", "101.0"], on_bad_row="reject")
    assert found == ["100"]
    assert protocol["unknown_ids"].startswith("1 of 1 rows with unknown ids agree with an id but for '.0'")
    assert "unknown_ids" not in read(["100", "101"], ["100", "x"], on_bad_row="reject")[1]


def test_ids_are_matched_where_that_is_allowed(read):
    assert read(["100", "101"], ["100.0", "101.0", "100"], match_ids=("decimals",))[0] == ["100", "101", "100"]
    ids = ["0108775010", "0108775011"]
    assert read(ids, pa.array([108775011, 108775010]), "parquet", match_ids=("leading-zeros",))[0] == ids[::-1]
    assert read(["a1"], [" A1", "a1 "], match_ids=("blanks", "case"))[0] == ["a1", "a1"]
    with pytest.raises(
        DataError, match=r'agree with an id but for blanks around them and upper.*set match_ids = \["blanks", "case"\]'
    ):
        read(["a1"], [" A1", "a1 "], match_ids=("blanks",))
    with pytest.raises(DataError, match="the table of items: 'A' and 'a' are two ids"):
        read(["a", "A"], ["a"], match_ids=("case",))


def test_numbers_of_parquet_are_ids_without_decimals(read):
    assert read(pa.array([1.0, 2.0]), ["1", "2"])[0] == ["1", "2"]
    assert read(["1", "2"], pa.array([1.0, 2.0]), "parquet")[0] == ["1", "2"]
