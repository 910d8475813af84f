"""Carry the state of a shop from the catalogue of one model to that of another: facts, hidden items, published items.

A shop is one, and its models come and go. Facts and hidden items stand in files of each recommender, so a model that is
loaded or activated is given those of the model that was active: for every item that both have, the active model's
catalogue decides. What was published since that model's training is staged for the other one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from lexirec.core.errors import DataError, LexirecError
from lexirec.core.locks import briefly
from lexirec.data.catalog import Catalog
from lexirec.models.facts_file import FactsFile, read_file
from lexirec.models.facts_log import FactsChange
from lexirec.models.living_catalog import STAGED, version_folder
from lexirec.models.present_items import Values, check_values
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.catalog_versions.fact_writer import FACTS_LOCK


@dataclass(frozen=True, eq=False)
class Shown:
    """A catalogue whose facts are carried to others.

    Attributes:
        folder: Of its state.
        known: Ids of its items.
        file: Its facts.
        gone: Ids of items that it had in other versions.
    """

    folder: Path
    known: Collection[str]
    file: FactsFile
    gone: frozenset[str] = field(default=frozenset())

    @classmethod
    def of(cls, living: LivingCatalog, known: Collection[str] | None = None) -> Shown:
        """Return what a catalogue with versions shows; `known` saves reading its items."""
        state = living.state
        folders = {each.number: version_folder(living.store, each, living.trained.folder) for each in state.versions}
        ids = _ids(folders[state.active]) if known is None else known
        others = [folder for number, folder in folders.items() if number != state.active]
        gone = frozenset(item for folder in others for item in _ids(folder) if item not in ids)
        return cls(living.folder, ids, living.facts_file, gone)

    @property
    def has_state(self) -> bool:
        """Whether anybody has changed it; one that never was has nothing to say about others."""
        self.file.catch_up()
        return bool(self.gone or self.file.values or self.file.hidden) or (self.folder / STAGED).exists()


@lru_cache(maxsize=16)
def _ids(folder: Path) -> frozenset[str]:
    """Return the ids of a version, whose folder never changes."""
    return frozenset(Catalog.load(folder / "catalog").item_ids)


def carry_facts(source: Shown, folder: Path, catalog: Catalog) -> bool:
    """Give a catalogue the facts and hidden items of another; return whether that changed anything.

    Args:
        source: Whose facts are carried.
        folder: State of the catalogue that gets them.
        catalog: Its items.

    Raises:
        ArtifactError: a file of either state is damaged.
    """
    if not source.has_state:
        return False
    given, removed = source.file, read_file(source.folder / STAGED).get("removed", [])
    given.catch_up()
    out = {*removed, *source.gone} & set(catalog.item_ids)
    file = FactsFile(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with briefly(folder / FACTS_LOCK), file.writing() as add, given.still():
        wanted = given.hidden | out
        shown = {item for item in file.hidden if item in source.known} - wanted
        values = _different(given.values, file, catalog.table.schema)
        change = FactsChange(values, tuple(sorted(wanted - file.hidden)), tuple(sorted(shown)))
        if not (change.values or change.hidden or change.shown):
            return False
        add(change)
    return True


def _different(given: Values, file: FactsFile, schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Return the values that a file has otherwise, or not; columns of another type stay as they are."""
    nothing: dict[str, Any] = {}
    columns: dict[str, dict[str, dict[str, Any]]] = {}
    for item, row in given.items():
        before = file.values.get(item, nothing)
        for name, value in row.items():
            if name not in before or before[name] != value:
                columns.setdefault(name, {}).setdefault(item, {})[name] = value
    values: dict[str, dict[str, Any]] = {}
    for column in columns.values():
        try:
            check_values(column, file.values, file.kinds, schema)
        except DataError:
            continue
        for item, row in column.items():
            values.setdefault(item, {}).update(row)
    return values


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
