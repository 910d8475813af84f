import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.readers.validation import Rejects
from lexirec.data.user_texts import read_preferences

USERS = np.array(["ann", "bob", "cem"])


def write(folder, text, name="users.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_texts_come_in_the_order_of_the_users_and_empty_where_nothing_was_written(tmp_path):
    path = write(tmp_path, "user_id,preference\ncem,  sharp knives \nzoe,nobody here\nann,cast iron\n")
    assert read_preferences(path, USERS) == ["cast iron", "", "sharp knives"]


def test_null_words_are_neither_users_nor_texts(tmp_path):
    path = write(tmp_path, "user_id,preference\ncem,nan\nann,cast iron\nnull,x\n")
    assert read_preferences(path, USERS, rejects=Rejects("reject")) == ["cast iron", "", ""]
    with pytest.raises(DataError, match=r"row 3.*empty user id 'null'"):
        read_preferences(path, USERS)


def test_columns_may_have_other_names_and_kinds_of_files_do(tmp_path):
    rows = [{"id": 7, "likes": "oak"}, {"id": 8, "likes": None}]
    lines = write(tmp_path, "\n".join(map(json.dumps, rows)), "users.jsonl")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "users.parquet")
    for path in (lines, tmp_path / "users.parquet"):
        found = read_preferences(path, np.array(["8", "7"]), columns={"user_id": "id", "preference": "likes"})
        assert found == ["", "oak"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,preference\nann,a\nann,b\n", r"users\.csv.* row 2.*'user_id'.*'ann'.*users must be unique"),
        ("user_id,preference\n,a\n", r"row 1.*every text needs a user"),
        ("user_id,likes\nann,a\n", r"no column 'preference'"),
        ("user_id,preference\namm,a\n", r"none of its users, such as 'amm', has an event; use the user ids"),
        ("user_id,preference\n", r"no row below the header"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as error:
        read_preferences(write(tmp_path, text), USERS)
    assert "\n" not in str(error.value)


def test_bad_rows_can_be_put_aside(tmp_path):
    bad = Rejects("reject")
    path = write(tmp_path, "user_id,preference\nann,a\nann,b\n,c\nbob,d\n")
    assert read_preferences(path, USERS, rejects=bad) == ["a", "d", ""]
    assert bad.counts == {"duplicate user id": 1, "empty user id": 1}
    assert bad.table.num_rows == 2


def test_users_in_another_spelling_are_told_and_matched_where_that_is_allowed(tmp_path):
    path = write(tmp_path, "user_id,preference\n1.0,cast iron\n2.0,oak\n9.0,nobody\n")
    with pytest.raises(
        DataError, match=r"users\.csv: none of its users, such as '1\.0', has an event;.*2 of 3 rows"
    ) as told:
        read_preferences(path, np.array(["2", "1"]))
    assert str(told.value).endswith('set match_ids = ["decimals"].')
    assert read_preferences(path, np.array(["2", "1", "3"]), match_ids=("decimals",)) == ["oak", "cast iron", ""]


def test_of_two_users_that_a_spelling_would_join_only_exact_ids_count(tmp_path):
    path = write(tmp_path, "user_id,preference\nann,lower\nBOB,upper\n")
    users = np.array(["ann", "ANN", "bob", "cem"])
    assert read_preferences(path, users, match_ids=("case",)) == ["lower", "", "upper", ""]
