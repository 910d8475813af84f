"""Codes from the catalogue's category paths: a tree of codes without any fitting.

At each level, an item's code is the number of its category's name at that depth. A name has the same code in all paths,
so that its token has one meaning; cells are paths. Code 0 marks the end of a shorter path. Items with the same path
have equal codes, and identifiers of kind `codes` distinguish them by an additional token.

Source: the semantic indexing (SemID) of Hua et al. (SIGIR-AP 2023), which P5 and OpenP5 use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from lexirec.core.errors import DataError, did_you_mean
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.quantizers.base import Quantized, QuantizerInputs, QuantizerSettings

if TYPE_CHECKING:
    from lexirec.data.catalog import Catalog


class CategoryCodes(QuantizerSettings):
    """Settings of codes from category paths, and the estimator itself: `CategoryCodes().fit(catalog)`."""

    needs: ClassVar[tuple[str, ...]] = ("catalog",)
    kind: Literal["categories"] = "categories"
    field: str = "categories"
    """A field of the catalogue: lists, or texts split at `separator`; root first."""
    separator: Annotated[str, Field(min_length=1)] = ">"
    """Separator of categories in texts; lists need none."""
    levels: Annotated[int, Field(ge=1, le=24)] = 4
    """Most levels; deeper categories are left out."""

    def fit(self, catalog: Catalog) -> Codes:
        """Return the codes of a catalogue's items, of kind "tree"; levels with a single value are left out.

        Raises:
            DataError: the catalogue has no such field, or no item has a category.
        """
        paths = _paths(catalog, self)
        lengths = np.asarray(pc.list_value_length(paths), dtype=np.int64)
        if not lengths.any():
            raise DataError(f"codes of kind 'categories': the field '{self.field}' is empty for all items")
        names = np.asarray(pc.list_flatten(paths).dictionary_encode().indices, dtype=np.int64)
        values = np.zeros((len(lengths), min(self.levels, int(lengths.max()))), dtype=np.int32)
        starts = np.cumsum(lengths) - lengths
        for level in range(values.shape[1]):
            deep = lengths > level
            values[deep, level] = np.unique(names[starts[deep] + level], return_inverse=True)[1] + 1
        return Codes(_varying(values), "tree")

    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Return the codes of the catalogue's items; see `fit`."""
        return Quantized(self.fit(inputs.catalog))


def _paths(catalog: Catalog, settings: CategoryCodes) -> Any:
    """Return the items' categories as lists of stripped, non-empty names; missing categories are empty lists."""
    table, field = catalog.table, settings.field
    if field not in table.column_names:
        names = table.column_names
        raise DataError(
            f"codes of kind 'categories': the catalog has no field '{field}'; it has {', '.join(names)}."
            f"{did_you_mean(field, names)}"
        )
    column = table.column(field).combine_chunks()
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        column = pc.split_pattern(column.cast(pa.string()), settings.separator)
    lists = column.cast(pa.list_(pa.string())).to_pylist()
    return pa.array([[name.strip() for name in path or () if name and name.strip()] for path in lists])


def _varying(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Leave out levels with the same value for all items, such as the shop's own name; at least one level stays."""
    varies = (values != values[:1]).any(axis=0)
    return values[:, varies] if varies.any() else values[:, :1]
