"""Which items may be recommended, said in the words of the catalogue: `brand=Acme`, `price<20`, `categories~wood`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.catalog import Catalog

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
