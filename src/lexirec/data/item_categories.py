"""Item categories, read from a field of the catalogue.

Legend: `I` items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.catalog import Catalog

FIELDS = ("categories", "category", "genres", "genre")
"""Field names tried in this order where none is named."""
_ALIKE = 0.9
"""A level of the hierarchy at which more than this share of items agree is skipped."""
_SEPARATOR = r"\s*[>|]\s*"


@dataclass(frozen=True, eq=False)
class Categories:
    """One category for every item.

    Attributes:
        names: names of the categories.
        of_item: index into `names`, −1 where unknown, int64 (I,).
        field: field of the catalogue they were read from.
        level: level of the field's hierarchy, 1 for the first.
    """

    names: tuple[str, ...]
    of_item: NDArray[np.int64]
    field: str
    level: int = 1


def category_field(catalog: Catalog) -> str | None:
    """Return the field that most likely holds categories; None where there is none, or all are empty."""
    there = [field for field in FIELDS if field in catalog.table.column_names]
    return next((field for field in there if _hierarchies(catalog.table.column(field))[2].any()), None)


def read_categories(catalog: Catalog, field: str) -> Categories:
    """Read the categories from the first informative level of a hierarchical field.

    A hierarchy is a list, or text with ">" or "|" between its levels. The first level often is the shop's own name: a
    level at which nine of ten items agree is skipped. Items whose hierarchy ends earlier get its last level.

    Raises:
        DataError: the catalogue has no such field, or it is empty throughout.
    """
    names = catalog.table.column_names
    if field not in names:
        raise DataError(
            f"categories: the catalogue has no field '{field}'; it has {', '.join(names)}.{did_you_mean(field, names)}"
        )
    values, starts, lengths = _hierarchies(catalog.table.column(field))
    known = lengths > 0
    if not known.any():
        raise DataError(f"categories: the field '{field}' is empty for all items; name another one with category=FIELD")
    for level in range(int(lengths.max())):
        at = starts[known] + np.minimum(level, lengths[known] - 1)
        encoded = values.take(pa.array(at)).dictionary_encode()
        groups = np.asarray(encoded.indices, dtype=np.int64)
        if np.bincount(groups).max() <= _ALIKE * len(groups):
            break
    of_item = np.full(len(catalog), -1, dtype=np.int64)
    of_item[known] = groups
    return Categories(tuple(encoded.dictionary.to_pylist()), of_item, field, level + 1)


def _hierarchies(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the levels of all items, concatenated, with each item's offset (I,) and number of levels (I,)."""
    array: Any = column.combine_chunks()
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        array = pc.split_pattern_regex(pc.cast(array, pa.string()), _SEPARATOR)
    item = np.asarray(pc.list_parent_indices(array), dtype=np.int64)
    values = pc.utf8_trim_whitespace(pc.fill_null(pc.cast(pc.list_flatten(array), pa.string()), ""))
    nonempty = np.asarray(pc.not_equal(values, ""))
    lengths = np.bincount(item[nonempty], minlength=len(array)).astype(np.int64)
    return values.filter(pa.array(nonempty)), np.cumsum(lengths) - lengths, lengths
