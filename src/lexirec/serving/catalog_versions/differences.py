"""How two versions of a catalogue differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender


@dataclass(frozen=True)
class Difference:
    """How two versions differ, by item ids.

    Attributes:
        added: Items of the second alone.
        removed: Items of the first alone.
        renamed: Items of both whose texts differ.
        moved: Items of both whose identifiers differ; a publish moves none.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[str, ...]
    moved: tuple[str, ...]


def compared(before: Recommender, after: Recommender) -> Difference:
    """Compare the recommenders of two versions."""
    old, new = set(before.catalog.item_ids), set(after.catalog.item_ids)
    return Difference(
        tuple(item for item in after.catalog.item_ids if item not in old),
        tuple(item for item in before.catalog.item_ids if item not in new),
        tuple(renamed(after.catalog, before.catalog)),
        tuple(moved_identifiers(after, before)),
    )


def moved_identifiers(now: Recommender, before: Recommender) -> list[str]:
    """Return the ids of items whose identifier is not the one that they had; there must be none."""
    known = set(before.catalog.item_ids)
    shared = [item for item in now.catalog.item_ids if item in known]
    moved: dict[str, None] = {}
    for part, old in zip(generative_parts(now), generative_parts(before), strict=False):
        mine, theirs = (each.identifiers.tokens[each.catalog.numbers(shared)] for each in (part, old))
        width = max(mine.shape[1], theirs.shape[1])
        differ = (_padded(mine, width) != _padded(theirs, width)).any(axis=1)
        moved |= {shared[place]: None for place in np.flatnonzero(differ)}
    return list(moved)


def _padded(tokens: NDArray[np.integer[Any]], width: int) -> NDArray[np.integer[Any]]:
    """Return identifiers with -1 behind their tokens, up to a width."""
    return np.pad(tokens, ((0, 0), (0, width - tokens.shape[1])), constant_values=-1)


def generative_parts(recommender: Recommender) -> list[Any]:
    """Return the parts of a recommender that generate identifiers."""
    parts = [part.recommender for part in getattr(recommender, "parts", ())] or [recommender]
    return [part for part in parts if hasattr(part, "identifiers")]


def renamed(now: Catalog, before: Catalog) -> list[str]:
    """Return the ids of items of both catalogues whose texts differ."""
    known = set(before.item_ids)
    shared = [item for item in now.item_ids if item in known]
    mine, theirs = (each.take(each.numbers(shared)).texts() for each in (now, before))
    return [item for item, new, old in zip(shared, mine, theirs, strict=True) if new != old]
