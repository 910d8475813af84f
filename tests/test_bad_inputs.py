"""Twenty and more bad inputs, and the exact line each of them gets."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions

ITEMS = b"item_id,title\ni1,Red mug\ni2,Blue mug\n"
EVENTS = "user_id,item_id,time\nu1,i1,1400000000\nu1,i2,{time}\n"
ONE = ' This is the only bad row; on_bad_row = "reject" skips bad rows.'
TEXT_KINDS = ".parquet, .csv, .tsv, .txt, .jsonl, .ndjson or .json (text also with .gz or .zst behind it)"
SECONDS = "times are seconds since 1970 or dates such as 2014-07-01"
COUNTER = 'map a column that only orders events as "position"'


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


class Bad(NamedTuple):
    name: str
    content: bytes
    message: str


def of_time(given: str, reason: str, allowed: str) -> Bad:
    message = f"row 2, column 'time': {reason} '{given}'; {allowed}.{ONE}"
    return Bad("events.csv", EVENTS.format(time=given).encode(), ", " + message)


BAD_ITEMS = {
    "missing column": Bad(
        "items.csv",
        b"item_id,titel\ni1,Red mug\n",
        ": there is no column 'title'; the columns are item_id, titel. Did you mean 'titel'?"
        ' Map it with item_columns, interaction_columns or user_columns (columns in Python) = {title = "…"}.',
    ),
    "lines of an old Macintosh": Bad(
        "items.csv",
        b"item_id,title\ri1,Red mug\r",
        ": lines end with a carriage return alone; save the file with line feeds.",
    ),
    "duplicate id": Bad(
        "items.csv",
        ITEMS + b"i1,Mug again\n",
        f", row 3, column 'item_id': duplicate item id 'i1'; ids must be unique, and an earlier row has this one.{ONE}",
    ),
    "empty id": Bad(
        "items.csv",
        ITEMS + b",Nameless mug\n",
        f", row 3, column 'item_id': empty item id; every item needs an id.{ONE}",
    ),
    "empty text": Bad(
        "items.csv",
        ITEMS + b'i3," "\n',
        f", row 3, column 'title': empty text of item 'i3'; at least one of 'title' must hold text.{ONE}",
    ),
    "not UTF-8 in a row": Bad(
        "items.csv",
        ITEMS + b"i3,caf\xe9\n",
        f", line 4: not UTF-8 in 'i3,caf?'; expected are the 2 fields of the header, in UTF-8, or set its"
        f' encoding, such as "latin-1", in formats.items or formats.interactions.{ONE}',
    ),
    "not UTF-8 in the header": Bad(
        "items.csv",
        b"item_id,titl\xe9\ni1,Mug\n",
        ", line 1: the text is not UTF-8 (invalid continuation byte at byte 12); set its encoding, such as"
        ' formats.items.encoding = "latin-1" (or formats.interactions), or save it as UTF-8.',
    ),
    "too few fields": Bad(
        "items.csv",
        ITEMS + b"i3\n",
        f", line 4: too few fields in 'i3'; expected are the 2 fields of the header, in UTF-8.{ONE}",
    ),
    "too many fields": Bad(
        "items.tsv",
        b"item_id\ttitle\ni1\tRed\tmug\n",
        f", line 2: too many fields in 'i1 Red mug'; expected are the 2 fields of the header, in UTF-8.{ONE}",
    ),
    "unclosed quote": Bad(
        "items.csv",
        ITEMS + b'i3,"Green mug\n',
        """, line 4: unclosed quote in 'i3,"Green mug'; expected are the 2 fields of the header, in UTF-8; set"""
        f' quote = "" or escape = "\\" in formats.items or formats.interactions if quotes are text.{ONE}',
    ),
    "column twice": Bad(
        "items.csv",
        b"item_id,title,title\ni1,a,b\n",
        ", line 1: the column 'title' is repeated in the header; names must differ.",
    ),
    "malformed JSON": Bad(
        "items.jsonl",
        b'{"item_id": "i1", "title": "Mug"}\n{"item_id": "i2", "title": "M\n',
        f", row 2: malformed line; each line must hold one JSON object in UTF-8.{ONE}",
    ),
    "JSON that is no object": Bad(
        "items.jsonl",
        b'{"item_id": "i1", "title": "Mug"}\n["i2", "Mug"]\n',
        f", row 2: malformed line; each line must hold one JSON object in UTF-8.{ONE}",
    ),
    "one JSON object": Bad(
        "items.json",
        b'{"i1": {"title": "Mug"}, "i2": {"title": "Cup"}}\n',
        ": this is one JSON object of 2 entries (i1, ...), not a table; write one object per line (in pandas:"
        ' to_json(orient="records", lines=True)).',
    ),
    "data in place of a header": Bad(
        "items.csv",
        b"196,242,3,881250949\n186,302,3,891717742\n",
        ", line 1: the header is '196, 242, 3, 881250949', which looks like data; set header = false in formats.items"
        " or formats.interactions (columns are then column1, column2, ...), or add a header.",
    ),
    "a column without a name": Bad(
        "items.csv",
        b"item_id,,title\ni1,x,Red mug\n",
        ", line 1: column 2 has no name but values such as 'x'; name it, or remove it.",
    ),
    "a spreadsheet under a wrong name": Bad(
        "items.csv",
        b"PK\x03\x04\x14\x00\x06\x00",
        ": this file is a zip archive or a spreadsheet; unpack it, or save the sheet as CSV.",
    ),
    "empty file": Bad(
        "items.csv",
        b"",
        ": the file is empty; a header and at least one row are needed.",
    ),
    "empty archive": Bad(
        "items.csv.gz",
        gzip.compress(b""),
        ": the file is empty; a header and at least one row are needed.",
    ),
    "header only": Bad(
        "items.csv",
        b"item_id,title\n",
        ": there is no row below the header (item_id,title); at least one is needed.",
    ),
    "unknown extension": Bad(
        "items.xlsx",
        b"PK",
        f": files of type '.xlsx' cannot be read; allowed are {TEXT_KINDS}.",
    ),
    "no Parquet": Bad(
        "items.parquet",
        ITEMS,
        ": the file cannot be read as Parquet; give text the ending .csv, .tsv or .jsonl.",
    ),
    "cut Parquet": Bad(
        "items.parquet",
        b"PAR1 and nothing more",
        ": the file cannot be read as Parquet (No magic bytes found at end of file '{path}').",
    ),
    "damaged zst": Bad(
        "items.csv.zst",
        b"\x00\x01" + zstd(ITEMS),
        ": the file is neither packed with gzip or Zstandard nor plain text; it is damaged.",
    ),
    "cut zst": Bad(
        "items.csv.zst",
        zstd(ITEMS * 1000)[:-4],
        ": the file cannot be unpacked as zstd (Truncated compressed stream); it is damaged or cut short.",
    ),
    "cut gz": Bad(
        "items.csv.gz",
        gzip.compress(ITEMS)[:-12],
        ": the file cannot be unpacked as gzip (Truncated compressed stream); it is damaged or cut short.",
    ),
}

BAD_EVENTS = {
    "unknown item": Bad(
        "events.csv",
        b"user_id,item_id\nu1,i1\nu1,i9\nu2,i8\n",
        ", row 2, column 'item_id': unknown item 'i9'; allowed are the 2 ids of the catalog."
        ' 2 rows are bad in total; on_bad_row = "reject" skips bad rows.',
    ),
    "empty user": Bad(
        "events.csv",
        b"user_id,item_id\n,i1\n",
        f", row 1, column 'user_id': empty user id; every event needs a user.{ONE}",
    ),
    "empty item": Bad(
        "events.csv",
        b"user_id,item_id\nu1,\n",
        f", row 1, column 'item_id': empty item id; every event needs an item.{ONE}",
    ),
    "time not a number": of_time("nan", "no time", SECONDS),
    "time is a word": of_time("yesterday", "no time", SECONDS),
    "time is endless": of_time("inf", "endless time", SECONDS),
    "time is negative": of_time("-5", "negative time", f"{SECONDS}; {COUNTER}"),
    "time is a counter": of_time("17", "time before 1990", f"{SECONDS}; {COUNTER}"),
    "time in milliseconds": of_time("1494288000000", "time in milliseconds", f'{SECONDS}; set time_unit = "ms"'),
    "time in microseconds": of_time("1494288000000000", "time in microseconds", f'{SECONDS}; set time_unit = "us"'),
    "time in the future": of_time("9999999999", "time in the future", f"{SECONDS}, not later than today"),
    "position is a word": Bad(
        "events.csv",
        b"user_id,item_id,position\nu1,i1,first\n",
        f", row 1, column 'position': no number 'first'; a position is a number, 0 = oldest.{ONE}",
    ),
    "unknown part": Bad(
        "events.csv",
        b"user_id,item_id,split\nu1,i1,trian\n",
        ", row 1, column 'split': unknown part 'trian'; allowed are train, valid, validation and test"
        f' (or map split = "" to ignore the column).{ONE}',
    ),
    "missing user column": Bad(
        "events.jsonl",
        b'{"user": "u1", "item_id": "i1"}\n',
        ": there is no column 'user_id'; the columns are item_id, user. Did you mean 'user'?"
        ' Map it with item_columns, interaction_columns or user_columns (columns in Python) = {user_id = "…"}.',
    ),
}


def write(folder: Path, bad: Bad) -> Path:
    path = folder / bad.name
    path.write_bytes(bad.content)
    return path


@pytest.mark.parametrize("bad", BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
def test_bad_items_get_one_exact_line(tmp_path, bad):
    path = write(tmp_path, bad)
    with pytest.raises(DataError) as caught:
        Catalog.read(path, text=["title"])
    assert str(caught.value) == f"{path}{bad.message.replace('{path}', str(path))}"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", BAD_EVENTS.values(), ids=BAD_EVENTS.keys())
def test_bad_events_get_one_exact_line(tmp_path, bad):
    items = write(tmp_path, Bad("items.csv", ITEMS, ""))
    path = write(tmp_path, bad)
    with pytest.raises(DataError) as caught:
        Interactions.read(path, Catalog.read(items, text=["title"]))
    assert str(caught.value) == f"{path}{bad.message}"
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(DataError) as caught:
        Catalog.read(tmp_path, text=["title"])
    assert str(caught.value) == f"{tmp_path}: this is a folder; give one file: {TEXT_KINDS}."


def test_a_missing_file_names_the_nearest_one(tmp_path):
    write(tmp_path, Bad("items.csv", ITEMS, ""))
    with pytest.raises(DataError) as caught:
        Catalog.read(tmp_path / "item.csv", text=["title"])
    assert str(caught.value) == f"{tmp_path / 'item.csv'}: there is no such file. Did you mean 'items.csv'?"


def test_an_unknown_role_is_refused(tmp_path):
    items = write(tmp_path, Bad("items.csv", ITEMS, ""))
    with pytest.raises(DataError) as caught:
        Interactions.read(items, Catalog.read(items, text=["title"]), columns={"when": "time"})
    allowed = "user_id, item_id, time, position, split"
    assert str(caught.value) == f"{items}: columns names 'when'; interactions have {allowed}."


def test_text_that_is_not_utf8_inside_parquet_is_refused(tmp_path):
    path = tmp_path / "items.parquet"
    values = pa.array([b"Red mug", b"caf\xe9 mug"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"item_id": ["i1", "i2"], "title": values}), path)
    with pytest.raises(DataError, match=r"^\S+items.parquet: the file cannot be read \(.*\)\.$") as caught:
        Catalog.read(path, text=["title"])
    assert "utf" in str(caught.value).lower()


def test_rejected_rows_are_written_with_their_reasons(tmp_path):
    content = ITEMS + b"i1,Mug again\ni3,\ni4,one,two\n,Nameless\ni5,Green mug\n"
    path = write(tmp_path, Bad("items.csv", content, ""))
    catalog = Catalog.read(path, text=["title"], on_bad_row="reject", rejects=tmp_path / "out" / "rejects.parquet")
    assert catalog.item_ids == ["i1", "i2", "i5"]
    assert catalog.rejected == {
        "too many fields": 1,
        "duplicate item id": 1,
        "empty text of item": 1,
        "empty item id": 1,
    }
    rows = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    assert [(row["row"], row["column"], row["value"], row["reason"]) for row in rows] == [
        (6, "", "i4,one,two", "too many fields"),
        (3, "item_id", "i1", "duplicate item id"),
        (4, "title", "i3", "empty text of item"),
        (5, "item_id", None, "empty item id"),
    ]
    assert {row["file"] for row in rows} == {str(path)}


def test_rejected_events_are_counted_and_the_rest_is_kept(tmp_path):
    catalog = Catalog.read(write(tmp_path, Bad("items.csv", ITEMS, "")), text=["title"])
    content = b"user_id,item_id,time\nu1,i1,1400000000\nu1,i9,1400000001\nu1,i2,\nu2,i2,NaN\nu2,i2,2014-07-01\n"
    path = write(tmp_path, Bad("events.csv", content, ""))
    events = Interactions.read(path, catalog, on_bad_row="reject", rejects=tmp_path / "rejects.parquet")
    assert events.rejected == {"unknown item": 1, "no time": 2}
    assert events.user_ids.tolist() == ["u1", "u2"]
    assert events.sequences.items.tolist() == [0, 1]
    assert events.times is not None
    assert events.times.tolist() == [1400000000.0, 1404172800.0]
    assert pq.read_table(tmp_path / "rejects.parquet").column("row").to_pylist() == [2, 3, 4]


def test_nothing_left_is_an_error_even_when_rejecting(tmp_path):
    catalog = Catalog.read(write(tmp_path, Bad("items.csv", ITEMS, "")), text=["title"])
    path = write(tmp_path, Bad("events.csv", b"user_id,item_id\nu1,i8\nu2,i9\n", ""))
    with pytest.raises(DataError) as caught:
        Interactions.read(path, catalog, on_bad_row="reject")
    assert str(caught.value) == f"{path}: no usable row (2 × unknown item); at least one is needed."


def test_on_bad_row_is_checked(tmp_path):
    path = write(tmp_path, Bad("items.csv", ITEMS, ""))
    with pytest.raises(DataError) as caught:
        Catalog.read(path, text=["title"], on_bad_row="ignore")
    assert str(caught.value) == "on_bad_row is 'ignore'; allowed are 'error' and 'reject'."
