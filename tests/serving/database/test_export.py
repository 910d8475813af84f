import numpy as np
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.serving.database import export
from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.export import COLUMNS, export_events
from tests.serving.conftest import NOW

ITEMS = ["A1", "007", "a,b", 'q"q', "ü/1", "8"]
USERS = ["ann", "0042", "bob,1", "session:9", 'c"c', "1e5", "true", "ärger", "2023-11-14", " led", "a b "]


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    lines = ["item_id\ttitle", *(f"{item}\tTitle of {n}" for n, item in enumerate(ITEMS))]
    (tmp_path / "items.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Catalog.read(tmp_path / "items.tsv", text=("title",))


def fill(database) -> None:
    random = np.random.default_rng(0)
    events = [
        NewEvent(
            USERS[random.integers(len(USERS))],
            ITEMS[random.integers(len(ITEMS))],
            ["view", "purchase"][random.integers(2)],
            NOW - int(random.integers(20)) - [0.0, 0.5, 0.1, 1 / 3][random.integers(4)],
            [None, 1.0, 2.5][random.integers(3)],
            event_id=f"e{number}",
        )
        for number in range(400)
    ]
    assert database.events.ingest(events).result().accepted == 400
    database.users.merge("session:9", "ann").result()
    database.users.erase("bob,1").result()


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_is_exported_is_read_as_the_histories(database, catalog, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(export, "BATCH_ROWS", 37)
    fill(database)
    done = export_events(database.access, tmp_path / f"events.{suffix}")
    read = Interactions.read(done.path, catalog)
    histories = database.users.histories(USERS)
    assert set(read.user_ids) == set(USERS) - {"session:9", "bob,1"}
    assert (done.users, done.events, done.left_out) == (len(read), read.sequences.items.size, 0)
    offsets = read.sequences.offsets
    for number, user in enumerate(read.user_ids):
        own = slice(offsets[number], offsets[number + 1])
        assert [ITEMS[item] for item in read.sequences.items[own]] == list(histories[user].item_ids)
        assert read.times[own].tolist() == list(histories[user].times)
    assert len(histories["bob,1"]) == 0


def test_the_table_has_the_columns_of_data_and_types_by_which_rows_are_chosen(database, catalog, tmp_path):
    from lexirec.data.readers.events import EventOptions

    fill(database)
    done = export_events(database.access, tmp_path / "events.parquet")
    table = pq.read_table(done.path)
    assert table.column_names == list(COLUMNS)
    n_purchases = table.column("type").to_pylist().count("purchase")
    read = Interactions.read(done.path, catalog, options=EventOptions(where="type = 'purchase'"))
    assert read.sequences.items.size == n_purchases
    chosen = export_events(database.access, tmp_path / "purchases.parquet", types=["purchase"])
    assert (chosen.events, chosen.left_out) == (n_purchases, table.num_rows - n_purchases)
    assert set(pq.read_table(chosen.path).column("type").to_pylist()) == {"purchase"}


def test_unknown_items_and_sessions_may_be_left_out(database, tmp_path):
    events = [NewEvent("ann", "A1"), NewEvent("ann", "new"), NewEvent("session:1", "A1")]
    database.events.ingest(events).result()
    done = export_events(database.access, tmp_path / "a.parquet", known={"A1"}, sessions=False)
    assert (done.events, done.users, done.left_out) == (1, 1, 1)
    assert pq.read_table(done.path).to_pylist() == [
        {"user_id": "ann", "item_id": "A1", "time": NOW, "type": "interaction", "value": None}
    ]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_an_empty_database_gives_an_empty_table(database, tmp_path, suffix):
    done = export_events(database.access, tmp_path / f"events.{suffix}")
    assert (done.events, done.users) == (0, 0)
    assert done.path.exists()


def test_places_that_cannot_be_written_are_refused(sqlite, tmp_path):
    with pytest.raises(DataError, match=r"exported as \.parquet or \.csv"):
        export_events(sqlite.access, tmp_path / "events.xlsx")
    with pytest.raises(DataError, match="the folder does not exist"):
        export_events(sqlite.access, tmp_path / "absent" / "events.csv")


def test_a_full_disk_leaves_the_old_file(sqlite, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    path = tmp_path / "events.parquet"
    path.write_bytes(b"old")
    sqlite.events.ingest([NewEvent("ann", "A1")]).result()
    monkeypatch.setattr(export, "sync", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        export_events(sqlite.access, path)
    assert path.read_bytes() == b"old"
    assert {each.name for each in tmp_path.iterdir()} <= {
        "events.parquet",
        "lexirec.db",
        "lexirec.db-wal",
        "lexirec.db-shm",
    }
