"""Random changes, publishes and rollbacks of a catalogue, against a model of plain dictionaries."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from tests.worlds.grown_shop import unpack

NEW = [f"new-{number}" for number in range(4)]
OLD = [3, 7, 11]
TITLES = ["copper kettle", "blue lamp", "oak shelf"]


class CatalogMachine(RuleBasedStateMachine):
    """The catalogue of a memory, the fastest recommender that takes new items."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lexirec-machine-"))
        self.living = LivingCatalog.of(unpack(self.folder), "old-gram", "memory")
        catalog = self.living.catalog()
        self.trained = catalog.item_ids
        self.old = [self.trained[number] for number in OLD]
        titles = dict(zip(self.trained, catalog.field("title"), strict=True))
        self.versions: dict[int, dict[str, str]] = {0: titles}
        self.parents: dict[int, int | None] = {0: None}
        self.active = 0
        self.staged: dict[str, str] = {}
        self.removed: set[str] = set()
        self.stock: dict[str, int] = {}
        self.hidden: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @property
    def items(self) -> dict[str, str]:
        return self.versions[self.active]

    def known(self, item: str) -> bool:
        return item in self.items and item not in self.removed

    @rule(item=st.sampled_from(NEW), title=st.sampled_from(TITLES))
    def add(self, item: str, title: str) -> None:
        rows = pa.table({"item_id": [item], "title": [title]})
        if self.known(item):
            with pytest.raises(DataError, match="update it instead"):
                self.living.add(rows)
            return
        self.living.add(rows)
        self.staged[item] = title
        self.removed.discard(item)

    @rule(number=st.integers(0, 6), title=st.sampled_from(TITLES))
    def reword(self, number: int, title: str) -> None:
        item = [*self.old, *NEW][number]
        rows = pa.table({"item_id": [item], "title": [title]})
        if not self.known(item) and item not in self.staged:
            with pytest.raises(DataError, match="add it first"):
                self.living.update(rows)
            return
        self.living.update(rows)
        if not self.known(item) or item in self.staged or self.items[item] != title:
            self.staged[item] = title

    @rule(number=st.integers(0, 6), stock=st.integers(0, 3))
    def count(self, number: int, stock: int) -> None:
        item = [*self.old, *NEW][number]
        if self.known(item):
            self.living.update(pa.table({"item_id": [item], "stock": [stock]}))
            self.stock[item] = stock

    @rule(number=st.integers(0, 6), hidden=st.booleans())
    def hide(self, number: int, hidden: bool) -> None:
        item = [*self.old, *NEW][number]
        if item not in self.items:
            with pytest.raises(DataError, match="not in the catalog"):
                self.living.hide([item], hidden=hidden)
            return
        self.living.hide([item], hidden=hidden)
        (self.hidden.add if hidden else self.hidden.discard)(item)

    @rule(number=st.integers(0, 6))
    def remove(self, number: int) -> None:
        item = [*self.old, *NEW][number]
        if item not in self.items and item not in self.staged:
            with pytest.raises(DataError, match="not in the catalog"):
                self.living.remove([item])
            return
        self.living.remove([item])
        self.staged.pop(item, None)
        if item in self.items:
            self.removed.add(item)

    @rule()
    def publish(self) -> None:
        if not self.staged and not self.removed & set(self.items):
            with pytest.raises(DataError, match="nothing is staged"):
                self.living.publish()
            return
        number = self.living.publish().number
        after = {item: title for item, title in self.items.items() if item not in self.removed}
        self.versions[number] = after | self.staged
        self.parents[number], self.active = self.active, number
        self.staged, self.removed = {}, set()

    @rule()
    def go_back(self) -> None:
        parent = self.parents[self.active]
        if parent is None:
            with pytest.raises(DataError, match="no version to go back to"):
                self.living.rollback()
            return
        self.living.rollback()
        self.active = parent

    @precondition(lambda self: len(self.versions) > 1)
    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.versions)[-8:]))
        self.living.rollback(number)
        self.active = number

    @invariant()
    def the_present_is_what_the_model_says(self) -> None:
        present = self.living.load_present()
        assert dict(zip(present.catalog.item_ids, present.catalog.field("title"), strict=True)) == self.items
        assert self.living.state.active == self.active
        found = present.catalog.field("stock") if "stock" in present.catalog.table.column_names else None
        for item, stock in self.stock.items():
            if item in self.items:
                assert found is not None
                assert found[present.catalog.item_ids.index(item)] == str(stock)
        out = {item for item in (*self.hidden, *self.removed) if item in self.items}
        lists = present.rank(Sequences.from_lists([[0, 5]]), k=len(self.items)).items[0]
        assert {present.catalog.item_ids[item] for item in lists if item >= 0} == set(self.items) - out
        assert bool(self.living.staged) == bool(self.staged or self.removed)

    @invariant()
    def identifiers_never_move(self) -> None:
        ids = self.living.load().catalog.item_ids
        kept = [item for item in self.trained if item in self.items]
        assert ids[: len(kept)] == kept
        assert np.unique(ids).size == len(ids)


def drive(examples: int) -> None:
    how = settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(CatalogMachine, settings=how)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_catalogue_is_what_its_model_is():
    drive(50)
