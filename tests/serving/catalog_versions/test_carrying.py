"""The state of a shop goes from one catalogue to another: facts, hidden items, published items, and no more."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lexirec.core.store import Store
from lexirec.serving.catalog_versions.carrying import Carrier, Place, Shown, carry_facts, carry_waiting, furnish
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from tests.serving.model_shop import run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    run(tmp_path, "b", window=3, products=90)
    return run(tmp_path)


@pytest.fixture
def shop(store: Store) -> LivingCatalog:
    return LivingCatalog.of(store, "shop", "memory")


@pytest.fixture
def other(store: Store) -> LivingCatalog:
    return LivingCatalog.of(store, "b", "memory")


def facts(shop: LivingCatalog, item: str, **values: object) -> None:
    shop.update(pa.table({"item_id": [item]} | {name: [value] for name, value in values.items()}))


def test_a_catalogue_that_nobody_changed_changes_no_other_one(shop, other):
    item = shop.catalog().item_ids[3]
    other.hide([item])
    assert not carry_facts(Shown.of(shop), Place.of(other))
    assert other.facts.hidden == {item}


def test_for_items_that_both_have_the_source_decides(shop, other):
    ids = [item for item in shop.catalog().item_ids if item in other.known.numbers]
    own = next(item for item in other.catalog().item_ids if item not in shop.known.numbers)
    shop.hide(ids[:2])
    shop.remove([ids[2]])
    facts(shop, ids[3], price=0.25)
    other.hide([ids[4], own])
    facts(other, ids[3], price=9.0, stock=4)
    assert carry_facts(Shown.of(shop), Place.of(other))
    assert other.facts.hidden == {*ids[:3], own}
    assert other.facts.values[ids[3]] == {"price": 0.25, "stock": 4}
    assert not carry_facts(Shown.of(shop), Place.of(other)), "the second time, nothing is left to carry"
    again = LivingCatalog(other.store, other.name, other.part, other.trained)
    assert again.facts.hidden == other.facts.hidden, "it is on the disk"


def test_values_that_a_column_cannot_hold_are_left_out(shop, other):
    item, another = shop.catalog().item_ids[:2]
    for each in (item, another):
        facts(other, each, stock="plenty")
    facts(shop, item, stock=7, price=0.5)
    assert carry_facts(Shown.of(shop), Place.of(other))
    assert other.facts.values[item] == {"stock": "plenty", "price": 0.5}


def test_a_carrier_takes_what_is_new_and_nothing_twice(shop, other):
    ids = shop.catalog().item_ids
    carrier = Carrier(shop, lambda: Place.of(other))
    shop.hide([ids[0]])
    assert carrier.carry()
    assert not carrier.carry()
    other.hide([ids[5]])  # another process, meanwhile: only what is new is carried
    shop.hide([ids[0]], hidden=False)
    shop.hide([ids[1]])
    facts(shop, ids[2], price=1.5)
    assert carrier.carry()
    assert other.facts.hidden == {ids[1], ids[5]}
    assert other.facts.values[ids[2]]["price"] == 1.5
    shop.remove([ids[6]])
    assert carrier.carry()
    assert ids[6] in other.facts.hidden


def test_items_that_a_version_lost_are_hidden_elsewhere(shop, other):
    item = next(item for item in shop.catalog().item_ids if item in other.known.numbers)
    shop.remove([item])
    shop.publish()
    assert carry_facts(Shown.of(shop), Place.of(other))
    assert item in other.facts.hidden


def row(like: LivingCatalog, item_id: str, title: str) -> pa.Table:
    given = like.catalog().table.slice(0, 1).to_pylist()[0]
    return pa.Table.from_pylist([{**given, "item_id": item_id, "title": title}], like.catalog().table.schema)


def test_published_items_are_published_and_waiting_ones_wait(shop, other):
    shop.add(row(shop, "new-1", "A lamp of paper"))
    shop.publish()
    shop.add(row(shop, "new-2", "A lamp of glass"))
    done = furnish(shop, other)
    assert (done.added, done.problem) == (2, None)
    assert "new-1" in other.known.numbers
    assert other.staged.ids == ["new-2"]
    assert furnish(shop, other).added == 0, "the second time, nothing is left to do"
    assert other.state.active == 1


def test_what_waits_there_is_not_published_by_the_way(shop, other):
    other.add(row(other, "own", "A rug"))
    shop.add(row(shop, "new-1", "A lamp of paper"))
    shop.publish()
    assert furnish(shop, other).added == 1
    assert other.state.active == 0
    assert set(other.staged.ids) == {"own", "new-1"}


def test_removals_that_wait_wait_there_too(shop, other):
    item = next(item for item in shop.catalog().item_ids if item in other.known.numbers)
    shop.remove([item])
    assert carry_waiting(shop, other).removed == 1
    assert other.staged.removed == (item,)
    assert carry_waiting(shop, other).removed == 0
