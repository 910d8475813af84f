from __future__ import annotations

import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.importers.registry import import_dataset
from lexirec.data.interactions import Interactions
from lexirec.data.splits import predefined_split
from tests.data.importers.reading import column, histories, rows, write

ITEMS = "item_id:token\ttitle:token_seq\n" + "".join(f"{n}\tItem number {n}\n" for n in range(9))


def tsv(*lines):
    return "\n".join(line.replace(" | ", "\t") for line in lines) + "\n"


def test_types_of_columns(tmp_path):
    files = {
        "x.inter": tsv(
            "user_id:token | item_id:token | rating:float | timestamp:float | Time:token | review:token_seq",
            "u | 7 | 5 | 881250949 | late | so good",
            "u | 8 |  | 881250000 | early | nan",
        ),
        "x.item": tsv(
            "item_id:token | movie_title:token_seq | genres:token_seq | release_year:float | vector:float_seq"
            " | USED:token",
            '7 | The "Heat | Crime Drama | 1995 | 0.5 1 | a',
            "8 | Up | nan |  |  | b",
        ),
    }
    done = import_dataset("recbole", write(tmp_path / "raw", files), tmp_path / "out")
    assert done.remarks == ()
    assert histories(tmp_path / "out") == {"u": ["8", "7"]}
    assert rows(tmp_path / "out", "items") == [
        {
            "item_id": "7",
            "title": 'The "Heat',
            "genres": ["Crime", "Drama"],
            "release_year": 1995.0,
            "vector": [0.5, 1.0],
            "USED": "a",
        },
        {"item_id": "8", "title": "Up", "genres": None, "release_year": None, "vector": None, "USED": "b"},
    ]
    assert rows(tmp_path / "out")[0] == {
        "user_id": "u",
        "item_id": "7",
        "time": 881250949.0,
        "rating": 5.0,
        "Time_given": "late",
        "review": "so good",
    }


@pytest.mark.parametrize(
    ("values", "lists"),
    [
        (("Action Sci-Fi", "Drama"), [["Action", "Sci-Fi"], ["Drama"]]),
        (
            ("'Musical Instruments', 'Drums & Percussion'", "'Books'"),
            [["Musical Instruments", "Drums & Percussion"], ["Books"]],
        ),
        (("Food, Coffee & Tea", "Active Life"), [["Food", "Coffee & Tea"], ["Active Life"]]),
        (("Home & Garden|Lamps", "Active Life"), [["Home & Garden", "Lamps"], ["Active Life"]]),
        (("['Lamps, big', 'Rugs']", ""), [["Lamps", "big", "Rugs"], None]),
    ],
)
def test_lists_of_categories_as_their_writers_separate_them(tmp_path, values, lists):
    items = tsv(
        "item_id:token | title:token_seq | categories:token_seq", f"1 | A | {values[0]}", f"2 | B | {values[1]}"
    )
    events = tsv("user_id:token | item_id:token", "u | 1", "u | 2")
    import_dataset("recbole", write(tmp_path, {"x.inter": events, "x.item": items}), tmp_path / "out")
    assert column(tmp_path / "out", "categories", "items") == lists


def test_parts_become_one_table_with_a_split(tmp_path):
    header = "user_id:token | item_id:token | timestamp:float"
    files = {
        "ds.item": ITEMS,
        "ds.test.inter": tsv(header, "u | 3 | 1700000300"),
        "ds.train.inter": tsv(header, "u | 1 | 1700000100", "u | 0 | 1700000000", "v | 4 | 1700000000"),
        "ds.valid.inter": tsv(header, "u | 2 | 1700000200"),
    }
    import_dataset("recbole", write(tmp_path, files), tmp_path / "out")
    assert histories(tmp_path / "out") == {"u": ["0", "1", "2", "3"], "v": ["4"]}
    parts = {row["item_id"]: row["split"] for row in rows(tmp_path / "out")}
    assert parts == {"0": "train", "1": "train", "2": "valid", "3": "test", "4": "train"}


def test_a_whole_file_beside_parts_is_refused(tmp_path):
    header = tsv("user_id:token | item_id:token", "u | 1")
    folder = write(tmp_path, {"ds.inter": header, "ds.train.inter": header, "ds.item": ITEMS})
    with pytest.raises(DataError, match=r"ds\.inter lies beside ds\.train\.inter, a part of a split; leave either"):
        import_dataset("recbole", folder, tmp_path / "out")
    parts = write(tmp_path / "parts", {"ds.part1.inter": header, "ds.part2.inter": header, "ds.item": ITEMS})
    with pytest.raises(DataError, match=r"are called ds\.part1\.inter, ds\.part2\.inter; call them NAME\.train\.inter"):
        import_dataset("recbole", parts, tmp_path / "out")
    (folder / "ds.inter").rename(folder / "b.training.inter")
    with pytest.raises(DataError, match=r"several files are the part 'train': b\.training\.inter, ds\.train\.inter"):
        import_dataset("recbole", folder, tmp_path / "out")


