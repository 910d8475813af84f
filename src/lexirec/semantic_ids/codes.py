"""Semantic-ID codes: an items × levels array of small integers, and the cells of items that share a code part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError, DataError

FILE = "codes.parquet"
Kind = Literal["tree", "residual"]


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of a catalogue's items.

    A *cell* is a set of items that share a code part. With `kind="tree"` (hierarchical k-means) that part is the
    prefix up to a level, so cells split from level to level; with `kind="residual"` (RQ-VAE, RQ-k-means) it is the
    value at one level alone.

    Attributes:
        values: int32 (n_items, levels), none negative. Levels are numbered from 0.
        kind: What a cell is.

    Raises:
        DataError: no items or levels, negative values, values that are no integers, or an unknown kind.
    """

    values: NDArray[np.int32]
    kind: Kind = "tree"

    def __post_init__(self) -> None:
        """Check the values and convert them to int32."""
        values = np.asarray(self.values)
        if values.ndim != 2 or 0 in values.shape:
            raise DataError(
                f"codes have the shape {values.shape}; give an array (items, levels) with at least one each"
            )
        if not np.issubdtype(values.dtype, np.integer):
            raise DataError(f"codes are of type {values.dtype}; give integers")
        if values.min() < 0 or values.max() > np.iinfo(np.int32).max:
            row, level = (int(index[0]) for index in np.nonzero((values < 0) | (values > np.iinfo(np.int32).max)))
            raise DataError(f"codes: item {row} has {values[row, level]} at level {level}; codes are 0 or more (int32)")
        if self.kind not in ("tree", "residual"):
            raise DataError(f"codes: the kind is {self.kind!r}; allowed: 'tree', 'residual'")
        object.__setattr__(self, "values", np.ascontiguousarray(values, dtype=np.int32))

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.values)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return int(self.values.shape[1])

    def cells(self, level: int) -> NDArray[np.int64]:
        """Return the cell of each item at a level (from 0): int64 (n_items,), numbered 0..cells−1 by code, no gaps."""
        if not 0 <= level < self.levels:
            raise DataError(f"codes: there is no level {level}; allowed: 0 to {self.levels - 1}")
        return self._cells[level]

    def prefixes(self, level: int) -> NDArray[np.int64]:
        """Return for each item its group with equal codes up to a level, whatever the kind: int64 (n_items,)."""
        return self._prefixes[level]

    def counts(self, level: int) -> NDArray[np.int64]:
        """Return the number of items of each cell of a level: int64 (cells,)."""
        return np.bincount(self.cells(level)).astype(np.int64)

    def first_members(self, level: int) -> NDArray[np.int64]:
        """Return the smallest item number of each cell of a level: int64 (cells,)."""
        return first_members(self.cells(level))

    def save(self, folder: str | Path) -> None:
        """Write `codes.parquet` (columns level_0, level_1, … in catalogue order) into an existing folder."""
        columns = {f"level_{level}": self.values[:, level] for level in range(self.levels)}
        table = pa.table(columns).replace_schema_metadata({"kind": self.kind})
        pq.write_table(table, Path(folder) / FILE, compression="zstd")

    @classmethod
    def load(cls, folder: str | Path) -> Codes:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing or is not what `save` writes.
        """
        table = read_artifact(Path(folder) / FILE, "codes")
        kind = (table.schema.metadata or {}).get(b"kind", b"").decode()
        if kind not in ("tree", "residual") or not table.num_columns:
            raise ArtifactError(f"{Path(folder) / FILE} holds no codes written by lexirec; create them again")
        return cls(np.stack([column.to_numpy() for column in table.columns], axis=1), kind)

    @cached_property
    def _prefixes(self) -> list[NDArray[np.int64]]:
        groups, per_level = np.zeros(len(self), dtype=np.int64), []
        for level in range(self.levels):
            width = int(self.values[:, level].max()) + 1
            groups = _compact(groups * width + self.values[:, level])  # int64 holds items × int32
            per_level.append(groups)
        return per_level

    @cached_property
    def _cells(self) -> list[NDArray[np.int64]]:
        if self.kind == "tree":
            return self._prefixes
        return [_compact(self.values[:, level]) for level in range(self.levels)]


def first_members(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first position of each group number 0..groups−1: int64 (groups,)."""
    return np.unique(groups, return_index=True)[1].astype(np.int64)


def read_artifact(path: Path, what: str) -> pa.Table:
    """Read a Parquet file that lexirec wrote.

    Raises:
        ArtifactError: the file is missing or is no Parquet file.
    """
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise ArtifactError(f"there are no {what} in {path.parent}: {path.name} is missing") from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} is damaged ({reason}); create the {what} again") from None


def _compact(values: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def token_of(level: int, value: int) -> str:
    """Return the token of a code: `<a_12>` for the code 12 at level 0."""
    return f"<{chr(ord('a') + level)}_{value}>"
