"""Ragged arrays of item numbers: sequences of different lengths as one flat array with offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of item numbers, one row each, oldest first, stored without padding.

    Row `i` is `items[offsets[i]:offsets[i + 1]]`. There is no Python object per event: 100 million events take 400 MB.

    Attributes:
        items: int32 (N,), item numbers of all rows, concatenated.
        offsets: int64 (rows + 1,), start of each row; the last entry is N.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", np.ascontiguousarray(self.items, dtype=np.int32))
        object.__setattr__(self, "offsets", np.ascontiguousarray(self.offsets, dtype=np.int64))
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(self.items):
            raise ValueError(f"offsets must run from 0 to {len(self.items)}, the number of items")
        if np.any(offsets[1:] < offsets[:-1]):
            raise ValueError("offsets must not decrease")

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int]]) -> Sequences:
        """Build from Python lists (for tests and single requests; files are read without lists)."""
        rows = [np.asarray(row, dtype=np.int32) for row in lists]
        items = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
        return cls(items, _offsets(np.array([len(row) for row in rows], dtype=np.int64)))

    @classmethod
    def concatenate(cls, parts: Sequence[Sequences]) -> Sequences:
        """Return the rows of all parts, in order."""
        items = [part.items for part in parts]
        lengths = [part.lengths for part in parts]
        joined = np.concatenate(items) if items else np.empty(0, dtype=np.int32)
        return cls(joined, _offsets(np.concatenate(lengths) if lengths else np.empty(0, dtype=np.int64)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequences):
            return NotImplemented
        return np.array_equal(self.items, other.items) and np.array_equal(self.offsets, other.offsets)

    __hash__ = None  # type: ignore[assignment]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of items of each row: int64 (rows,)."""
        return np.diff(self.offsets)

    def row(self, i: int) -> NDArray[np.int32]:
        """Return row `i`, oldest first, as a view: int32 (length,)."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"row {i} of {len(self)} rows")
        i %= len(self)
        return self.items[self.offsets[i] : self.offsets[i + 1]]

    def take(self, rows: NDArray[Any] | Sequence[int]) -> Sequences:
        """Return the given rows, in the given order; repeats are allowed."""
        numbers = np.asarray(rows, dtype=np.int64)
        return self.windows(self.offsets[:-1][numbers], self.lengths[numbers])

    def last(self, n: int) -> Sequences:
        """Return the same rows cut to their `n` newest items."""
        kept = np.minimum(self.lengths, n)
        return self.windows(self.offsets[1:] - kept, kept)

    def windows(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Sequences:
        """Return one row per window `items[start : start + length]` of the flat items; windows may overlap."""
        offsets = _offsets(lengths)
        positions = np.arange(offsets[-1], dtype=np.int64)
        positions += np.repeat(starts - offsets[:-1], lengths)
        return Sequences(self.items[positions], offsets)

    def where(self, keep: NDArray[np.bool_]) -> Sequences:
        """Return the same rows with only the events marked in `keep`, bool (N,); rows may become empty."""
        cumulated = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(keep, dtype=np.int64)])
        return Sequences(self.items[keep], cumulated[self.offsets])

    def counts(self, n_items: int) -> NDArray[np.int64]:
        """Return how often each item number occurs: int64 (n_items,)."""
        return np.bincount(self.items, minlength=n_items).astype(np.int64, copy=False)

    def padded(self, length: int, fill: int = -1, newest_first: bool = False) -> NDArray[np.int32]:
        """Return the `length` newest items of each row as a padded array: int32 (rows, length).

        Items are left-aligned, oldest first unless `newest_first`; shorter rows end with `fill`.
        """
        cut = self.last(length)
        columns = np.arange(length)
        filled = columns[None, :] < cut.lengths[:, None]
        padded = np.full((len(self), length), fill, dtype=np.int32)
        if newest_first:
            newest = cut.offsets[1:, None] - 1 - columns[None, :]
            padded[filled] = cut.items[newest[filled]]
        else:
            padded[filled] = cut.items
        return padded

    def save(self, folder: Path | str) -> None:
        """Write `items.npy` and `offsets.npy` into `folder`, which is created if needed."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        np.save(target / "items.npy", self.items, allow_pickle=False)
        np.save(target / "offsets.npy", self.offsets, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path | str) -> Sequences:
        """Read what `save` wrote.

        Raises:
            ArtifactError: The folder does not hold two arrays that fit each other.
        """
        source = Path(folder)
        try:
            return cls(load_array(source / "items.npy"), load_array(source / "offsets.npy"))
        except ValueError as error:
            raise ArtifactError(f"{source}: items.npy and offsets.npy do not fit each other: {error}") from error


def load_array(path: Path) -> NDArray[Any]:
    """Read one `.npy` file without pickle.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: the file is missing; write the folder again") from None
    except (ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: the array is damaged ({error}); write the folder again") from error
    return array


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
