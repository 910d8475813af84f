from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.sequences import Sequences

CATALOG = Catalog(pa.table({"item_id": ["a", "b", "c", "d"], "title": ["A", "B", "C", "D"]}), ("title",))


def read(folder, table, **options):
    pq.write_table(pa.table(table), folder / "events.parquet")
    return Interactions.read(folder / "events.parquet", CATALOG, **options)


def lists(interactions):
    return [interactions.sequences.row(i).tolist() for i in range(len(interactions))]


def test_users_in_order_of_appearance_events_by_time_ties_in_file_order(tmp_path):
    events = read(
        tmp_path,
        {
            "user_id": ["v", "u", "v", "u", "v", "u"],
            "item_id": ["a", "b", "c", "d", "b", "a"],
            "time": [1.5e9, 1.4e9, 1.3e9, 1.4e9, 1.5e9, 1.2e9],
        },
    )
    assert events.user_ids.tolist() == ["v", "u"]
    assert lists(events) == [[2, 0, 1], [0, 1, 3]]
    assert events.times is not None
    assert events.times.tolist() == [1.3e9, 1.5e9, 1.5e9, 1.2e9, 1.4e9, 1.4e9]
    assert events.protocol["order"] == "by column 'time', ties keep file order"
    assert events.n_items == 4


def test_position_and_file_order(tmp_path):
    table = {"user_id": [3, 3, 3], "item_id": ["a", "b", "c"], "position": [2, 0, 1]}
    by_position = read(tmp_path, table)
    assert lists(by_position) == [[1, 2, 0]]
    assert by_position.user_ids.tolist() == ["3"]
    assert by_position.times is None
    table.pop("position")
    in_file = read(tmp_path, table)
    assert lists(in_file) == [[0, 1, 2]]
    assert in_file.protocol["order"] == "file order"


def test_mapped_columns_and_units(tmp_path):
    table = {"who": ["u", "u"], "what": ["b", "a"], "at": [1_494_288_000_500, 1_494_288_000_250]}
    columns = {"user_id": "who", "item_id": "what", "time": "at"}
    events = read(tmp_path, table, columns=columns, time_unit="ms")
    assert lists(events) == [[0, 1]]
    assert events.times is not None
    assert events.times.tolist() == [1_494_288_000.25, 1_494_288_000.5]
    with pytest.raises(DataError, match=r"milliseconds '1494288000500'; .*set time_unit = \"ms\""):
        read(tmp_path, table, columns=columns)
    with pytest.raises(DataError, match="time_unit is 'min'; allowed are s, ms, us, ns"):
        read(tmp_path, table, columns=columns, time_unit="min")


def test_times_as_timestamps(tmp_path):
    stamps = pa.array([1_500_000_000, 1_400_000_000], pa.int64()).cast(pa.timestamp("s"))
    events = read(tmp_path, {"user_id": ["u", "u"], "item_id": ["a", "b"], "time": stamps})
    assert lists(events) == [[1, 0]]


def test_a_list_column_is_no_user(tmp_path):
    for item in (["a"], [["a", "b"]]):
        with pytest.raises(DataError, match=r"^\S+events.parquet: column 'user_id' holds lists, of other lengths"):
            read(tmp_path, {"user_id": [["u"]], "item_id": item})


def test_labels_of_a_published_split(tmp_path):
    table = {"user_id": ["u"] * 3, "item_id": ["a", "b", "c"], "part": ["train", "Valid", "TEST"]}
    events = read(tmp_path, table, columns={"split": "part"})
    assert events.labels is not None
    assert events.labels.tolist() == [0, 1, 2]


def test_a_column_can_be_ignored(tmp_path):
    table = {"user_id": ["u"] * 3, "item_id": ["a", "b", "c"], "split": ["x", "y", "z"], "position": [3, 2, 1]}
    events = read(tmp_path, table, columns={"split": "", "position": ""})
    assert events.labels is None
    assert lists(events) == [[0, 1, 2]]


