"""Import of published semantic IDs, such as MiniOneRec's, as residual codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lexirec.core.config import DataPath
from lexirec.core.errors import DataError
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.published import read_semantic_ids
from lexirec.semantic_ids.quantizers.assignment import cell_means, finite_matrix
from lexirec.semantic_ids.quantizers.base import Quantized, QuantizerInputs, QuantizerSettings
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings, LastLevel, Settled, settle

if TYPE_CHECKING:
    from lexirec.data.catalog import Catalog


class PublishedCodes(QuantizerSettings):
    """Settings of codes from published semantic IDs `<a_236><b_231><c_226>`, and the quantiser itself."""

    needs: ClassVar[tuple[str, ...]] = ("catalog",)
    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """Parquet with `item_id` and a column of semantic IDs, MiniOneRec's index.json, or a text file."""
    column: str | None = None
    """The column of the semantic IDs, by default `sid`."""
    collisions: CollisionSettings = CollisionSettings()
    """Rule for items that share a semantic ID."""

    def needed(self) -> tuple[str, ...]:
        """Return the inputs; vectors only for collision rules that move items."""
        return (*self.needs, "vectors") if self.collisions.rule in ("nearest-free", "sinkhorn") else self.needs

    def files(self) -> dict[str, Path]:
        """Return the file of the semantic IDs."""
        return {"published": self.path}

    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Read the codes; raises DataError where the file does not fit the catalogue."""
        settled = read_published_codes(
            inputs.files["published"],
            inputs.catalog,
            column=self.column,
            collisions=self.collisions,
            vectors=inputs.vectors if "vectors" in self.needed() else None,
        )
        levels = settled.codes.levels - bool(settled.collisions.numbered)
        summary = [f"{name}: {value}" for name, value in settled.collisions.summary().items()]
        return Quantized(settled.codes, levels, summary=summary)


def read_published_codes(
    path: str | Path,
    catalog: Catalog,
    *,
    column: str | None = None,
    collisions: CollisionSettings | None = None,
    vectors: NDArray[np.floating] | None = None,
) -> Settled:
    """Read semantic IDs `<a_236><b_231><c_226>` as residual codes, unique after a collision rule.

    In semantic IDs of different lengths, missing levels are 0.

    Args:
        path: A file in any of the formats of `identifiers.published.read_published`.
        catalog: The items; each must have a semantic ID.
        column: Column of the Parquet file, by default `sid`.
        collisions: The rule for items that share one; by default an additional level.
        vectors: (n_items, d); with them, items may move to other used codes of the last level (`nearest-free`,
            `sinkhorn`). A code's point is the mean of its items' residuals.

    Returns:
        The codes, and the counts of collisions before and after.

    Raises:
        DataError: as `read_semantic_ids`, or vectors and items are of different numbers.
        SettingsError: the collision rule needs vectors.
    """
    values = np.maximum(read_semantic_ids(path, catalog, column=column), 0)
    if vectors is None:
        return settle(values, collisions)
    used, compact = np.unique(values[:, -1], return_inverse=True)
    settled = settle(np.column_stack([values[:, :-1], compact]), collisions, _last_level(values, vectors, catalog))
    final = settled.codes.values.copy()
    final[:, values.shape[1] - 1] = used[final[:, values.shape[1] - 1]]  # back to the published numbers
    return replace(settled, codes=Codes(final, "residual"))


def _last_level(values: NDArray[np.int32], vectors: NDArray[np.floating], catalog: Catalog) -> LastLevel:
    rest = finite_matrix(vectors)
    if len(rest) != len(values):
        raise DataError(f"there are {len(rest):,} vectors and {len(catalog):,} items; give one per item")
    for level in range(values.shape[1]):
        cells = Codes(values, "residual").cells(level)
        means = cell_means(rest, cells, int(cells.max()) + 1)
        residuals, rest = rest, rest - means[cells]
    return LastLevel(residuals, means)