def test_a_broken_line_of_items_is_not_lost(tmp_path):
    files = {
        "x.inter": tsv("user_id:token | item_id:token", "u | 1", "u | 2", "u | 3 | extra"),
        "x.item": tsv("item_id:token | title:token_seq", "1 | A", "2 | B | more", "3 | C"),
    }
    with pytest.raises(DataError, match=r"x\.inter, line 4: too many fields"):
        import_dataset("recbole", write(tmp_path, files), tmp_path / "out")
    write(tmp_path, {"x.inter": tsv("user_id:token | item_id:token", "u | 1", "u | 2")})
    with pytest.raises(DataError, match=r"x\.item, line 3: too many fields .* only bad row"):
        import_dataset("recbole", tmp_path, tmp_path / "out")
    done = import_dataset("recbole", tmp_path, tmp_path / "out", on_bad_row="reject")
    assert done.left_out["too many fields"] == 1
    assert done.interactions == 1


def test_numbers_that_are_none(tmp_path):
    files = {
        "x.inter": tsv("user_id:token | item_id:token | rating:float", "u | 1 | nan", "u | 2 | five"),
        "x.item": tsv("item_id:token | title:token_seq | price:float", "1 | A | 2,5"),
    }
    with pytest.raises(DataError, match="row 2, column 'rating': no number 'five'; allowed is a number or nothing"):
        import_dataset("recbole", write(tmp_path, files), tmp_path / "out")
    write(tmp_path, {"x.inter": tsv("user_id:token | item_id:token | rating:float", "u | 1 | nan")})
    with pytest.raises(DataError, match=r"x\.item, row 1, column 'price': no number '2,5'"):
        import_dataset("recbole", tmp_path, tmp_path / "out")


def test_columns_that_differ_by_case_do_not_clash(tmp_path):
    files = {
        "x.inter": tsv(
            "user_id:token | item_id:token | Rating:float | rating:float | bad:token | n:token", "u | 1 | 2 | 3 | x | y"
        ),
        "x.item": tsv("item_id:token | name:token_seq | Title:token | copy:token | n:token", "1 | A | t | c | 9"),
    }
    import_dataset("recbole", write(tmp_path, files), tmp_path / "out")
    (event,), (item,) = rows(tmp_path / "out"), rows(tmp_path / "out", "items")
    assert event == {"user_id": "u", "item_id": "1", "Rating": 2.0, "rating_given": 3.0, "bad": "x", "n": "y"}
    assert item == {"item_id": "1", "title": "A", "Title_given": "t", "copy": "c", "n": "9"}


# ------------------------------------------------------------------------------------------------- item_id_list


LISTS = "user_id:token | item_id_list:token_seq | item_id:token"


def lists(tmp_path, *lines, header=LISTS, part=""):
    files = {"ds.item": ITEMS, f"ds{part}.inter": tsv(header, *lines)}
    return import_dataset("recbole", write(tmp_path / "raw", files), tmp_path / "out")


def test_histories_and_their_next_items(tmp_path):
    done = lists(tmp_path, *(f"{n} | {n} {n + 1} | {n + 2}" for n in range(4)))
    assert (done.interactions, done.items, done.users) == (12, 6, 4)
    assert done.left_out == {"item without interactions": 3}
    assert histories(tmp_path / "out") == {str(n): [str(n), str(n + 1), str(n + 2)] for n in range(4)}
    assert column(tmp_path / "out", "position") == [0, 1, 2] * 4


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("window", [2, 3, 99])
def test_a_sequence_written_as_a_row_for_each_item(tmp_path, newest_first, window):
    sequence = [0, 1, 2, 1, 3, 4, 5]
    written = [
        f"u | {' '.join(map(str, sequence[max(0, end - window) : end]))} | {sequence[end]}"
        for end in range(1, len(sequence))
    ]
    done = lists(tmp_path, *(reversed(written) if newest_first else written))
    assert histories(tmp_path / "out") == {"u": [str(item) for item in sequence]}
    assert done.interactions == len(sequence)


def test_rows_that_skip_items_and_rows_that_are_repeated(tmp_path):
    done = lists(tmp_path, "u | 0 | 1", "u | 0 | 1", "u | 0 1 2 | 3", "v |  | 4", "v | 4 | 5")
    assert histories(tmp_path / "out") == {"u": ["0", "1", "2", "3"], "v": ["4", "5"]}
    assert done.left_out["repeated row of a history"] == 1


