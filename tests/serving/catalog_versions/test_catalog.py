import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.core.store import Store, verify
from lexirec.models.extension.changes import ItemChanges
from lexirec.models.living_catalog import KIND
from lexirec.models.loading import load_named
from lexirec.serving.catalog_versions import making
from lexirec.serving.catalog_versions.activating import KEPT
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from tests.worlds.grown_shop import HISTORIES, new_rows, unpack

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def living(tmp_path) -> LivingCatalog:
    """The catalogue of a memory: the fastest recommender that takes new items."""
    return LivingCatalog.of(unpack(tmp_path), "old-gram", "memory")


def rows(living, items, prefix="new"):
    return new_rows(living.catalog(0), items, prefix)


def test_added_items_are_ranked_from_the_next_version_on(living):
    assert living.add(rows(living, [3, 4])) == 2
    assert living.load_present().catalog.item_ids == living.catalog(0).item_ids
    version = living.publish()
    assert (version.number, version.parent, version.counts["added"]) == (1, 0, 2)
    recommender = load_named(living.store, "old-gram", "memory")
    assert recommender.catalog.item_ids[-2:] == ["new-0", "new-1"]
    assert not living.staged
    assert [each.item_id for each in recommender.recommend(["new-0"], k=3)]
    with pytest.raises(DataError, match="nothing is staged"):
        living.publish()


@pytest.mark.long
def test_versions_of_an_ensemble_move_no_identifier(tmp_path):
    living = LivingCatalog.of(unpack(tmp_path), "old-gram", "fused")
    ids = living.catalog().item_ids
    living.add(rows(living, [3, 40, 41]))
    living.remove([ids[5]])
    living.update(pa.table({"item_id": [ids[7]], "title": ["another kettle"]}))
    living.publish()
    found = living.difference(0, 1)
    assert found.added == ("new-0", "new-1", "new-2")
    assert found.removed == (ids[5],)
    assert found.renamed == (ids[7],)
    assert found.moved == ()
    verify(living.store.path(KIND, living.state.present.key))


def test_weights_that_did_not_change_are_stored_once(tmp_path):
    living = LivingCatalog.of(unpack(tmp_path), "old-gram", "model")
    for number in range(2):
        living.add(rows(living, [3 + number], f"new{number}"))
        living.publish()
    first, second = (living.store.path(KIND, each.key) / "recommender" for each in living.state.versions[1:])
    assert (first / "model.safetensors").stat().st_ino == (second / "model.safetensors").stat().st_ino
    assert (first / "items.safetensors").stat().st_ino != (second / "items.safetensors").stat().st_ino


def test_facts_and_hiding_act_at_once(living):
    ids = living.catalog().item_ids
    assert living.update(pa.table({"item_id": [ids[0]], "stock": [7]})) == (0, 1)
    assert living.update(pa.table({"item_id": [ids[0]], "price": ["3.5"]})) == (0, 1)
    top = living.load_present().rank(HISTORIES, k=3).items[0, 0]
    assert living.hide([ids[top]]) == 1
    present = living.load_present()
    assert top not in present.rank(HISTORIES, k=20).items
    assert present.catalog.table["stock"].to_pylist()[:2] == [7, None]
    assert [each.item_id for each in present.recommend([ids[5]], k=3, exclude_seen=False, allow=["stock=7"])] == [
        ids[0]
    ]
    assert living.state.active == 0
    living.hide([ids[top]], hidden=False)
    assert top in living.load_present().rank(HISTORIES, k=3).items


def test_removed_items_are_hidden_at_once_and_leave_with_the_version(living):
    ids = living.catalog().item_ids
    living.remove([ids[9]])
    assert 9 not in living.load_present().rank(HISTORIES, k=len(ids)).items
    living.publish()
    assert ids[9] not in living.catalog().item_ids
    moved = np.load(living.store.path(KIND, living.state.present.key) / "moved.npy")
    assert moved[8:11].tolist() == [8, -1, 9]


def test_texts_of_staged_items_can_change_before_they_are_published(living):
    living.add(rows(living, [3]))
    assert living.update(pa.table({"item_id": ["new-0"], "title": ["a new name"], "price": [1.0]})) == (1, 0)
    living.publish()
    catalog = living.catalog()
    assert catalog.field("title")[-1] == "a new name"
    assert catalog.field("brand")[-1] == catalog.field("brand")[3]
    assert catalog.table["price"].to_pylist()[-1] == 1.0


def test_a_text_that_is_changed_back_while_it_waits_stays_as_it_was(living):
    ids, titles = living.catalog().item_ids, living.catalog().field("title")
    for title in ("another kettle", titles[0]):
        living.update(pa.table({"item_id": [ids[0]], "title": [title]}))
    living.add(rows(living, [3]))
    living.publish()
    assert living.catalog().field("title")[0] == titles[0]


