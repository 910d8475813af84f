"""Conditions on events: what they let through, what they say of the rest, and that nothing else gets into the SQL."""

import csv
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.events import EventOptions
from lexirec.data.readers.sql_columns import ROW
from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.data.readers.times import TimeOptions, read_times
from lexirec.data.readers.where import Compare, IsNull, Join, Not, parse
from lexirec.data.readers.where_sql import select

COLUMNS = ("rating", "event", "is_read", "when", "Odd name", "price", "bad", "lexirec_row")
ROWS = [
    ("5", "purchase", "True", "2019-01-31 12:00:00", "x", "12,50", "a", "1"),
    ("4.0", "view", "False", "2019-01-31T13:00:00+02:00", "it's", "1,234", "b", "2"),
    ("-1", " purchase ", "true", "2018-12-31", "", "3", "a", "3"),
    ("", "nan", "0", "2020-01-01", "NULL", "€ 9", "", "4"),
    ("five", "Purchase", "yes", "", "x y", "1e2", "a", "5"),
    ("3,5", "", "no", "2019-06-01 00:00:00", '"q"', "-0.5", "b", "6"),
]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def kept(tmp_path, request):
    """Return a function that gives the rows a condition lets through, and what the protocol card says."""
    path = tmp_path / f"events.{request.param}"
    records = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    if request.param == "csv":
        with path.open("w", newline="") as out:
            csv.writer(out).writerows([COLUMNS, *ROWS])
    elif request.param == "jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        pq.write_table(pa.Table.from_pylist(records), path)

    def kept(where):
        with Workspace() as work:
            source = work.open(path)
            times = TimeOptions()
            reading = "when", read_times(work, source, source.columns["when"], times)
            selection = select(work, source, where, NULL_WORDS, times, reading)
            rows = work.rows(f"SELECT {ROW} FROM {source.scan} WHERE {selection.sql} ORDER BY 1")
            return [row for (row,) in rows], selection.facts

    return kept


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("rating >= 4", [1, 2]),
        ("rating > 3", [1, 2, 6]),
        ("rating = 3.5", [6]),
        ("rating <> 5", [2, 3, 6]),
        ("not rating = 5", [2, 3, 6]),
        ("not (rating >= 4)", [3, 6]),
        ("rating between -1 and 4", [2, 3, 6]),
        ("rating not in (5, 4)", [3, 6]),
        ("rating is null", [4]),
        ("rating is not null", [1, 2, 3, 5, 6]),
        ("event = 'purchase'", [1, 3]),
        ("event != 'purchase'", [2, 5]),
        ("event in ('view', 'Purchase')", [2, 5]),
        ("event is null", [4, 6]),
        ("event = 'purchase' and rating >= 4", [1]),
        ("event = 'view' or rating < 0", [2, 3]),
        ("is_read = true", [1, 3, 5]),
        ("is_read != true", [2, 4, 6]),
        ("is_read = false", [2, 4, 6]),
        ("price > 10", [1, 5]),
        ("price < 4", [3, 6]),
        ("`Odd name` = 'it''s'", [2]),
        ('"odd NAME" = \'"q"\'', [6]),
        ('"Odd name" is null', [3, 4]),
        ("bad = 'a'", [1, 3, 5]),
        ("lexirec_row = 5", [5]),
        ("RATING = 5", [1]),
        ("\"when\" >= '2019-01-31'", [1, 2, 4, 6]),
        ("\"when\" > '2019-01-31 11:30'", [1, 4, 6]),
        ("\"when\" = '2019-01-31T11:00Z'", [2]),
        ("\"when\" < '2019-01-01'", [3]),
        ("'2019-12-31' < `when`", [4]),
        ("\"when\" between '2019-01-01' and '2019-12-31'", [1, 2, 6]),
    ],
)
def test_rows_that_a_condition_lets_through(kept, where, rows):
    found, facts = kept(where)
    assert found == rows
    assert facts["where"] == where
    assert facts["left_out_by_where"] == len(ROWS) - len(rows)


