"""Carry the state of a shop from the catalogue of one model to that of another: facts, hidden items, published items.

A shop is one, and its models come and go. Facts and hidden items stand in files of each recommender, so a model that is
loaded or activated is given those of the model that was active: for every item that both have, the active model's
catalogue decides. What was published since that model's training is staged for the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from lexirec.core.errors import DataError, LexirecError
from lexirec.data.catalog import Catalog
from lexirec.models.facts_file import FactsFile, Position
from lexirec.models.facts_log import FactsChange
from lexirec.models.living_catalog import version_folder
from lexirec.models.present_items import check_values
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.catalog_versions.fact_writer import FactWriter

_NOTHING = object()


@dataclass(frozen=True, eq=False)
class Shown:
    """A catalogue whose facts are carried to others.

    Attributes:
        file: Of its facts.
        known: Ids of its items.
        removed: Ids of items that leave it.
        gone: Ids of items that it had in other versions.
    """

    file: FactsFile
    known: Collection[str]
    removed: Collection[str] = ()
    gone: frozenset[str] = frozenset()

    @classmethod
    def of(cls, living: LivingCatalog) -> Shown:
        """Return what a catalogue with versions shows."""
        state, known = living.state, living.known.numbers
        others = [each for each in state.versions if each.number != state.active]
        folders = [version_folder(living.store, each, living.trained.folder) for each in others]
        gone = frozenset(item for folder in folders for item in _ids(folder) if item not in known)
        return cls(living.facts_file, known, living.staged.removed, gone)

    @property
    def has_state(self) -> bool:
        """Whether anybody has changed it; one that never was has nothing to say about others."""
        written = self.file.catch_up().changes or self.file.values or self.file.hidden
        return bool(self.gone or self.removed or written)


@lru_cache(maxsize=16)
def _ids(folder: Path) -> frozenset[str]:
    """Return the ids of a version, whose folder never changes."""
    return frozenset(Catalog.load(folder / "catalog").item_ids)


@dataclass(frozen=True, eq=False)
class Place:
    """Where facts are carried to.

    Attributes:
        file: Of its facts.
        put: Writes a change.
        known: Ids of its items.
        schema: Columns of its items.
    """

    file: FactsFile
    put: Callable[[FactsChange], int]
    known: Collection[str]
    schema: pa.Schema

    @classmethod
    def of(cls, living: LivingCatalog) -> Place:
        """Return a catalogue with versions as a place."""
        return cls(living.facts_file, living.put_facts, living.known.numbers, living.known.catalog.table.schema)

    @classmethod
    def in_folder(cls, folder: Path, catalog: Catalog) -> Place:
        """Return a folder of facts as a place, for a catalogue that stays as it is."""
        schema = catalog.table.schema
        writer = FactWriter(folder, lambda: schema)
        return cls(writer.file, writer.put, frozenset(catalog.item_ids), schema)

    def take(self, change: FactsChange) -> bool:
        """Write a change, without values of another type than their column's; return whether there was anything."""
        if not (change.values or change.hidden or change.shown):
            return False
        try:
            self.put(change)
        except DataError:
            fitting = {item: self._fitting(item, row) for item, row in change.values.items()}
            values = {item: row for item, row in fitting.items() if row}
            self.put(FactsChange(values, change.hidden, change.shown))
        return True

    def _fitting(self, item: str, row: Mapping[str, Any]) -> dict[str, Any]:
        fitting = {}
        for name, value in row.items():
            try:
                check_values({item: {name: value}}, self.file.values, self.file.kinds, self.schema)
            except DataError:
                continue
            fitting[name] = value
        return fitting


def carry_facts(source: Shown, to: Place) -> bool:
    """Give a catalogue the facts and hidden items of another; return whether that changed anything.

    Raises:
        ArtifactError: a file of either is damaged, or the disk is full.
    """
    with source.file.still():
        if not source.has_state:
            return False
        to.file.catch_up()
        change = _difference(source, to)
    return to.take(change)


def _difference(source: Shown, to: Place) -> FactsChange:
    """Return what makes the facts of a place those of the source, for every item that both have."""
    out = source.file.hidden | {item for item in (*source.removed, *source.gone) if item in to.known}
    shown = [item for item in to.file.hidden if item in source.known and item not in out]
    values = {}
    for item, row in source.file.values.items():
        theirs = to.file.values.get(item, {})
        other = {name: value for name, value in row.items() if theirs.get(name, _NOTHING) != value}
        if other:
            values[item] = other
    return FactsChange(values, sorted(out - to.file.hidden), sorted(shown))


class Carrier:
    """Carries what has changed since the last time from one catalogue to another."""

    def __init__(self, source: LivingCatalog, to: Callable[[], Place | None]) -> None:
        """Prepare; the first time, everything is compared. `to` returns the place as it is now."""
        self._source, self._to = source, to
        self._position: Position | None = None
        self._seen: tuple[int, Sequence[str]] | None = None

    def carry(self) -> bool:
        """Give the other catalogue the present facts and hidden items; return whether that changed anything.

        Raises:
            ArtifactError: a file of either is damaged, or the disk is full.
        """
        file, seen = self._source.facts_file, (self._source.state.active, self._source.staged.removed)
        place = self._to()
        if place is None:
            return False
        with file.still():
            position = file.catch_up()
            changes = file.changes_after(self._position) if seen == self._seen else None
            change = None if changes is None else _joined(changes)
        done = carry_facts(Shown.of(self._source), place) if change is None else place.take(change)
        self._position, self._seen = position, seen
        return done


