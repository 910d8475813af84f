"""What kind of thing an item is, read from a field of the catalogue.

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
"""Fields that are taken for the category where none is named."""
_ALIKE = 0.9
"""A level at which so many items agree tells nothing."""
_SEPARATOR = r"\s*[>|]\s*"


@dataclass(frozen=True, eq=False)
class Categories:
    """One category for every item.

    Attributes:
        names: what they are called.
        of_item: place in `names`, −1 where it is unknown, int64 (I,).
        field: where they were read.
        level: how deep in the field's hierarchy, 1 for its first level.
    """

    names: tuple[str, ...]
    of_item: NDArray[np.int64]
    field: str
    level: int = 1


def category_field(catalog: Catalog) -> str | None:
    """Return the field that most likely holds categories; None where there is none, or none that says anything."""
    there = [field for field in FIELDS if field in catalog.table.column_names]
    return next((field for field in there if _hierarchies(catalog.table.column(field))[2].any()), None)


def read_categories(catalog: Catalog, field: str) -> Categories:
    """Read the first level of a field that tells items apart.

    A hierarchy is a list, or text with ">" or "|" between its levels. Its first level often is the shop's own name; a
    level at which nine of ten items agree is passed over. Items whose hierarchy ends above have its last level.

    Raises:
        DataError: the catalogue has no such field, or it is empty throughout.
    """
    names = catalog.table.column_names
    if field not in names:
        raise DataError(f"the catalog has no field '{field}'; it has {', '.join(names)}.{did_you_mean(field, names)}")
    values, starts, lengths = _hierarchies(catalog.table.column(field))
    known = lengths > 0
    if not known.any():
        raise DataError(f"the field '{field}' is empty for all items; name another as category=FIELD")
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
    """Return all levels of all items one after the other, and where each item's start (I,) and how many it has (I,)."""
    array: Any = column.combine_chunks()
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        array = pc.split_pattern_regex(pc.cast(array, pa.string()), _SEPARATOR)
    item = np.asarray(pc.list_parent_indices(array), dtype=np.int64)
    values = pc.utf8_trim_whitespace(pc.fill_null(pc.cast(pc.list_flatten(array), pa.string()), ""))
    told = np.asarray(pc.not_equal(values, ""))
    lengths = np.bincount(item[told], minlength=len(array)).astype(np.int64)
    return values.filter(pa.array(told)), np.cumsum(lengths) - lengths, lengths
