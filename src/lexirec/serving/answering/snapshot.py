"""A snapshot: everything that a request needs, immutable, pinned when the request arrives.

A change of the model, of the catalogue's version or of an item's facts makes a new snapshot and replaces one reference.
Requests that run keep the old one, which is freed when the last of them ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import did_you_mean
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.models.item_windows import ALWAYS, Span, Windows
from lexirec.serving.problems import ProblemError

next_revision = itertools.count(1).__next__
"""Returns the next number for a change of facts: no two states of a process share one, also not of a reloaded model."""


class ModelIdentity(NamedTuple):
    """Name of a model, and the first digits of its artifact's key."""

    name: str
    version: str

    @property
    def reference(self) -> str:
        """What names this version and no other: `NAME@VERSION`."""
        return f"{self.name}@{self.version}"


SnapshotKey: TypeAlias = tuple[ModelIdentity, int, int, float]
"""Model, version of the catalogue, revision of the facts, and since when the same items are available."""


class SimplerModel(NamedTuple):
    """A model that answers where the main one does not, of the same catalogue; `source` is its name in answers."""

    source: str
    recommender: Recommender


class SimilarItems(NamedTuple):
    """What finds similar items: lists of neighbours and vectors, either of which may be missing.

    Attributes:
        neighbors: int32 (items, M), best first, −1 padded; None without them.
        scores: float32 (items, M); None without neighbours.
        vectors: float32 (items, d), unit rows; None without them.
        names: Of the stages that they come from.
    """

    neighbors: NDArray[np.int32] | None = None
    scores: NDArray[np.float32] | None = None
    vectors: NDArray[np.float32] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model, its catalogue with the present facts, and simpler models.

    Attributes:
        model: Its identity.
        recommender: The model.
        catalog: The items in the model's order, with their present facts.
        catalog_version: Version of the catalogue.
        facts_revision: Number of the last change of facts that `catalog` holds.
        simpler: Models that answer instead, in this order.
        similar: What finds similar items.
        available: bool (items,), items that may be recommended at all; None for all.
        newer: bool (items,), items younger than the model; None for none.
        windows: When the items are available; None for always.
        shown: bool (items,), items that are not hidden; None for all. `available` is those within their windows.
        span: The time in which `available` is right.
        reads: Events of a history that the model reads at most, and tokens that it reads of each.
    """

    model: ModelIdentity
    recommender: Recommender
    catalog: Catalog
    catalog_version: int = 0
    facts_revision: int = 0
    simpler: Sequence[SimplerModel] = ()
    similar: SimilarItems = field(default=SimilarItems())
    available: NDArray[np.bool_] | None = None
    newer: NDArray[np.bool_] | None = None
    windows: Windows | None = None
    shown: NDArray[np.bool_] | None = None
    span: Span = ALWAYS
    reads: tuple[int, int] = (50, 1)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of every item id."""
        return {item_id: number for number, item_id in enumerate(self.catalog.item_ids)}

    @property
    def key(self) -> SnapshotKey:
        """What tells snapshots apart: model, version of the catalogue, revision of the facts, time."""
        return self.model, self.catalog_version, self.facts_revision, self.span.begin

    def with_facts(
        self,
        catalog: Catalog,
        shown: NDArray[np.bool_] | None,
        windows: Windows | None,
        revision: int,
        now: float,
    ) -> Self:
        """Return the snapshot with other facts of the same items, as they are at a moment."""
        changed = replace(self, catalog=catalog, shown=shown, windows=windows, facts_revision=revision)
        return changed._at(now)._of_same_items(self)

    def at(self, now: float) -> Self:
        """Return the snapshot with the items that are available at a moment: itself while that holds."""
        return self if self.span.holds(now) else self._at(now)._of_same_items(self)

    def _at(self, now: float) -> Self:
        if self.windows is None:
            return replace(self, available=self.shown, span=ALWAYS)
        available = self.windows.available(now)
        if self.shown is not None:
            available &= self.shown
        return replace(self, available=None if available.all() else available, span=self.windows.span(now))

    def _of_same_items(self, other: Snapshot) -> Self:
        """Return this snapshot with the numbers of ids of another one, where that has made them."""
        if "numbers" in other.__dict__:
            self.__dict__["numbers"] = other.numbers
        return self

    def check_fields(self, names: Sequence[str]) -> None:
        """Check that items have these fields.

        Raises:
            ProblemError: they lack one.
        """
        known = self.catalog.table.column_names
        for place, name in enumerate(names):
            if name not in known:
                message = f"return_fields names '{name}', which items do not have; they have {', '.join(known[:30])}."
                places = [(f"/return_fields/{place}", message + did_you_mean(name, known))]
                raise ProblemError("invalid-request", places[0][1], places)

    def fields(self, names: Sequence[str], items: NDArray[np.int32]) -> list[dict[str, Any]]:
        """Return the wanted fields of some items, without those that are missing."""
        rows = self.catalog.table.select(list(dict.fromkeys(names))).take(items).to_pylist()
        return [{name: value for name, value in row.items() if value is not None} for row in rows]
