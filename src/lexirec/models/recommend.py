"""Recommendations for one history, in the ids and words of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences


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


# --------------------------------------------------------------------------------------------------------- item filters
# Which items may be recommended, said in the words of the catalogue: `brand=Acme`, `price<20`, `categories~wood`.


_FILTER = re.compile(r"^\s*(?P<field>[^=!<>~]+?)\s*(?P<sign><=|>=|!=|=|<|>|~)\s*(?P<value>.+?)\s*$")


_HELP = "write it as field=value; the signs are = != ~ (contains), and < <= > >= for numbers"


_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


_COMPARE = {
    "=": pc.equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def allowed_items(catalog: Catalog, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> NDArray[np.bool_] | None:
    """Return bool (n_items,): items that match every filter of `allow` and none of `deny`; None without any filter.

    Texts are compared without regard to case; a list matches when one of its values does. What is unknown of an item
    matches no filter but `!=`. CSV and JSON Lines hold text alone: there < and the like compare the numbers among it.

    Raises:
        DataError: a filter cannot be read, names an unknown field, or leaves no item.
    """
    if not allow and not deny:
        return None
    chosen = np.ones(len(catalog), dtype=np.bool_)
    for text in allow:
        chosen &= matches(catalog, text)
    for text in deny:
        chosen &= ~matches(catalog, text)
    if not chosen.any():
        raise DataError(f"no item is left by --allow {list(allow)} --deny {list(deny)}; loosen a filter")
    return chosen


def matches(catalog: Catalog, text: str) -> NDArray[np.bool_]:
    """Return which items match one filter, bool (n_items,).

    Raises:
        DataError: the filter cannot be read or names an unknown field.
    """
    found = _FILTER.match(text)
    if found is None:
        raise DataError(f"the filter '{text}' cannot be read; {_HELP}")
    field, sign, value = found["field"], found["sign"], found["value"]
    names = catalog.table.column_names
    if field not in names:
        raise DataError(
            f"the filter '{text}': items have no field '{field}'; they have {', '.join(names)}."
            f"{did_you_mean(field, names)}"
        )
    column = catalog.table.column(field).combine_chunks()
    if sign == "!=":
        return ~_compared(column, "=", value, text)
    return _compared(column, sign, value, text)


def _compared(column: pa.Array, sign: str, value: str, text: str) -> NDArray[np.bool_]:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        inner = _compared(pc.list_flatten(column), sign, value, text)
        rows = pc.list_parent_indices(column).to_numpy()
        return np.bincount(rows[inner], minlength=len(column)).astype(np.bool_)
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return _as_mask(_compare_numbers(column, sign, value, text))
    lowered = pc.utf8_lower(column.cast(pa.string()))
    if sign == "~":
        return _as_mask(pc.match_substring(lowered, value.lower()))
    if sign != "=":
        return _as_mask(_compare_numbers(_numbers_in(column, sign, text), sign, value, text))
    return _as_mask(pc.equal(lowered, value.lower()))


def _numbers_in(column: pa.Array, sign: str, text: str) -> pa.Array:
    """Return the texts that are numbers as such, null for the others."""
    texts = column.cast(pa.string())
    known = pc.if_else(pc.match_substring_regex(texts, _NUMBER), pc.utf8_trim_whitespace(texts), None)
    if known.null_count == len(known):
        raise DataError(f"the filter '{text}': the field holds text, which {sign} does not compare; {_HELP}")
    return known.cast(pa.float64())


def _compare_numbers(column: pa.Array, sign: str, value: str, text: str) -> pa.Array:
    if sign not in _COMPARE:
        raise DataError(f"the filter '{text}': the field holds numbers, in which {sign} finds nothing; {_HELP}")
    try:
        number = float(value)
    except ValueError:
        raise DataError(f"the filter '{text}': the field holds numbers, and '{value}' is none") from None
    return _COMPARE[sign](column.cast(pa.float64()), number)


def _as_mask(matched: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pc.fill_null(matched, False).to_numpy(zero_copy_only=False).astype(np.bool_)
    return mask