def test_going_back_keeps_what_is_staged(living):
    living.add(rows(living, [3]))
    living.publish()
    living.add(rows(living, [4], "more"))
    assert living.rollback().number == 0
    assert load_named(living.store, "old-gram", "memory").catalog.item_ids == living.catalog(0).item_ids
    assert living.staged.ids == ["more-0"]
    version = living.publish()
    assert (version.number, version.parent) == (2, 0)
    assert living.catalog().item_ids[-1] == "more-0"
    living.rollback(1)
    assert living.catalog().item_ids[-1] == "new-0"
    with pytest.raises(ArtifactError, match="no catalog version 7; kept are 0, 1, 2"):
        living.rollback(7)


def test_a_removal_of_what_an_earlier_version_lacks_does_not_stop_it(living):
    living.add(rows(living, [3], "kettle"))
    living.publish()
    living.remove(["kettle-0"])
    living.rollback()
    with pytest.raises(DataError, match="nothing is staged"):
        living.publish()
    living.add(rows(living, [4], "lamp"))
    assert living.publish().counts["removed"] == 0
    assert living.catalog().item_ids[-1] == "lamp-0"


def test_the_last_ten_versions_are_kept(living):
    for number in range(KEPT + 2):
        living.add(rows(living, [number], f"n{number}"))
        living.publish()
    numbers = [version.number for version in living.state.versions]
    assert numbers == [0, *range(3, KEPT + 3)]
    assert len(list(living.store.artifacts(KIND))) == KEPT


def test_a_publish_that_fails_changes_nothing(living, monkeypatch):
    living.add(rows(living, [3]))
    living.publish()
    living.add(rows(living, [4], "more"))
    before = (living.folder / "versions.json").read_bytes()

    def fail(*_):
        raise DataError("a check fails")

    monkeypatch.setattr(making, "check_version", fail)
    with pytest.raises(DataError, match="a check fails"):
        living.publish()
    assert (living.folder / "versions.json").read_bytes() == before
    assert living.staged.ids == ["more-0"]
    assert [path.name for path in (living.store.root / KIND).iterdir()] == [living.state.present.key]
    monkeypatch.undo()
    assert living.publish().number == 2


def test_explicit_changes_leave_the_staged_ones(living):
    living.add(rows(living, [3]))
    living.publish(ItemChanges(rows(living, [4], "direct")))
    assert living.catalog().item_ids[-1] == "direct-0"
    assert living.staged.ids == ["new-0"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda living, ids: living.add(pa.table({"item_id": [ids[0]], "title": ["x"]})), "is in the catalog"),
        (lambda living, ids: living.add(pa.table({"item_id": ["x"], "brand": [""]})), "item 'x' has no text"),
        (lambda living, ids: living.update(pa.table({"item_id": ["toy-0000"], "price": [1]})), "Did you mean"),
        (lambda living, ids: living.hide(["x"]), "not in the catalog"),
        (lambda living, ids: living.remove(["x"]), "not in the catalog"),
        (lambda living, ids: living.remove(ids), "would be empty"),
        (lambda living, ids: living.rollback(), "catalog of training"),
    ],
)
def test_bad_changes_are_one_line(living, act, message):
    with pytest.raises(DataError, match=message) as caught:
        act(living, living.catalog().item_ids)
    assert "\n" not in str(caught.value)


def test_damage_is_told(living):
    living.add(rows(living, [3]))
    living.publish()
    (living.folder / "versions.json").write_text("{}x")
    with pytest.raises(ArtifactError, match=r"versions\.json is damaged"):
        load_named(living.store, "old-gram", "memory")


def test_a_recommender_trained_again_has_a_catalogue_of_its_own(living):
    living.hide([living.catalog().item_ids[0]])
    other = LivingCatalog.of(living.store, "old-gram", "transitions")
    assert not other.facts.hidden
    assert other.folder != living.folder


@pytest.mark.long
def test_killed_at_any_moment_the_version_before_serves(tmp_path):
    """kill -9 during publish: what is active is whole, and publishing again succeeds."""
    living = LivingCatalog.of(unpack(tmp_path), "old-gram", "memory")
    code = (
        "import sys; from lexirec.core.store import Store; from lexirec.serving.catalog_versions.catalog import "
        f"LivingCatalog as L; living = L.of(Store({str(living.store.root)!r}), 'old-gram', 'memory'); "
        "print('ready', flush=True); print(living.publish().number)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for wait in (0.0, 0.3, 1.0):
        living.add(rows(living, [3], f"w{wait}"))
        active = living.state.active
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        state = living.state
        assert state.active in (active, active + 1)
        assert load_named(Store(living.store.root), "old-gram", "memory").rank(HISTORIES, k=5).items.min() >= 0
        if living.staged:
            assert living.publish().number == active + 1
    content = json.loads((living.folder / "versions.json").read_text())
    assert [each["number"] for each in content["versions"]] == [0, 1, 2, 3]
