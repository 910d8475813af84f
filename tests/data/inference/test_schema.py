import gzip
import json

import pytest

from lexirec.core.errors import DataError
from lexirec.data.inference.schema import guess_tables

ITEMS = "item_id,title,brand\nA1,Cast iron pan,Hearth\nA2,Olive spatula,Hearth\nA3,Steel kettle,Boil\n"
EVENTS = "user_id,item_id,time\nann,A1,1700000000\nann,A2,1700086400\nbob,A3,1700000500\n"


@pytest.fixture
def guessed(tmp_path):
    """Return a function that writes two tables and guesses what they hold."""

    def guess(items=ITEMS, events=EVENTS, suffix=".csv"):
        for name, text in (("items", items), ("events", events)):
            (tmp_path / f"{name}{suffix}").write_text(text, encoding="utf-8")
        return guess_tables(tmp_path / f"items{suffix}", tmp_path / f"events{suffix}")

    return guess


def test_our_own_names_need_no_mapping(guessed):
    found = guessed()
    assert (found.text, found.item_columns, found.interaction_columns) == (("title", "brand"), {}, {})
    assert (found.order, found.time_unit, found.published_split, found.known) == ("time", "s", False, 1.0)


def test_other_peoples_names_are_mapped(guessed):
    found = guessed(
        "movieId,Name,Genres,year\n7,Heat,Crime|Drama,1995\n8,Up,Animation,2009\n",
        "userId,movieId,rating,timestamp\n1,7,4.0,964982703000\n1,8,3.5,964982803000\n",
    )
    assert found.item_columns == {"item_id": "movieId", "title": "Name", "categories": "Genres"}
    assert found.interaction_columns == {"user_id": "userId", "item_id": "movieId", "time": "timestamp"}
    assert (found.text, found.time_unit) == (("title", "categories"), "ms")


def test_json_lines_with_lists_dates_and_two_ids(tmp_path):
    items = [
        {"id": 1, "parent_asin": "B1", "title": "Pan", "features": ["iron", "heavy"], "store": None},
        {"id": 2, "parent_asin": "B2", "title": "Pot", "features": [], "store": "Hearth"},
    ]
    events = [{"reviewer": "x", "user": "ann", "asin": "B2", "date": "2020-01-03"}]
    with gzip.open(tmp_path / "i.jsonl.gz", "wt") as out:
        out.writelines(json.dumps(each) + "\n" for each in items)
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    found = guess_tables(tmp_path / "i.jsonl.gz", tmp_path / "e.jsonl")
    assert found.item_columns["item_id"] == "parent_asin", "the id is the one that events name"
    assert found.interaction_columns == {"user_id": "user", "item_id": "asin", "time": "date"}
    assert found.text == ("title", "brand", "description")
    assert found.time_unit == "s"


def test_where_names_say_nothing_values_do(guessed):
    found = guessed(
        "key,wording\nA1,Cast iron pan\nA2,Olive spatula\n", "user,thing,step\nann,A1,0\nann,A2,1\nbob,A2,0\n"
    )
    assert found.item_columns == {"item_id": "key", "title": "wording"}
    assert found.interaction_columns == {"user_id": "user", "item_id": "thing", "position": "step"}


@pytest.mark.parametrize(
    "name",
    ["User-ID", "userId", "ReviewerID", "cust_no", "Customer ID", "benutzer", "用户ID", "profile_key", "household"],
)
def test_users_have_many_names(guessed, name):
    events = f"user_age,{name},item_id,time\n31,ann,A1,1700000000\n31,ann,A2,1700086400\n42,bob,A3,1700000500\n"
    assert guessed(events=events).interaction_columns == {"user_id": name}


def test_files_that_are_written_unusually_are_read_as_they_are_written(tmp_path):
    (tmp_path / "items.csv").write_bytes('item_id;title\nA1;"Caf\xe9 \\"Noir\\"; new"\nA2;Pan\n'.encode("latin-1"))
    (tmp_path / "events.csv").write_text("user_id,item_id,time\nann,A1,1700000000\nann,A2,1700086400\n")
    found = guess_tables(tmp_path / "items.csv", tmp_path / "events.csv")
    assert found.formats.items.model_dump(exclude_defaults=True) == {"encoding": "cp1252", "escape": "\\"}
    assert not found.formats.interactions.model_dump(exclude_defaults=True)
    assert "items.csv is not UTF-8 and is read as cp1252" in found.remarks[0]


def test_ratings_and_kinds_of_events_are_named(guessed):
    rows = [
        f"u{n % 2},A{n % 3 + 1},{1700000000 + 60 * n},{[-1, 4, 5][n % 3]},{['view', 'buy'][n % 2]}" for n in range(12)
    ]
    found = guessed(events="\n".join(["user_id,item_id,time,rating,event", *rows]) + "\n")
    assert found.where == "rating >= 0"
    assert found.proposed == ("rating >= 4", "event = 'buy'")
    assert any("column 'event' of the events has the values buy (6), view (6)" in remark for remark in found.remarks)


def test_a_column_of_times_that_is_none_is_not_passed_over(guessed):
    with pytest.raises(
        DataError, match=r"column 'time': 50% of the values, such as 'soon', are not written as the oth"
    ):
        guessed(events="user_id,item_id,time\nann,A1,soon\nann,A2,1700086400\nbob,A3,\n")


def test_counters_are_positions(guessed):
    found = guessed(events="user_id,item_id,timestamp\nann,A1,1\nann,A2,2\nbob,A3,1\n")
    assert (found.order, found.interaction_columns) == ("position", {"position": "timestamp"})


def test_a_published_split_is_noticed_and_anything_else_of_that_name_ignored(guessed):
    rows = "ann,A1,1700000000,{}\nann,A2,1700086400,{}\nbob,A3,1700000500,{}\n"
    parted = guessed(events="user_id,item_id,time,split\n" + rows.format("train", "valid", "test"))
    assert parted.published_split
    other = guessed(events="user_id,item_id,time,split\n" + rows.format("a", "b", "a"))
    assert not other.published_split
    assert other.interaction_columns == {"split": ""}


def test_events_of_unknown_items_are_counted(guessed):
    found = guessed(events=EVENTS + "bob,A9,1700000600\n")
    assert found.known == 0.75


@pytest.mark.parametrize(
    ("items", "events", "message"),
    [
        (ITEMS, "user_id,item_id\nann,Z1\n", r"events.csv: no column holds ids of .*items.csv .*item_columns"),
        (ITEMS, "who,item_id\nann,A1\n", r"events.csv: no column is named like a user id \(who, item_id\).*user_id"),
        ("item_id,price\nA1,3\nA2,4\nA3,5\n", EVENTS, r"items.csv: no column holds texts \(item_id, price\)"),
    ],
)
def test_what_cannot_be_guessed_is_said_in_one_line(guessed, items, events, message):
    with pytest.raises(DataError, match=message) as error:
        guessed(items, events)
    assert "\n" not in str(error.value)


def test_addresses_are_no_titles(guessed):
    found = guessed(
        "item_id,picture,label\nA1,http://x/1.png,Iron pan\nA2,http://x/2.png,Kettle\nA3,http://x/3.png,Pot\n"
    )
    assert found.item_columns == {"title": "label"}
