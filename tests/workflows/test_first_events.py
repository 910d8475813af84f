from __future__ import annotations

import pytest

from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import run_experiment
from lexirec.serving.database.event_rows import EARLIEST
from lexirec.serving.database.export import export_events
from lexirec.serving.database.opening import open_database
from lexirec.workflows.first_events import import_experiment_events

EXPERIMENT = """
name = "small"
[data]
items = "items.csv"
interactions = "events.csv"
text = ["title"]
[baselines.popularity]
kind = "popularity"
[evaluation]
ks = [2]
"""
ITEMS = "item_id,title\n" + "".join(f"a{number},Thing {number}\n" for number in range(9))


@pytest.fixture(params=["with times", "without times"])
def store(request, tmp_path):
    timed = request.param == "with times"
    rows = [(user, (3 * user + place) % 9, 1_700_000_000 + 60 * place) for user in range(6) for place in range(4)]
    head = "user_id,item_id,time" if timed else "user_id,item_id,position"
    lines = [f"u{user},a{item},{time if timed else place}" for place, (user, item, time) in enumerate(rows)]
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "events.csv").write_text("\n".join([head, *lines]) + "\n")
    (tmp_path / "small.toml").write_text(EXPERIMENT)
    run_experiment(load_experiment(tmp_path / "small.toml"), Store(tmp_path / "store"))
    return timed, tmp_path


def test_a_service_knows_the_users_of_its_experiment_and_gives_the_same_events_back(store):
    timed, folder = store
    with open_database(f"sqlite:///{folder / 'a.db'}") as database:
        first = import_experiment_events(Store(folder / "store"), "small", database)
        again = import_experiment_events(Store(folder / "store"), "small", database)
        assert (first.accepted, first.duplicates, first.rejected) == (24, 0, 0)
        assert (again.accepted, again.duplicates) == (0, 24)
        events = database.users.histories(["u2"])["u2"]
        assert events.item_ids == ("a6", "a7", "a8", "a0")
        assert events.times[0] == (1_700_000_000 if timed else EARLIEST)
        export_events(database.access, folder / "back.parquet")
    catalog = Catalog.read(folder / "items.csv", text=["title"])
    before = Interactions.read(folder / "events.csv", catalog)
    back = Interactions.read(folder / "back.parquet", catalog)
    assert back.sequences.items.tolist() == before.sequences.items.tolist()
    assert back.user_ids.tolist() == before.user_ids.tolist()
