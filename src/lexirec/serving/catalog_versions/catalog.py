"""The versions of one recommender's catalogue: stage changes, publish them, compare versions, go back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.core.locks import exclusive
from lexirec.core.runs import Stage, find_run, recommenders
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.models.extension.changes import ItemChanges, aligned
from lexirec.models.facts_file import FactsFile, read_file, stat_of
from lexirec.models.facts_log import FactsChange
from lexirec.models.living_catalog import (
    KIND,
    STAGED,
    VERSIONS,
    CatalogState,
    Facts,
    Version,
    read_state,
    state_folder,
    version_folder,
)
from lexirec.models.loading import chosen, load_present, load_recommender
from lexirec.serving.catalog_versions.activating import activate
from lexirec.serving.catalog_versions.differences import Difference, compared
from lexirec.serving.catalog_versions.fact_writer import FactWriter
from lexirec.serving.catalog_versions.known_items import KnownItems, facts_of, with_times
from lexirec.serving.catalog_versions.making import FACTS as FACTS_OF_VERSION
from lexirec.serving.catalog_versions.making import Parent, make_version
from lexirec.serving.catalog_versions.rows import check_rows, updated, with_text_ids
from lexirec.serving.catalog_versions.staging import Staged


class LivingCatalog:
    """The catalogue of a finished experiment's recommender; several processes may change it, one at a time.

    Attributes:
        store: Of the experiment.
        name: Of the experiment.
        part: Of the recommender.
        trained: Its artifact, whose catalogue is version 0.
        folder: Of the state, see `models.living_catalog`.
    """

    def __init__(self, store: Store, name: str, part: str, trained: Stage) -> None:
        """Use a recommender's catalogue; `of` finds the recommender by name."""
        self.store, self.name, self.part, self.trained = store, name, part, trained
        self.folder = state_folder(store, name, part, trained.key)
        self._state: tuple[tuple[int, ...], CatalogState] | None = None
        self._known: tuple[str, KnownItems] | None = None
        self._staged: tuple[tuple[int, ...], Staged] | None = None
        self._facts = FactWriter(self.folder, lambda: self.known.catalog.table.schema)

    @classmethod
    def of(cls, store: Store, name: str, wanted: str | None = None) -> Self:
        """Return the catalogue of a recommender of a finished experiment.

        Args:
            store: Of finished experiments.
            name: Of the experiment.
            wanted: Name of one of its recommenders; by default the last trained model, else the best baseline.

        Raises:
            ArtifactError: there is no such experiment or recommender.
        """
        run = find_run(store, name)
        part = chosen(run, wanted)
        return cls(store, run.name, part, recommenders(run)[part])

    # ---------------------------------------------------------------------------------------------------- looking

    @property
    def state(self) -> CatalogState:
        """The versions that are kept, and which is active."""
        found, kept = stat_of(self.folder / VERSIONS), self._state
        if kept is None or kept[0] != found:
            kept = self._state = found, read_state(self.folder, self.trained.key)
        return kept[1]

    @property
    def staged(self) -> Staged:
        """The changes that wait."""
        found, kept = stat_of(self.folder / STAGED), self._staged
        if kept is None or kept[0] != found:
            kept = self._staged = found, Staged.load(self.folder)
        return kept[1]

    @property
    def waiting(self) -> Staged:
        """The changes that the next version will have: without removals of items that the active one lacks."""
        staged, numbers = self.staged, self.known.numbers
        known = all(item in numbers for item in staged.removed)
        return staged if known else staged.present_in(self.known.catalog)

    @property
    def facts(self) -> Facts:
        """Present facts, and hidden items."""
        return Facts.read(self.folder)

    @property
    def facts_file(self) -> FactsFile:
        """The facts as they are written: to be caught up with before they are read."""
        return self._facts.file

    @property
    def known(self) -> KnownItems:
        """The items of the active version."""
        present, kept = self.state.present, self._known
        if kept is None or kept[0] != present.key:
            kept = self._known = present.key, KnownItems(Catalog.load(self._folder(present) / "catalog"))
        return kept[1]

    def load(self, number: int | None = None) -> Recommender:
        """Load the recommender of a version as it was published, without facts; by default of the active one."""
        state = self.state
        return load_recommender(self._folder(state.present if number is None else state.find(number)))

    def load_present(self) -> Recommender:
        """Load the recommender of the active version with present facts, without hidden items."""
        return load_present(self.store, self.name, self.part, self.trained)

    def catalog(self, number: int | None = None) -> Catalog:
        """Return the items of a version; by default of the active one."""
        if number is None:
            return self.known.catalog
        return Catalog.load(self._folder(self.state.find(number)) / "catalog")

    def difference(self, first: int, second: int) -> Difference:
        """Compare two versions.

        Raises:
            ArtifactError: one of them is not kept.
        """
        return compared(self.load(first), self.load(second))

    def write_problem(self) -> str | None:
        """Return why the catalogue cannot be changed, as far as the file system says; None where it can."""
        there = next(folder for folder in (self.folder, *self.folder.parents) if folder.is_dir())
        return None if os.access(there, os.W_OK) else f"{there} cannot be written"

    def refused(self, number: int) -> dict[str, str]:
        """Return why items were not added when a version was published, by their ids."""
        version = self.state.find(number)
        content = read_file(self.store.path(KIND, version.key) / FACTS_OF_VERSION) if number else {}
        return dict(content.get("refused", {}))

    # --------------------------------------------------------------------------------------------------- changing

    def add(self, rows: pa.Table, vectors: Mapping[str, str] | None = None) -> int:
        """Stage new items; they can be recommended once a version is published. Return their number.

        Args:
            rows: `item_id` and fields, a row per item.
            vectors: Files of their vectors, by the name of the source, where vectors were read from files.

        Raises:
            DataError: an item is in the catalogue already, or the rows cannot be used.
        """
        with self._alone():
            catalog = self.catalog()
            rows = with_times(with_text_ids(rows), catalog)
            ids = aligned(rows, catalog).column("item_id").to_pylist()
            known = set(catalog.item_ids) - set(self.staged.removed)
            twice = [item for item in ids if item in known]
            if twice:
                raise DataError(f"item '{twice[0]}' is in the catalog ({len(twice):,} such items); update it instead")
            check_rows(catalog, rows, self.waiting.removed)
            staged = self.staged.with_rows(rows)
            Staged(staged.rows, staged.removed, {**staged.vectors, **(vectors or {})}).save(self.folder)
        return len(ids)

    def update(self, rows: pa.Table) -> tuple[int, int]:
        """Change items: texts with the next version, all other columns at once.

        Returns:
            Number of items whose texts are staged, and of items whose facts changed.

        Raises:
            DataError: an item is neither in the catalogue nor staged, or the rows cannot be used.
        """
        known = self.known
        rows = with_times(with_text_ids(rows), known.catalog)
        texts = [name for name in rows.column_names if name in known.catalog.text_fields]
        others = [name for name in rows.column_names if name not in texts and name != "item_id"]
        staged_rows = 0
        if texts or not known.has(rows, self.staged.removed):
            with self._alone():
                before = self.staged
                staged, staged_rows = updated(before, self.known.catalog, rows, texts)
                if staged is not before:
                    staged.save(self.folder)
        if not others:
            return staged_rows, 0
        facts = facts_of(rows, others, known)
        return staged_rows, self._facts.put(FactsChange(facts)) if facts else 0

    def hide(self, ids: Sequence[str], *, hidden: bool = True) -> int:
        """Hide items, or show them again, at once; return how many changed.

        Raises:
            DataError: an item is not in the catalogue.
        """
        known = self.known
        if not all(item in known.numbers for item in ids):
            known.catalog.numbers(ids)
        given = tuple(dict.fromkeys(ids))
        return self._facts.put(FactsChange(hidden=given) if hidden else FactsChange(shown=given))

    def put_facts(self, change: FactsChange) -> int:
        """Write a change of facts as it is, also of items that the catalogue lacks; return how many items it changed.

        Raises:
            DataError: a value is of another kind than its column.
        """
        return self._facts.put(change)

    def remove(self, ids: Sequence[str]) -> int:
        """Remove items: they are hidden at once and leave with the next version; return how many.

        Raises:
            DataError: an item is neither in the catalogue nor staged, or none would be left.
        """
        with self._alone():
            catalog, staged = self.catalog(), self.staged
            waiting = set(staged.ids)
            catalog.numbers([item for item in ids if item not in waiting])
            after = staged.without(ids, catalog.item_ids)
            if len(after.removed) >= len(catalog):
                raise DataError("the catalog would be empty; keep at least one item")
            after.save(self.folder)
        return len(set(ids))

    def publish(self, changes: ItemChanges | None = None) -> Version:
        """Make a version of the staged changes, check it, and make it active; a failure changes nothing.

        Args:
            changes: Instead of the staged ones, which then stay.

        Raises:
            DataError: nothing is staged, the changes cannot be made, or a check fails.
        """
        with self._alone():
            staged, state = self.waiting, self.state
            if changes is None and not staged:
                raise DataError(f"nothing is staged for {self.name}; add, update or remove items first")
            number = max(version.number for version in state.versions) + 1
            parent = Parent(state.present, self._folder(state.present), self.trained.folder)
            about = {"experiment": self.name, "recommender": self.part}
            version = make_version(self.store, parent, changes or staged.changes, number, about)
            activate(self.store, self.folder, CatalogState(number, (*state.versions, version)))
            if changes is None:
                Staged().save(self.folder)
        return version

    def rollback(self, number: int | None = None) -> Version:
        """Make an earlier version active; staged changes stay staged.

        Args:
            number: Of the version; by default the one that the active version was made from.

        Raises:
            DataError: the active version is that of training.
            ArtifactError: there is no such version, or it is damaged.
        """
        with self._alone():
            state = self.state
            if number is None:
                if state.present.parent is None:
                    raise DataError(f"{self.name} has its catalog of training, so there is no version to go back to")
                number = state.present.parent
            version = state.find(number)
            self.store.check(self.trained.folder if not number else self.store.path(KIND, version.key))
            activate(self.store, self.folder, CatalogState(number, state.versions))
        return version

    # ------------------------------------------------------------------------------------------------------ inside

    def _folder(self, version: Version) -> Path:
        return version_folder(self.store, version, self.trained.folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / ".lock", f"the catalog of {self.name}"):
            yield