def test_many_rows_keep_file_order_in_ties(tmp_path):
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 500, 200_000), rng.integers(0, 4, 200_000)
    names = np.array(["a", "b", "c", "d"])
    events = read(tmp_path, {"user_id": users, "item_id": names[items], "time": np.full(200_000, 1.4e9)})
    order = np.argsort(users, kind="stable")
    expected = dict(zip(*np.unique(users, return_index=True)))
    ranked = sorted(expected, key=lambda user: expected[user])
    assert events.user_ids.tolist() == [str(user) for user in ranked]
    row = events.sequences.row(0)
    assert row.tolist() == items[order][users[order] == ranked[0]].tolist()


def test_k_core_is_iterative():
    # User r is too short; without r item d is too rare; without d user q is too short.
    rows = Sequences.from_lists([[1, 0, 1, 0], [0, 3], [3], [1, 0]])
    times = np.arange(len(rows.items), dtype=float)
    events = Interactions(rows, np.array(["p", "q", "r", "s"]), times, 4)
    core, catalog = events.k_core(2, CATALOG)
    assert core.user_ids.tolist() == ["p", "s"]
    assert catalog.item_ids == ["a", "b"]
    assert lists(core) == [[1, 0, 1, 0], [1, 0]]
    assert core.times is not None
    assert core.times.tolist() == [0, 1, 2, 3, 7, 8]
    assert core.n_items == 2
    assert core.protocol["k_core"] == 2
    with pytest.raises(DataError, match=r"^k_core = 9 leaves no interaction of 9; choose a smaller k.$"):
        events.k_core(9, CATALOG)


def test_of_events_written_twice_one_is_kept():
    rows = Sequences.from_lists([[0, 1, 0, 0, 1], [0, 0]])
    times = np.array([1.0, 1.0, 1.0, 2.0, 3.0, 1.0, 1.0])
    events = Interactions(rows, np.array(["p", "q"]), times, 4, np.arange(7, dtype=np.int8), {"order": "file order"})
    once = events.without_repeats()
    assert lists(once) == [[0, 1, 0, 1], [0]]
    assert once.times is not None
    assert once.times.tolist() == [1, 1, 2, 3, 1]
    assert once.labels is not None
    assert once.labels.tolist() == [0, 1, 3, 4, 5]
    assert once.protocol == {"order": "file order", "repeats_dropped": 2}
    with pytest.raises(DataError, match="drop_repeats needs a time of every event"):
        Interactions(rows, np.array(["p", "q"]), None, 4).without_repeats()


def test_save_load_and_digest(tmp_path):
    rows = Sequences.from_lists([[0, 1], [2]])
    events = Interactions(rows, np.array(["ü", "v"]), np.array([1.0, 2.0, 3.0]), 4, None, {"order": "file order"})
    events.save(tmp_path / "x")
    loaded = Interactions.load(tmp_path / "x")
    assert loaded.sequences == rows
    assert loaded.user_ids.tolist() == ["ü", "v"]
    assert loaded.labels is None
    assert loaded.protocol == events.protocol
    assert loaded.digest == events.digest
    other = Interactions(Sequences.from_lists([[0], [1, 2]]), events.user_ids, events.times, 4)
    assert other.digest != events.digest
    with pytest.raises(ArtifactError, match="no saved interactions"):
        Interactions.load(tmp_path)


@pytest.mark.data
def test_beauty_has_the_counts_of_the_paper(data_dir):
    catalog = Catalog.read(data_dir / "beauty" / "items.parquet", text=["title"])
    events = Interactions.read(data_dir / "beauty" / "interactions.parquet", catalog)
    assert (len(events), len(catalog), len(events.sequences.items)) == (22_363, 12_101, 198_502)
    core, kept = events.k_core(5, catalog)
    assert (len(core), len(kept), len(core.sequences.items)) == (22_363, 12_101, 198_502)
