"""Recommend items for one history of item ids, with item filters and explanations.

A filter compares a field of the catalogue with a value: `brand=Acme`, `price<20`, `categories~wood`.
"""

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
        item_id: Id of the item.
        score: The score that ranks the list; comparable within one list only.
        title: Its title, else its first text field; "" where unknown.
        because: With `explain`, `(item_id, share of the score)` of the history's items, the most influential first.
    """

    item_id: str
    score: float
    title: str
    because: tuple[tuple[str, float], ...] = field(default=())


class Options(TypedDict, total=False):
    """Options of a request besides the history and k; see `recommend`."""

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
        recommender: Any recommender.
        history: Item ids, oldest first; may be empty where the recommender can rank for new users.
        k: Number of items, at most.
        exclude_seen: Leave out the items of the history.
        allow: Filters every item must match, see `item_filters`.
        deny: Filters no item may match.
        explain: Attribute each recommendation to items of the history: by how much its score falls when the item is
            removed from the history.

    Raises:
        DataError: k is below 1, an item or field is unknown, or the filters leave no item.
    """
    if k < 1:
        raise DataError(f"k is {k}; set it to at least 1")
    catalog = recommender.catalog
    numbers = catalog.numbers(history)
    allowed = allowed_items(catalog, allow, deny)
    ranking = recommender.rank(
        Sequences.from_lists([numbers.tolist()]), k=k, exclude_seen=exclude_seen, allowed=allowed
    )
    items = ranking.items[0][ranking.items[0] >= 0]
    reasons = _score_drops(recommender, numbers, items, ranking.scores[0]) if explain and len(numbers) else None
    titles = _titles(catalog)
    return [
        Recommendation(
            catalog.item_ids[item],
            float(ranking.scores[0, rank]),
            titles[item],
            _attribution(reasons[:, rank], history) if reasons is not None else (),
        )
        for rank, item in enumerate(items)
    ]


def _titles(catalog: Catalog) -> list[str]:
    if "title" in catalog.table.column_names:
        return catalog.field("title")
    return catalog.field(catalog.text_fields[0]) if catalog.text_fields else [""] * len(catalog)


def _score_drops(
    recommender: Recommender, history: NDArray[np.int32], items: NDArray[np.int32], scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return how much each item's score drops when one event of the history is removed: (events, items)."""
    without = Sequences.from_lists([np.delete(history, event).tolist() for event in range(len(history))])
    only = np.zeros(len(recommender.catalog), dtype=np.bool_)
    only[items] = True
    ranking = recommender.rank(without, k=len(items), exclude_seen=False, allowed=only)
    column_of = np.full(len(only) + 1, -1, dtype=np.int64)
    column_of[items] = np.arange(len(items))
    remaining = np.full((len(history), len(items)), -np.inf)
    rows, columns = np.nonzero(ranking.items >= 0)
    remaining[rows, column_of[ranking.items[rows, columns]]] = ranking.scores[rows, columns]
    drops: NDArray[np.float64] = scores[: len(items)].astype(np.float64) - remaining
    return drops


def _attribution(drops: NDArray[np.float64], history: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return up to three events with the largest score drops and their shares of all drops, the largest first."""
    drops = np.where(np.isposinf(drops), np.finfo(np.float32).max, np.maximum(drops, 0.0))
    total = drops.sum()
    order = [int(event) for event in np.argsort(-drops, kind="stable")[:3] if drops[event] > 0]
    return tuple((history[event], float(drops[event] / total)) for event in order)


# --------------------------------------------------------------------------------------------------------- item filters


_FILTER = re.compile(r"^\s*(?P<field>[^=!<>~]+?)\s*(?P<sign><=|>=|!=|=|<|>|~)\s*(?P<value>.+?)\s*$")
_HELP = "write field=value; the operators are = != ~ (contains), and < <= > >= for numbers"
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_COMPARE = {
    "=": pc.equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def allowed_items(catalog: Catalog, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> NDArray[np.bool_] | None:
    """Return the mask (n_items,) of items that match every filter of `allow` and none of `deny`; None without filters.

    Texts are compared case-insensitively; a list matches if one of its values does. A missing value matches no filter
    but `!=`. CSV and JSON Lines hold text only: there <, <=, > and >= compare the values that are numbers.

    Raises:
        DataError: a filter cannot be parsed, names an unknown field, or no item is left.
    """
    if not allow and not deny:
        return None
    chosen = np.ones(len(catalog), dtype=np.bool_)
    for text in allow:
        chosen &= matches(catalog, text)
    for text in deny:
        chosen &= ~matches(catalog, text)
    if not chosen.any():
        raise DataError(f"--allow {list(allow)} --deny {list(deny)} leave no item; loosen a filter")
    return chosen


def matches(catalog: Catalog, text: str) -> NDArray[np.bool_]:
    """Return the mask (n_items,) of items that match one filter.

    Raises:
        DataError: the filter cannot be parsed or names an unknown field.
    """
    match = _FILTER.match(text)
    if match is None:
        raise DataError(f"filter '{text}' cannot be parsed; {_HELP}")
    field, sign, value = match["field"], match["sign"], match["value"]
    names = catalog.table.column_names
    if field not in names:
        raise DataError(
            f"filter '{text}': items have no field '{field}'; they have {', '.join(names)}.{did_you_mean(field, names)}"
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
    """Return the texts that are numbers as float64, null for the others."""
    texts = column.cast(pa.string())
    numeric = pc.if_else(pc.match_substring_regex(texts, _NUMBER), pc.utf8_trim_whitespace(texts), None)
    if numeric.null_count == len(numeric):
        raise DataError(f"filter '{text}': the field holds text, which {sign} cannot compare; {_HELP}")
    return numeric.cast(pa.float64())


def _compare_numbers(column: pa.Array, sign: str, value: str, text: str) -> pa.Array:
    if sign not in _COMPARE:
        raise DataError(f"filter '{text}': the field holds numbers, which {sign} cannot search; {_HELP}")
    try:
        number = float(value)
    except ValueError:
        raise DataError(f"filter '{text}': the field holds numbers, but '{value}' is not a number") from None
    return _COMPARE[sign](column.cast(pa.float64()), number)


def _as_mask(matched: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pc.fill_null(matched, False).to_numpy(zero_copy_only=False).astype(np.bool_)
    return mask
