"""Recommendations for one history, in the ids and words of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.models.item_filters import allowed_items


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item_id: The item.
        score: What the recommender ranks by; comparable within one list only.
        title: Its title, else its first text field; "" where unknown.
        because: With an explanation, `(item_id, share of the score)` of the history's items, the most telling first.
    """

    item_id: str
    score: float
    title: str
    because: tuple[tuple[str, float], ...] = field(default=())


class Options(TypedDict, total=False):
    """What a request may say besides the history and k; see `recommend`."""

    exclude_seen: bool
    allow: Sequence[str]
    deny: Sequence[str]
    explain: bool


def recommend(
    recommender: Recommender,
    history: Sequence[str],
    *,
    k: int = 10,
    exclude_seen: bool = True,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    explain: bool = False,
) -> list[Recommendation]:
    """Recommend items for one history.

    Args:
        recommender: Whatever ranks.
        history: Item ids, oldest first; may be empty where the recommender can answer newcomers.
        k: How many items, at most.
        exclude_seen: Leave out the items of the history.
        allow: Filters every item must match, see `item_filters`.
        deny: Filters no item may match.
        explain: Say which items of the history speak for each recommendation: by how much its score falls when the
            item is taken out of the history.

    Raises:
        DataError: an item or field is unknown, or the filters leave nothing.
    """
    if k < 1:
        raise DataError(f"k is {k}; it must be at least 1")
    catalog = recommender.catalog
    numbers = catalog.numbers(history)
    allowed = allowed_items(catalog, allow, deny)
    ranking = recommender.rank(
        Sequences.from_lists([numbers.tolist()]), k=k, exclude_seen=exclude_seen, allowed=allowed
    )
    items = ranking.items[0][ranking.items[0] >= 0]
    reasons = _reasons(recommender, numbers, items, ranking.scores[0]) if explain and len(numbers) else None
    titles = _titles(catalog)
    return [
        Recommendation(
            catalog.item_ids[item],
            float(ranking.scores[0, place]),
            titles[item],
            _told(reasons[:, place], history) if reasons is not None else (),
        )
        for place, item in enumerate(items)
    ]


def _titles(catalog: Catalog) -> list[str]:
    if "title" in catalog.table.column_names:
        return catalog.field("title")
    return catalog.field(catalog.text_fields[0]) if catalog.text_fields else [""] * len(catalog)


def _reasons(
    recommender: Recommender, history: NDArray[np.int32], items: NDArray[np.int32], scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return how much each item's score falls without each event of the history: (events, items)."""
    without = Sequences.from_lists([np.delete(history, event).tolist() for event in range(len(history))])
    only = np.zeros(len(recommender.catalog), dtype=np.bool_)
    only[items] = True
    found = recommender.rank(without, k=len(items), exclude_seen=False, allowed=only)
    place = np.full(len(only) + 1, -1, dtype=np.int64)
    place[items] = np.arange(len(items))
    left = np.full((len(history), len(items)), -np.inf)
    rows, columns = np.nonzero(found.items >= 0)
    left[rows, place[found.items[rows, columns]]] = found.scores[rows, columns]
    falls: NDArray[np.float64] = scores[: len(items)].astype(np.float64) - left
    return falls


def _told(falls: NDArray[np.float64], history: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return the events that speak for an item with their shares of all that do, the most telling first."""
    falls = np.where(np.isposinf(falls), np.finfo(np.float32).max, np.maximum(falls, 0.0))
    total = falls.sum()
    order = [int(event) for event in np.argsort(-falls, kind="stable")[:3] if falls[event] > 0]
    return tuple((history[event], float(falls[event] / total)) for event in order)