def test_lists_of_separate_sessions_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"ds\.inter, row 2: the list of user 'u' does not continue .*; give every"):
        lists(tmp_path, "u | 0 1 | 2", "u | 5 6 | 7")
    assert not (tmp_path / "out").exists()


def test_lists_alone(tmp_path):
    lists(tmp_path, "u | 3 2 1", "v | 0 1", header="user_id:token | item_id:token_seq")
    assert histories(tmp_path / "out") == {"u": ["3", "2", "1"], "v": ["0", "1"]}


def test_lists_as_python_writes_them_line_ends_of_windows_and_a_byte_order_mark(tmp_path):
    text = "\ufeff" + tsv(LISTS, "u | ['3', '2'] | 1", "v | [0] | 1").replace("\n", "\r\n")
    import_dataset("recbole", write(tmp_path / "raw", {"ds.item": ITEMS, "ds.inter": text}), tmp_path / "out")
    assert histories(tmp_path / "out") == {"u": ["3", "2", "1"], "v": ["0", "1"]}


def test_lists_filled_up_to_one_length(tmp_path):
    header = f"{LISTS} | item_length:float"
    lists(tmp_path, "u | 3 2 0 0 | 1 | 2", "u | 3 2 1 0 | 4 | 3", header=header)
    assert histories(tmp_path / "out") == {"u": ["3", "2", "1", "4"]}


def test_times_of_lists(tmp_path):
    header = f"{LISTS} | timestamp_list:float_seq | timestamp:float | rating:float"
    lists(tmp_path, "u | 3 2 | 1 | 1700000000 1700000001 | 1700000002 | 4", header=header)
    assert [(row["item_id"], row["time"], row["rating"]) for row in rows(tmp_path / "out")] == [
        ("3", 1700000000.0, None),
        ("2", 1700000001.0, None),
        ("1", 1700000002.0, 4.0),
    ]
    with pytest.raises(DataError, match=r"row 1, column 'timestamp_list': no times of the list"):
        lists(tmp_path / "short", "u | 3 2 | 1 | 1700000000 | 1700000002 | 4", header=header)


def test_times_of_items_to_predict_alone_order_nothing(tmp_path):
    done = lists(tmp_path, "u | 3 2 | 1 | 1700000002", header=f"{LISTS} | timestamp:float")
    assert column(tmp_path / "out", "timestamp") == [None, None, 1700000002.0]
    assert "time" not in rows(tmp_path / "out")[0]
    assert "events are ordered by position" in done.remarks[1]


def test_parts_with_histories(tmp_path):
    files = {
        "ds.item": ITEMS,
        "ds.train.inter": tsv(LISTS, "u | 0 | 1", "u | 0 1 | 2"),
        "ds.valid.inter": tsv(LISTS, "u | 0 1 2 | 3", "new | 5 | 6"),
        "ds.test.inter": tsv(LISTS, "u | 0 1 2 3 | 4"),
    }
    import_dataset("recbole", write(tmp_path / "raw", files), tmp_path / "out")
    assert histories(tmp_path / "out") == {"u": ["0", "1", "2", "3", "4"], "new": ["5", "6"]}
    assert [(row["item_id"], row["split"]) for row in rows(tmp_path / "out")] == [
        ("0", "train"),
        ("1", "train"),
        ("2", "train"),
        ("3", "valid"),
        ("4", "test"),
        ("5", "history"),
        ("6", "valid"),
    ]
    catalog = Catalog.read(tmp_path / "out" / "items.parquet", text=["title"])
    split = predefined_split(Interactions.read(tmp_path / "out" / "interactions.parquet", catalog))
    assert [split.train.row(n).tolist() for n in range(len(split.train))] == [[0, 1, 2]]
    assert (split.validation.targets.tolist(), split.test.targets.tolist()) == ([3, 6], [4])
    assert split.validation.histories.row(1).tolist() == [5]


def test_the_same_history_in_every_part(tmp_path):
    rows_of = [f"{n} | {n} {n + 1} | {n + 2}" for n in range(4)]
    files = {"ds.item": ITEMS, **{f"ds.{part}.inter": tsv(LISTS, *rows_of) for part in ("train", "valid", "test")}}
    import_dataset("recbole", write(tmp_path / "raw", files), tmp_path / "out")
    assert histories(tmp_path / "out")["1"] == ["1", "2", "3", "3", "3"]
    assert column(tmp_path / "out", "split")[:5] == ["train", "train", "train", "valid", "test"]