def test_values_that_are_no_numbers_are_counted(kept):
    assert "unreadable_in_where" not in kept("event = 'purchase'")[1]
    said = kept("rating >= 4 and price > 0")[1]["unreadable_in_where"]
    assert said == ("'rating' is no number in 1 row, such as 'five'; 'price' is no number in 2 rows, such as '1,234'")


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("ratng >= 4", "where names the column 'ratng', which the file does not have; the columns are"),
        ("f0 = 'x'", "where names the column 'f0', which the file does not have"),
        ("unreadable = 'x'", "where names the column 'unreadable', which the file does not have"),
        ("event > 3", "where compares column 'event', which is no number in any row, such as"),
        ("event = true", "where compares column 'event', which is neither true nor false in any row"),
        ("rating > '4'", "where compares column 'rating': > compares numbers and times, without quotes"),
        ("is_read > true", "where compares column 'is_read': > compares no true"),
        ("event = 'None'", "where compares column 'event': 'None' counts as a missing value, which \"is null\" finds"),
        ("event = ''", "where compares column 'event': '' counts as a missing value"),
        ("\"when\" > 'soon'", "where compares column 'when': times are written as '2019-01-31'"),
        ("\"when\" = '2019-13-01'", "where compares column 'when': times are written as '2019-01-31'"),
        ("rating > 100", "none of the 6 rows meets where = 'rating > 100' ('rating' is no number in 1 row, such"),
        ("event = 'sale'", "none of the 6 rows meets where"),
        ("rating > 1e999", "where compares column 'rating': a number is too large"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(kept, where, problem):
    with pytest.raises(DataError) as error:
        kept(where)
    assert f": {problem}" in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "events.csv"

    def kept(values, where):
        path.write_text("n;x\n" + "".join(f"{value};y\n" for value in values))
        with Workspace() as work:
            source = work.open(path)
            selection = select(work, source, where, NULL_WORDS, TimeOptions())
            return [
                row for (row,) in work.rows(f"SELECT {ROW} FROM {source.scan} WHERE {selection.sql}")
            ], selection.facts

    values = ["1.234,50", "1234,5", "1,234.50", "1234.5", "-0,125"]
    assert kept([*values, "+7"], "n = 1234.5")[0] == [1, 2, 3, 4]
    assert kept([*values, "+7"], "n > 6")[0] == [1, 2, 3, 4, 6]
    assert kept(values, "n = -0.125")[0] == [5]
    assert kept(["1.234", "2.5"], "n < 2")[0] == [1]
    found, facts = kept(["1.234", "2,5"], "n < 3")  # a thousand, or a little more than one?
    assert found == [2]
    assert facts["unreadable_in_where"] == "'n' is no number in 1 row, such as '1.234'"


def test_another_column_of_times_is_compared_as_moments(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("a,b\nx,25.12.2018 10:00\ny,02.01.2019\nz,\n")
    with Workspace() as work:
        source = work.open(path)
        selection = select(work, source, "b >= '2019-01-01'", NULL_WORDS, TimeOptions())
        assert work.rows(f"SELECT {source.columns['a'].text} FROM {source.scan} WHERE {selection.sql}") == [("y",)]
        with pytest.raises(DataError, match="column 'a': 'x' is in no known format"):
            select(work, source, "a >= '2019-01-01'", NULL_WORDS, TimeOptions())


def test_typed_columns(tmp_path):
    path = tmp_path / "events.parquet"
    table = pa.table(
        {
            "n": [1.5, float("nan"), None], "flag": [True, False, None], "tags": [["a"], [], None], "id": [2**60, 1, 2],
            "day": pa.array([17897, 17898, None], pa.date32()),
        }
    )  # fmt: skip
    pq.write_table(table, path)
    with Workspace() as work:
        source = work.open(path)

        def kept(where):
            sql = select(work, source, where, NULL_WORDS, TimeOptions()).sql
            return [row for (row,) in work.rows(f"SELECT {ROW} FROM {source.scan} WHERE {sql}")]

        assert kept("n = 1.5") == kept("flag = true") == kept("flag = 1") == [1]
        assert kept("n is null") == [2, 3]
        assert kept("day = '2019-01-01'") == kept("day < '2019-01-02'") == [1]
        assert kept("id = '1152921504606846976'") == [1]
        for where, problem in (
            ("tags = 'a'", "holds lists or objects"),
            ("day > 3", "compare it with a time in quotes"),
        ):
            with pytest.raises(DataError, match=problem):
                kept(where)


# --------------------------------------------------------------------------------------------------- random conditions


def truth(node, row):
    """Return whether a condition holds for a row, None where that is unknown: the documented rules, in Python."""
    match node:
        case Join(word, parts):
            found = [truth(part, row) for part in parts]
            decisive = word == "or"
            return decisive if decisive in found else None if None in found else not decisive
        case Not(part):
            inner = truth(part, row)
            return None if inner is None else not inner
        case IsNull(column):
            return value_of(row, column) is None
        case Compare(column, operator, value):
            given = value_of(row, column)
            if isinstance(value, float) and given is not None:
                given = number_of(given)
            if given is None:
                return None
            return {
                "=": given == value, "<>": given != value, "<": given < value, "<=": given <= value,
                ">": given > value, ">=": given >= value,
            }[operator]  # fmt: skip


def value_of(row, column):
    text = row[COLUMNS.index(column)].strip()
    return None if text in ("", *NULL_WORDS) else text


def number_of(text):
    try:
        return float(text.replace(",", ".")) if text != "1,234" else None
    except ValueError:
        return None


def drawn(draw, depth):
    """Return the text of a random condition."""
    if depth and draw.random() < 0.6:
        word = draw.choice(["and", "or"])
        inner = f" {word} ".join(drawn(draw, depth - 1) for _ in range(draw.randint(2, 3)))
        return draw.choice(["({})", "not ({})", "NOT(not ({}))"]).format(inner)
    column = draw.choice(["rating", "price"])
    operator = draw.choice(["=", "==", "!=", "<>", "<", "<=", ">", ">="])
    text = draw.choice(["'purchase'", "'view'", "'Purchase'", "'it''s; DROP'"])
    return draw.choice(
        [
            f"{column} {operator} {draw.choice([-1, 0, 3, 3.5, 4, 12.5])}", f"event {draw.choice(['=', '!='])} {text}",
            f"event in ({text}, 'other')",
            f"{draw.choice(['rating', 'event', 'bad'])} is {draw.choice(['', 'not '])}null",
            f"{column} not between 0 and {draw.choice([3, 4])}", f"{column} not in (5, 3)",
        ]
    )  # fmt: skip


def test_random_conditions_mean_what_they_say(tmp_path):
    path = tmp_path / "events.csv"
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([COLUMNS, *ROWS])
    draw = random.Random(1)
    checked = 0
    with Workspace() as work:
        source = work.open(path)
        while checked < 60:
            where = drawn(draw, 3)
            wanted = [n for n, row in enumerate(ROWS, start=1) if truth(parse(where), row)]
            if not wanted:
                continue
            sql = select(work, source, where, NULL_WORDS, TimeOptions()).sql
            found = [row for (row,) in work.rows(f"SELECT {ROW} FROM {source.scan} WHERE {sql} ORDER BY 1")]
            assert found == wanted, where
            checked += 1


INJECTIONS = (
    "rating = 1; DROP TABLE x", "rating = 1) OR (1=1", "1=1", "true", "rating = 1 --", "rating = 1 /* */",
    "a = 1 UNION SELECT 1",
    "rating IN (SELECT 1)", "getenv('HOME') = 'x'", "event = getenv('HOME')", "read_csv('/etc/passwd') = 'x'",
    "event = (SELECT content FROM read_text('/etc/passwd'))", "event = $1", "event = ?", "event = 'x' || 'y'",
    "event::int = 1", "event = E'\\x41'", "event = U&'\\0041'", "rating = 0x10", "COLUMNS(*) = 1", "* = 1",
    "rating = 1\x00", "event LIKE '%'", "event SIMILAR TO 'x'", "EXISTS (SELECT 1)", "CASE WHEN 1 THEN 1 END = 1",
)  # fmt: skip


@pytest.mark.parametrize("where", INJECTIONS)
def test_nothing_but_conditions_is_understood(kept, where):
    with pytest.raises(DataError, match="where, character"):
        kept(where)


@pytest.mark.parametrize(
    "where",
    [
        "event = 'x'' OR ''1''=''1'", "event = '; DROP TABLE events; --'", "\"f0\"\" OR 1=1 --\" = 'x'", "\"*\" = 'x'",
        "event = 'x'' UNION SELECT getenv(''HOME'')'", "`rating\" OR 1=1` = 1", "event = '\\'", "event = '{0}%s$1?'",
    ],
)  # fmt: skip
def test_texts_and_names_stay_texts_and_names(kept, where):
    with pytest.raises(DataError, match=r"none of the 6 rows meets where|which the file does not have"):
        kept(where)


# -------------------------------------------------------------------------------------------------------- with a reader


def test_rows_left_out_are_no_bad_rows(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,Pan\nb,Pot\n")
    (tmp_path / "events.jsonl").write_text(
        '{"user_id": "u", "item_id": "a", "time": "2019-01-01", "event": "buy"}\n'
        '{"user_id": "u", "item_id": "unknown", "time": "never", "event": "view"}\n'
        '{"user_id": "", "item_id": "b", "event": "view"}\n'
        '{"user_id": "u", "item_id": "b", "time": "2018-01-01", "event": "buy"}\n'
    )
    catalog = Catalog.read(tmp_path / "items.csv", text=["title"])
    options = EventOptions(where="event = 'buy'")
    events = Interactions.read(tmp_path / "events.jsonl", catalog, options=options)
    assert events.sequences.row(0).tolist() == [1, 0]
    assert events.user_ids.tolist() == ["u"]
    assert events.protocol["where"] == "event = 'buy'"
    assert events.protocol["left_out_by_where"] == 2
    assert events.rejected == {}
    with (tmp_path / "events.jsonl").open("a") as out:
        out.write("no JSON\n")
    with pytest.raises(DataError, match="row 5: malformed line"):
        Interactions.read(tmp_path / "events.jsonl", catalog, options=options)
