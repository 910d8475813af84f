"""Carry the state of a shop from the catalogue of one model to that of another: facts, hidden items, published items.

A shop is one, and its models come and go. Facts and hidden items stand in files of each recommender, so a model that is
loaded or activated is given those of the model that was active: for every item that both have, the active model's
catalogue decides. What was published since that model's training is staged for the other one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from lexirec.core.errors import DataError, LexirecError
from lexirec.core.files import write_json
from lexirec.core.locks import exclusive
from lexirec.data.catalog import Catalog
from lexirec.models.living_catalog import FACTS, STAGED, Facts, read_file, version_folder
from lexirec.serving.catalog_versions.catalog import LivingCatalog

_BAD_VALUES = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


@dataclass(frozen=True, eq=False)
class Shown:
    """A catalogue whose facts are carried to others.

    Attributes:
        folder: Of its state.
        known: Ids of its items.
        gone: Ids of items that it had in other versions.
    """

    folder: Path
    known: Collection[str]
    gone: frozenset[str] = field(default=frozenset())

    @classmethod
    def of(cls, living: LivingCatalog, known: Collection[str] | None = None) -> Shown:
        """Return what a catalogue with versions shows; `known` saves reading its items."""
        state = living.state
        folders = {each.number: version_folder(living.store, each, living.trained.folder) for each in state.versions}
        ids = _ids(folders[state.active]) if known is None else known
        others = [folder for number, folder in folders.items() if number != state.active]
        gone = frozenset(item for folder in others for item in _ids(folder) if item not in ids)
        return cls(living.folder, ids, gone)

    @property
    def has_state(self) -> bool:
        """Whether anybody has changed it; one that never was has nothing to say about others."""
        return bool(self.gone) or any((self.folder / name).exists() for name in (FACTS, STAGED))


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
    given, removed = read_file(source.folder / FACTS), read_file(source.folder / STAGED).get("removed", [])
    hidden, out = set(given.get("hidden", [])), {*removed, *source.gone}
    theirs = set(catalog.item_ids)
    with _alone(folder):
        before = read_file(folder / FACTS)
        kept = {item for item in before.get("hidden", []) if item not in source.known}
        values = _joined(before.get("values", {}), given.get("values", {}), catalog)
        after = {**before, "hidden": sorted(kept | hidden | (out & theirs)), "values": values}
        if after == {"hidden": [], "values": {}, **before}:
            return False
        write_json(folder / FACTS, after)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / ".lock", f"the catalog in {folder.name}"):
        yield


def _joined(
    before: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]], catalog: Catalog
) -> dict[str, dict[str, Any]]:
    """Return facts with those of another catalogue in place of its own; columns of another type stay as they are."""
    columns = {name for row in given.values() for name in row}
    refused = set() if _fits(given, catalog) else {name for name in columns if not _fits(_only(given, name), catalog)}
    values = {item: dict(row) for item, row in before.items()}
    for item, row in given.items():
        wanted = {name: value for name, value in row.items() if name not in refused}
        if wanted:
            values[item] = {**values.get(item, {}), **wanted}
    return values


def _only(values: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    return {item: {name: row[name]} for item, row in values.items() if name in row}


def _fits(values: Mapping[str, Mapping[str, Any]], catalog: Catalog) -> bool:
    try:
        Facts(values).applied(catalog)
    except _BAD_VALUES:
        return False
    return True


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
