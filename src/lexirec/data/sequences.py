"""Ragged arrays of item numbers: sequences of different lengths as one flat array with offsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.arguments import expect
from lexirec.core.errors import ArtifactError, DataError


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
        object.__setattr__(self, "items", _item_numbers(self.items))
        object.__setattr__(self, "offsets", np.ascontiguousarray(self.offsets, dtype=np.int64))
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(self.items):
            raise ValueError(f"offsets must run from 0 to {len(self.items)}, the number of items")
        if np.any(offsets[1:] < offsets[:-1]):
            raise ValueError("offsets must not decrease")

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int]]) -> Sequences:
        """Build from Python lists (for tests and single requests; files are read without lists).

        Raises:
            DataError: A row is no list of whole numbers.
        """
        expect("lists", lists, Iterable, "pass a list of histories, such as [[0, 5, 2]]")
        rows = [_row(row) for row in lists]
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

    def check(self, n_items: int) -> None:
        """Check that every item number is a row of a catalogue and that the offsets still fit: one pass over both.

        Raises:
            DataError: A number is below 0 or at least `n_items`; or the arrays were changed in place.
        """
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.items) or np.any(self.offsets[1:] < self.offsets[:-1]):
            raise DataError("the offsets of the histories were changed and no longer fit the items; build them again")
        if len(self.items) and (self.items.min() < 0 or self.items.max() >= n_items):
            event = int(np.argmax((self.items < 0) | (self.items >= n_items)))
            row = int(np.searchsorted(self.offsets, event, side="right")) - 1
            raise DataError(
                f"history {row} holds item number {self.items[event]}, but the catalog has {n_items:,} items, numbered "
                "from 0; Catalog.numbers turns ids into numbers"
            )

    def counts(self, n_items: int) -> NDArray[np.int64]:
        """Return how often each item number occurs: int64 (n_items,).

        Raises:
            DataError: A number is not that of an item.
        """
        self.check(n_items)
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
        except (ValueError, DataError) as error:
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


def bounded_slices(sizes: NDArray[np.integer[Any]], most: int) -> Iterator[slice]:
    """Yield slices of rows whose sizes add up to at most `most`, a row beyond that by itself."""
    ends, first = np.cumsum(sizes, dtype=np.int64), 0
    while first < len(sizes):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + most, side="right")))
        yield slice(first, last)
        first = last


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _row(row: Any) -> NDArray[Any]:
    try:
        numbers = np.asarray(row)
    except ValueError:  # rows of unequal length, a level too deep
        numbers = np.empty((0, 0))
    if numbers.ndim != 1:
        raise DataError(f"a history is a list of item numbers, such as [0, 5, 2], but one is {row!r:.60}")
    return _item_numbers(numbers)


def _item_numbers(values: Any) -> NDArray[np.int32]:
    """Return item numbers as int32; nothing is cut or wrapped silently."""
    numbers = np.asarray(values)
    if numbers.dtype != np.int32 and numbers.size:
        if numbers.dtype.kind not in "iu":
            raise DataError(
                f"item numbers are whole numbers, but {numbers.ravel()[0]!r:.60} is of type {numbers.dtype}; "
                "Catalog.numbers turns ids into numbers"
            )
        largest = np.iinfo(np.int32).max
        if numbers.min() < -largest or numbers.max() > largest:
            raise DataError(f"item numbers go up to {largest:,}, but {numbers.max():,} is among them")
    return np.ascontiguousarray(numbers, dtype=np.int32)
