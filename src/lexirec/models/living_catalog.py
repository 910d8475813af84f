"""The catalogue of a finished recommender as it is today: its active version, present facts, and hidden items.

Changes stand in `<store>/catalogs/NAME/RECOMMENDER/KEY/`, where KEY is that of the trained recommender, so one that is
trained again begins with a catalogue of its own:

    versions.json   the active version's number, and the versions: number, key of the artifact, parent, counts
    facts.json      facts that replace those of the catalogue, by item and column, and hidden items; with a log of
                    later changes (`facts_file`)
    staged.json     changes that wait for the next version (`serving.catalog_versions`)

Version 0 is the catalogue of training. Every file is replaced in one step, or added to, so a reader sees the old or the
new state.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Ranking, Recommender
from lexirec.data.sequences import Sequences
from lexirec.models.fact_kinds import Kind, kind_of
from lexirec.models.facts_file import FactsFile, read_file
from lexirec.models.facts_log import FactsChange
from lexirec.models.item_windows import LIMITS, Windows
from lexirec.models.present_items import PresentItems

CATALOGS, KIND = "catalogs", "catalog"
"""Folder of the store that holds the states, and kind of the artifacts of versions."""
VERSIONS, STAGED = "versions.json", "staged.json"
RECOMMENDER = "recommender"
"""Folder of a version's artifact that holds the recommender."""


@dataclass(frozen=True)
class Version:
    """A version of a catalogue.

    Attributes:
        number: From 1; 0 is the catalogue of training.
        key: Of its artifact; of version 0 that of the trained recommender.
        parent: Number of the version that it was made from.
        created: UTC, ISO 8601.
        counts: Items in all, and how many were added, reworded, removed and refused.
        seconds: What making it took.
    """

    number: int
    key: str
    parent: int | None = None
    created: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class CatalogState:
    """The versions of a catalogue that are kept, oldest first, and the number of the active one."""

    active: int
    versions: tuple[Version, ...]

    def find(self, number: int) -> Version:
        """Return a version by its number.

        Raises:
            ArtifactError: it does not exist, or is no longer kept.
        """
        for version in self.versions:
            if version.number == number:
                return version
        kept = ", ".join(str(each.number) for each in self.versions)
        raise ArtifactError(f"there is no catalog version {number}; kept are {kept}")

    @property
    def present(self) -> Version:
        """The active version."""
        return self.find(self.active)


def state_folder(store: Store, name: str, part: str, key: str) -> Path:
    """Return the folder that holds the state of a recommender's catalogue, whether it exists or not."""
    return store.root / CATALOGS / name / part / key


def read_state(folder: Path, key: str) -> CatalogState:
    """Read which versions there are; without a file, version 0 alone.

    Raises:
        ArtifactError: the file is damaged.
    """
    content = read_file(folder / VERSIONS)
    if not content:
        return CatalogState(0, (Version(0, key),))
    try:
        versions = tuple(Version(**each) for each in content["versions"])
        state = CatalogState(int(content["active"]), versions)
        state.present  # noqa: B018  the active version must be among them
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder / VERSIONS} is damaged ({error}); remove it to begin with version 0") from None
    return state


def version_folder(store: Store, version: Version, trained: Path) -> Path:
    """Return the folder of a version's recommender; `trained` is that of version 0."""
    return trained if not version.number else store.path(KIND, version.key) / RECOMMENDER


# --------------------------------------------------------------------------------------------------------------- facts


@dataclass(frozen=True)
class Facts:
    """What is known of items besides their version: values of columns that no text reads, and which are hidden.

    Attributes:
        values: Item id -> column -> value.
        hidden: Ids of items that are not recommended.
    """

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    @classmethod
    def read(cls, folder: Path) -> Facts:
        """Read the facts of a catalogue, staged removals among the hidden items."""
        file = FactsFile(folder)
        file.catch_up()
        return cls(file.values, frozenset([*file.hidden, *read_file(folder / STAGED).get("removed", [])]))

    def applied(self, catalog: Catalog) -> Catalog:
        """Return the catalogue with these values in place of its own; columns that it lacks are added."""
        return self.items(catalog)[0]

    def mask(self, catalog: Catalog) -> NDArray[np.bool_]:
        """Return which items are shown: bool (n_items,)."""
        shown = np.ones(len(catalog), dtype=np.bool_)
        numbers = catalog.find(sorted(self.hidden))
        shown[numbers[numbers >= 0]] = False
        return shown

    def items(self, catalog: Catalog) -> tuple[Catalog, Windows]:
        """Return the catalogue with these values, and when its items are available."""
        present, kinds = PresentItems(catalog), dict[str, Counter[Kind]]()
        present.put(FactsChange(self.values))
        for name in dict.fromkeys(name for given in self.values.values() for name in given):
            kinds[name] = Counter(kind_of(given[name]) for given in self.values.values() if name in given)
        after = present.catalog(kinds)
        return (after if self.values else catalog), present.windows


class LivingRecommender:
    """A recommender with present facts in its catalogue, that never recommends a hidden item, or one out of its window.

    The windows follow the clock: what is ranked now are the items that are available now.

    Attributes:
        has_facts: whether there are facts or hidden items, besides windows.
    """

    def __init__(self, recommender: Recommender, facts: Facts, clock: Callable[[], float] = time.time) -> None:
        """Put facts over a recommender; `clock` says the time in seconds since 1970."""
        self._recommender, self._clock = recommender, clock
        self.has_facts = bool(facts.values or facts.hidden)
        self._catalog, self._windows = facts.items(recommender.catalog)
        self._shown = facts.mask(recommender.catalog)

    @property
    def catalog(self) -> Catalog:
        """The items with their present facts."""
        return self._catalog

    @property
    def protocol(self) -> dict[str, Any]:
        """How lists are made."""
        return self._recommender.protocol

    def rank(
        self,
        histories: Sequences,
        *,
        k: int,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        boosts: NDArray[np.float32] | None = None,
    ) -> Ranking:
        """Rank the k best items that are not hidden for every history; see `data.ranking.Recommender.rank`."""
        mask = self._shown if allowed is None else allowed & self._shown
        if self._windows:
            mask = mask & self._windows.available(self._clock())
        options: dict[str, Any] = {} if boosts is None else {"boosts": boosts}
        return self._recommender.rank(histories, k=k, exclude_seen=exclude_seen, allowed=mask, **options)

    def recommend(self, history: Sequence[str], *, k: int = 10, **options: Any) -> Any:
        """Recommend items for one history of item ids, oldest first; see `models.recommend.recommend`."""
        from lexirec.models.recommend import recommend

        return recommend(self, history, k=k, **options)

    def save(self, folder: str | Path) -> None:
        """Write the recommender; facts and hidden items are not part of it."""
        self._recommender.save(folder)

    def __getattr__(self, name: str) -> Any:
        """Return what else the recommender has."""
        return getattr(self._recommender, name)


def present(recommender: Recommender, facts: Facts) -> Recommender:
    """Return a recommender with present facts; itself where there are none, and no item has a window."""
    has_windows = any(name in recommender.catalog.table.column_names for name in LIMITS)
    return LivingRecommender(recommender, facts) if facts.values or facts.hidden or has_windows else recommender
