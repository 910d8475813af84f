"""Measure how identifiers, codes and neighbours agree with item categories and with the next item, beside chance.

The chance level of a figure is the same figure for the same tree, or the same lists, with shuffled items.

Legend of shapes: `I` items, `C` cases, `K` neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError
from lexirec.data.catalog import Catalog
from lexirec.data.item_categories import read_categories
from lexirec.data.neighbors import Neighbors
from lexirec.data.splits import Cases
from lexirec.pipeline.stages.data import Folders, load_catalog, load_split, write_summary
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers

FILE = "meaning.json"
_PLACES = (1, 5, 10, 20)
Numbers = NDArray[np.int64]


class MeaningSettings(Settings):
    """Settings of the measurement."""

    field: str = "categories"
    """Field of the catalogue with the categories: a list from broad to narrow, or text separated by `>` or `|`; without
    it only the next item is compared."""
    shuffles: int = Field(default=10, ge=1)
    """Number of shuffles for the chance level."""
    seed: int = 0
    """Seed of the shuffles."""


@dataclass(frozen=True)
class Meaning:
    """One figure with its chance level.

    Attributes:
        of: `identifiers`, `codes` or `neighbors`.
        measure: what is measured, such as `purity, broad category`.
        place: tokens of the prefix, level of the codes, or number of neighbours.
        value: measured value.
        chance: mean over shuffled items.
    """

    of: str
    measure: str
    place: int
    value: float
    chance: float


def measure_meaning(settings: MeaningSettings, inputs: Folders, out: Path) -> None:
    """Measure the identifiers, codes and neighbours among the inputs: `meaning.json`."""
    catalog, cases = load_catalog(inputs["data"]), load_split(inputs["data"]).test
    figures = [*_of_names(settings, inputs, catalog, cases), *_of_neighbors(settings, inputs, catalog, cases)]
    (out / FILE).write_text(json.dumps([asdict(each) for each in figures], indent=1) + "\n", encoding="utf-8")
    lines = [
        f"{each.of}, {each.measure} @{each.place}: {each.value:.4f}, by chance {each.chance:.4f}" for each in figures
    ]
    write_summary(out, "Meaning", lines)


def load_meaning(folder: Path) -> list[Meaning]:
    """Read `meaning.json`.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        return [Meaning(**row) for row in json.loads((folder / FILE).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{folder / FILE} cannot be read ({error}); run the study again") from None


# ---------------------------------------------------------------------------------------------------------- figures


def _of_names(settings: MeaningSettings, inputs: Folders, catalog: Catalog, cases: Cases) -> Iterator[Meaning]:
    """Measure prefixes of identifiers and codes: purity of categories, and whether the next item shares the prefix."""
    pairs, kinds = _last_and_next(cases), categories(catalog, settings.field)
    for of, groups in _groups(inputs).items():
        for place, group_I in enumerate(groups, start=1):
            for name, category_I in kinds.items():
                known = np.flatnonzero(category_I >= 0)
                pure = partial(purity, group_I[known], category_I[known])
                yield Meaning(of, f"purity, {name} category", place, *_beside_chance(settings, pure, len(known)))
            stays = partial(_stay, group_I, *pairs)
            yield Meaning(of, "next item in the same cell", place, *_beside_chance(settings, stays, len(catalog)))


def _of_neighbors(settings: MeaningSettings, inputs: Folders, catalog: Catalog, cases: Cases) -> Iterator[Meaning]:
    """Measure neighbours: the share of next items among them, and of neighbours of the same category."""
    if "neighbors" not in inputs:
        return
    near_IK = Neighbors.load(inputs["neighbors"]).items
    pairs, kinds = _last_and_next(cases), categories(catalog, settings.field)
    for place in [place for place in _PLACES if place <= near_IK.shape[1]]:
        hits = partial(_hits, near_IK[:, :place], *pairs)
        yield Meaning("neighbors", "next item among them", place, *_beside_chance(settings, hits, len(catalog)))
        for name, category_I in kinds.items():
            alike = partial(_alike, near_IK[:, :place], category_I)
            measure = f"of the same {name} category"
            yield Meaning("neighbors", measure, place, *_beside_chance(settings, alike, len(catalog)))


def purity(group_I: Numbers, category_I: Numbers, order: Numbers) -> float:
    """Return the share of items with the most frequent category of their group, categories permuted by `order`."""
    width = int(category_I.max(initial=0)) + 1
    pairs, counts = np.unique(group_I * width + category_I[order], return_counts=True)
    most = np.zeros(int(group_I.max(initial=0)) + 1, dtype=np.int64)
    np.maximum.at(most, pairs // width, counts)
    return float(most.sum() / max(1, len(group_I)))


def _stay(group_I: Numbers, last_C: Numbers, target_C: Numbers, order: Numbers) -> float:
    return float((group_I[order[last_C]] == group_I[order[target_C]]).mean()) if len(last_C) else 0.0


def _hits(near_IK: NDArray[np.int32], last_C: Numbers, target_C: Numbers, order: Numbers) -> float:
    return float((near_IK[order[last_C]] == target_C[:, None]).any(axis=1).mean()) if len(last_C) else 0.0


def _alike(near_IK: NDArray[np.int32], category_I: Numbers, order: Numbers) -> float:
    """Return the share of neighbours with the item's own category, among those with a known one."""
    own_I1, theirs_IK = category_I[order][:, None], category_I[np.maximum(near_IK, 0)]
    known_IK = (near_IK >= 0) & (own_I1 >= 0) & (theirs_IK >= 0)
    return float((own_I1 == theirs_IK)[known_IK].mean()) if known_IK.any() else 0.0


def _beside_chance(settings: MeaningSettings, figure: Callable[[Numbers], float], items: int) -> tuple[float, float]:
    """Return a figure of the items, and its mean over shuffled items."""
    rng = np.random.default_rng(settings.seed)
    chance = [figure(rng.permutation(items)) for _ in range(settings.shuffles)]
    return figure(np.arange(items)), float(np.mean(chance))


# ------------------------------------------------------------------------------------------------------- groups


def _groups(inputs: Folders) -> dict[str, list[Numbers]]:
    """Return the group of every item by the first 1, 2, … tokens or codes; a finished identifier is its own group."""
    groups = {}
    if "identifiers" in inputs:
        tokens_IK = Identifiers.load(inputs["identifiers"]).tokens.astype(np.int64)
        groups["identifiers"] = _prefixes(tokens_IK)
    if "codes" in inputs:
        codes = Codes.load(inputs["codes"])
        groups["codes"] = [codes.prefixes(level) for level in range(codes.levels)]
    return groups


def _prefixes(tokens_IK: Numbers) -> list[Numbers]:
    rows = [np.unique(tokens_IK[:, : place + 1], axis=0, return_inverse=True)[1] for place in range(tokens_IK.shape[1])]
    return [np.asarray(row, dtype=np.int64).ravel() for row in rows]


def categories(catalog: Catalog, field: str) -> dict[str, Numbers]:
    """Return the items' broad and narrow categories as numbers, −1 where unknown; empty without such a field.

    Broad is the first informative level, narrow the whole path.
    """
    if field not in catalog.table.column_names:
        return {}
    paths = catalog.field(field)
    if not any(paths):
        return {}
    places = {path: number for number, path in enumerate(dict.fromkeys(filter(None, paths)))}
    narrow = np.array([places.get(path, -1) for path in paths], dtype=np.int64)
    return {"broad": read_categories(catalog, field).of_item, "narrow": narrow}


def _last_and_next(cases: Cases) -> tuple[Numbers, Numbers]:
    """Return the last item of every non-empty history and the target: (C,), (C,)."""
    there = np.flatnonzero(cases.histories.lengths > 0)
    last = cases.histories.items[cases.histories.offsets[1:][there] - 1]
    return last.astype(np.int64), cases.targets[there].astype(np.int64)
