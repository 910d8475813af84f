"""The living catalogue: facts answer while a version is loaded, changes are taken together, old versions are freed."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pytest

from lexirec.models.living_catalog import CatalogState, Version
from lexirec.serving.answering.living import LivingSnapshots
from lexirec.serving.answering.snapshots import Snapshots
from tests.serving.living_shop import living_catalog, living_service, trained
from tests.serving.shop import ITEMS


@pytest.fixture
def living(tmp_path) -> LivingSnapshots:
    made = LivingSnapshots(living_catalog(tmp_path), trained())
    made.attach(Snapshots(made.begin()), lambda snapshot: None)
    return made


def put_price(living: LivingSnapshots, item: int, price: float) -> None:
    living.catalog.update(pa.table({"item_id": [f"i{item}"], "price": [price]}))


def prices(living: LivingSnapshots) -> list[float]:
    return living._snapshots.active.catalog.table.column("price").to_pylist()


def test_without_changes_nothing_is_made_anew(living):
    first = living._snapshots.active
    living.refresh_facts()
    assert not living.refresh()
    assert living._snapshots.active is first
    living.catalog.hide(["i1"])
    assert living.refresh()
    assert not living._snapshots.active.available[1]
    living.catalog.hide(["i1"], hidden=False)
    living.refresh_facts()
    assert living._snapshots.active.available is None


def test_facts_answer_while_another_version_is_loaded(living, monkeypatch):
    trained = living._trained.load()
    put_price(living, 4, 76.0)
    loading, go_on = threading.Event(), threading.Event()

    def load(version):
        loading.set()
        assert go_on.wait(20)
        return replace(trained, catalog_version=version.number)

    key = living.catalog.trained.key
    versions = (Version(0, key), Version(1, key, 0))
    monkeypatch.setattr(type(living.catalog), "state", property(lambda self: CatalogState(1, versions)))
    monkeypatch.setattr(living, "_load", load)
    (living.catalog.folder / "versions.json").write_text("{}")
    loader = threading.Thread(target=living.refresh)
    loader.start()
    assert loading.wait(20)
    put_price(living, 5, 77.0)
    living.refresh_facts()
    assert (living._snapshots.active.catalog_version, prices(living)[5]) == (0, 77.0)
    go_on.set()
    loader.join(20)
    assert (living._snapshots.active.catalog_version, prices(living)[5]) == (1, 77.0)


def test_many_threads_each_see_their_own_change(living):
    def work(number: int) -> bool:
        for step in range(10):
            put_price(living, number, number + step / 16)
            living.refresh_facts()
            if prices(living)[number] != number + step / 16:
                return False
        return True

    first = living._snapshots.active.facts_revision
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))
    assert living._snapshots.active.facts_revision - first <= 80
    again = living_catalog(living.catalog.store.root.parent)
    assert [again.facts.values[f"i{number}"]["price"] for number in range(8)] == [
        number + 9 / 16 for number in range(8)
    ]


def test_snapshots_before_a_change_of_facts_are_freed(living):
    old = []
    for number in range(5):
        old.append(weakref.ref(living._snapshots.active))
        put_price(living, number, 50.0)
        living.refresh_facts()
    gc.collect()
    assert [each() for each in old] == [None] * 5
    assert living._snapshots.active.numbers[f"i{ITEMS - 1}"] == ITEMS - 1


def test_versions_before_a_publish_are_freed(tmp_path):
    with living_service(tmp_path) as (client, service, _):
        old = []
        for number in range(1, 4):
            client.post("/v1/items", json={"item_id": f"new-{number}", "title": f"New {number}"})
            service.publisher.publish()
            active = service.snapshots.active
            assert active.catalog_version == number
            old.append((weakref.ref(active), weakref.ref(active.recommender), weakref.ref(active.catalog.table)))
            del active
            for body in ({"k": 3}, {"history": ["i1"], "k": 3, "deny": ["brand=Acme"]}):
                assert client.post("/v1/recommend", json=body).status_code == 200
        gc.collect()
        assert [[part() is None for part in parts] for parts in old] == [[True] * 3, [True] * 3, [False] * 3]
