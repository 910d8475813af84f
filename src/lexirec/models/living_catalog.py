"""The catalogue of a finished recommender as it is today: its active version, present facts, and hidden items.

Changes stand in `<store>/catalogs/NAME/RECOMMENDER/KEY/`, where KEY is that of the trained recommender, so one that is
trained again begins with a catalogue of its own:

    versions.json   the active version's number, and the versions: number, key of the artifact, parent, counts
    facts.json      facts that replace those of the catalogue, by item and column; hidden items
    staged.json     changes that wait for the next version (`serving.catalog_versions`)

Version 0 is the catalogue of training. Every file is replaced in one step, so a reader sees the old or the new state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Ranking, Recommender
from lexirec.data.sequences import Sequences

CATALOGS, KIND = "catalogs", "catalog"
"""Folder of the store that holds the states, and kind of the artifacts of versions."""
VERSIONS, FACTS, STAGED = "versions.json", "facts.json", "staged.json"
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


def read_file(path: Path) -> dict[str, Any]:
    """Read one of the JSON files; an empty table where it does not exist.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); restore it from a backup, or remove it") from None
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is damaged: it holds no table; restore it from a backup, or remove it")
    return content


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
        content, staged = read_file(folder / FACTS), read_file(folder / STAGED)
        hidden = frozenset([*content.get("hidden", []), *staged.get("removed", [])])
        return cls(content.get("values", {}), hidden)

    def applied(self, catalog: Catalog) -> Catalog:
        """Return the catalogue with these values in place of its own; columns that it lacks are added."""
        columns = dict.fromkeys(name for values in self.values.values() for name in values)
        table = catalog.table
        numbers = {item_id: number for number, item_id in enumerate(catalog.item_ids)} if columns else {}
        for name in columns:
            values = table.column(name).to_pylist() if name in table.column_names else [None] * len(catalog)
            for item_id, given in self.values.items():
                if name in given and item_id in numbers:
                    values[numbers[item_id]] = given[name]
            if name in table.column_names:
                kind = table.schema.field(name).type
                table = table.set_column(table.column_names.index(name), name, pa.array(values, kind))
            else:
                table = table.append_column(name, pa.array(values))
        return catalog if table is catalog.table else Catalog(table, catalog.text_fields)

    def mask(self, catalog: Catalog) -> NDArray[np.bool_]:
        """Return which items are shown: bool (n_items,)."""
        shown = np.ones(len(catalog), dtype=np.bool_)
        numbers = catalog.find(sorted(self.hidden))
        shown[numbers[numbers >= 0]] = False
        return shown


class LivingRecommender:
    """A recommender with present facts in its catalogue, that never recommends a hidden item."""

    def __init__(self, recommender: Recommender, facts: Facts) -> None:
        """Put facts over a recommender."""
        self._recommender = recommender
        self._catalog = facts.applied(recommender.catalog)
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