def _joined(changes: Iterable[FactsChange]) -> FactsChange:
    """Return one change that does what several do in turn."""
    values: dict[str, dict[str, Any]] = {}
    hidden = dict[str, bool]()
    for change in changes:
        for item, row in change.values.items():
            values[item] = {**values.get(item, {}), **row}
        hidden |= dict.fromkeys(change.hidden, True)
        hidden |= dict.fromkeys(change.shown, False)
    return FactsChange(
        values,
        [item for item, is_hidden in hidden.items() if is_hidden],
        [item for item, is_hidden in hidden.items() if not is_hidden],
    )


# --------------------------------------------------------------------------------------------------------------- items


class Carried(NamedTuple):
    """How many items were staged, reworded and removed, and why something could not be."""

    added: int = 0
    reworded: int = 0
    removed: int = 0
    problem: str | None = None

    def plus(self, other: Carried) -> Carried:
        """Return the sums, and the first problem."""
        sums = (self.added + other.added, self.reworded + other.reworded, self.removed + other.removed)
        return Carried(*sums, self.problem or other.problem)


def furnish(source: LivingCatalog, target: LivingCatalog) -> Carried:
    """Publish in a catalogue what is published in another one and it lacks, and stage what is staged there.

    Where something else is staged for it already, or the model cannot take the items, they wait for the next version.
    """
    others = bool(target.staged)
    done = carry_published(source, target)
    if done.added + done.reworded and not others:
        try:
            target.publish()
        except LexirecError as error:
            done = done.plus(Carried(problem=str(error)))
    return done.plus(carry_waiting(source, target))


def carry_published(source: LivingCatalog, target: LivingCatalog) -> Carried:
    """Stage for a catalogue what was published in another one since its training, as far as it lacks that.

    Items that were removed are not recommended (`carry_facts`), and stay in the catalogue.
    """
    if not source.state.active:
        return Carried()
    present, trained, theirs = source.catalog(), source.catalog(0), set(target.catalog().item_ids)
    passed = {*trained.item_ids, *theirs, *target.staged.ids, *target.staged.removed}
    fresh = _rows(present.table, [item for item in present.item_ids if item not in passed])
    reworded = _rows(present.table, [item for item in _reworded(trained, present) if item in theirs])
    return _stage(target, fresh, reworded)


def carry_waiting(source: LivingCatalog, target: LivingCatalog) -> Carried:
    """Stage for a catalogue what is staged in another one, as far as it lacks that."""
    staged, theirs = source.staged, set(target.catalog().item_ids)
    waiting = target.staged
    done = Carried()
    if staged.rows is not None:
        fresh = [item for item in staged.ids if item not in theirs and item not in waiting.ids]
        known = [item for item in staged.ids if item in theirs and item not in waiting.removed]
        done = _stage(target, _rows(staged.rows, fresh), _rows(staged.rows, known), staged.vectors)
    leaving = [item for item in staged.removed if item in theirs and item not in waiting.removed]
    try:
        return done.plus(Carried(removed=target.remove(leaving) if leaving else 0))
    except DataError as error:
        return done.plus(Carried(problem=str(error)))


def _stage(
    target: LivingCatalog, fresh: pa.Table, reworded: pa.Table, vectors: Mapping[str, str] | None = None
) -> Carried:
    """Stage new items, and the texts of known ones as far as they differ."""
    fields = [name for name in reworded.column_names if name in target.catalog().text_fields]
    done = Carried()
    try:
        if len(fresh):
            done = done.plus(Carried(added=target.add(fresh, vectors)))
        if len(reworded) and fields:
            done = done.plus(Carried(reworded=target.update(reworded.select(["item_id", *fields]))[0]))
    except DataError as error:
        return done.plus(Carried(problem=str(error)))
    return done


def _rows(table: pa.Table, items: Collection[str]) -> pa.Table:
    wanted = set(items)
    ids = table.column("item_id").to_pylist()
    return table.take(pa.array([number for number, item in enumerate(ids) if item in wanted], pa.int64()))


def _reworded(before: Catalog, now: Catalog) -> list[str]:
    """Return the ids of items whose texts are others now."""
    numbers = before.find(now.item_ids)
    fields = [name for name in now.text_fields if name in before.table.column_names]
    old = [before.table.column(name).to_pylist() for name in fields]
    new = [now.table.column(name).to_pylist() for name in fields]
    return [
        item
        for place, (item, number) in enumerate(zip(now.item_ids, numbers.tolist(), strict=True))
        if number >= 0 and any(was[number] != present[place] for was, present in zip(old, new, strict=True))
    ]
