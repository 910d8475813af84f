"""Quotas of lists: groups of items by the values of a field, and the greedy choice along rankings that respects them.

The greedy choice goes down a ranking and takes an item unless one of its groups is full, until the list is full.

Legend: `R` rows (lists), `K` places of the rankings, `E` entries: one per row, place and group of its item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.catalog import Catalog
from lexirec.data.filter_columns import FilterColumn, shown
from lexirec.data.item_filters import column_of


@dataclass(frozen=True)
class CompiledQuota:
    """A quota of one catalogue: item i is in the groups `groups[offsets[i] : offsets[i + 1]]`.

    Attributes:
        field: Name of the field.
        count: Greatest number of items of one group in a list.
        offsets: int64 (n_items + 1,).
        groups: int32; group numbers, each once per item.
        n_groups: Number of groups.
    """

    field: str
    count: int
    offsets: NDArray[np.int64]
    groups: NDArray[np.int32]
    n_groups: int

    @classmethod
    def of_field(cls, catalog: Catalog, field: str, count: int) -> CompiledQuota:
        """Group the items of a catalogue by the values of a field.

        Raises:
            DataError: The field is unknown, or holds values that cannot be compared.
        """
        names = catalog.table.column_names
        if field not in names:
            raise DataError(
                f"at_most: items have no field {shown(field)}; they have {', '.join(names)}."
                f"{did_you_mean(field, names)}"
            )
        try:
            column = column_of(catalog, field)
        except DataError as error:
            raise DataError(f"at_most {shown(field)}: {error}") from None
        items, groups, n_groups = _grouped(column)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(items, minlength=len(catalog)))]).astype(np.int64)
        return cls(field, count, offsets, groups, n_groups)

    @classmethod
    def of_mask(cls, name: str, mask: NDArray[np.bool_], count: int) -> CompiledQuota:
        """Return the quota of one group: the items of the mask (n_items,)."""
        offsets = np.concatenate([[0], np.cumsum(mask)]).astype(np.int64)
        return cls(name, count, offsets, np.zeros(int(offsets[-1]), dtype=np.int32), 1)

    def entries(self, items: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the groups of some items, and for each of them which of the given items it belongs to."""
        first, sizes = self.offsets[items], self.offsets[items + 1] - self.offsets[items]
        owner = np.repeat(np.arange(len(items)), sizes)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return owner, self.groups[first[owner] + within]

    def members(self, full: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the items that are in one of the marked groups (n_groups,): bool (n_items,)."""
        marked = np.concatenate([[0], np.cumsum(full[self.groups])])
        in_one: NDArray[np.bool_] = marked[self.offsets[1:]] > marked[self.offsets[:-1]]
        return in_one


def _grouped(column: FilterColumn) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """Return item and group of every pair, by ascending items, and the number of groups."""
    items, codes = column.values
    labels = np.arange(len(column.distinct))
    if column.kind == "text":  # texts that differ in case only are one value
        labels = np.asarray(pc.fill_null(pc.dictionary_encode(column.folded).indices, 0), dtype=np.int64)
    n_groups = int(labels.max(initial=0)) + 1
    owners, groups = np.divmod(np.unique(items * n_groups + labels[codes]), n_groups)
    return owners, groups.astype(np.int32), n_groups


class Usage:
    """How full the groups of one list are."""

    def __init__(self, quotas: tuple[CompiledQuota, ...]) -> None:
        """Begin with an empty list."""
        self.quotas = quotas
        starts = np.concatenate([[0], np.cumsum([quota.n_groups for quota in quotas])]).astype(np.int64)
        self._starts = starts
        self.room = np.repeat([quota.count for quota in quotas], np.diff(starts)).astype(np.int64)
        """Items that each group may still get; the groups of all quotas, one quota after the other."""

    def entries(self, items: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the groups of some items, numbered through all quotas, and the place of the item of each."""
        found = [quota.entries(items) for quota in self.quotas]
        owners = [owner for owner, _ in found]
        groups = [group + start for (_, group), start in zip(found, self._starts[:-1], strict=True)]
        nothing = np.empty(0, dtype=np.int64)
        return np.concatenate([nothing, *owners]), np.concatenate([nothing, *groups])

    def take(self, items: NDArray[np.int32]) -> None:
        """Add items to the list."""
        self.room -= np.bincount(self.entries(items)[1], minlength=len(self.room))

    def without_last(self) -> Usage:
        """Return the usage without its last quota."""
        rest = Usage(self.quotas[:-1])
        rest.room = self.room[: len(rest.room)].copy()
        return rest

    def full(self) -> NDArray[np.bool_] | None:
        """Return the items (n_items,) that a full group keeps out; None without quotas."""
        out = None
        for quota, first, last in zip(self.quotas, self._starts[:-1], self._starts[1:], strict=True):
            kept_out = quota.members(self.room[first:last] <= 0)
            out = kept_out if out is None else out | kept_out
        return out


class _Entries(NamedTuple):
    """Entries in the order of their groups, and within a group in the order of the ranking; arrays (E,).

    `places` are flat: row · K + place. `begin` is the entry that its group begins with, `room` what the group may get.
    """

    places: NDArray[np.int64]
    begin: NDArray[np.int64]
    room: NDArray[np.int64]

    def crowded(self, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the places before which, in one of their groups, as many are taken as the group has room for."""
        before = np.concatenate([[0], np.cumsum(taken[self.places])])
        beyond = before[np.arange(len(self.places))] - before[self.begin] >= self.room
        out: NDArray[np.bool_] = np.zeros(len(taken), dtype=np.bool_)
        out[self.places[beyond]] = True
        return out


def choose(
    items_RK: NDArray[np.int32], usages: list[Usage], wanted_R: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Choose greedily along rankings.

    Args:
        items_RK: rankings, best first, −1 padded.
        usages: how full each list's groups are; not changed.
        wanted_R: places that each list still has.

    Returns:
        Which places are chosen, bool (R, K), and how many places were looked at until the list was full, (R,).
    """
    entries = _sorted_entries(items_RK, usages)
    real = (items_RK >= 0).ravel()
    # what surely is taken lies within what may be taken. A place is taken for sure if too few before it may be taken to
    # fill one of its groups, and out for sure if those taken for sure do fill one. The first place that is undecided
    # has only decided ones before it, so every turn decides it at least, and usually all
    maybe, surely = real, np.zeros_like(real)
    while not np.array_equal(maybe, surely):
        surely = real & ~entries.crowded(maybe)
        maybe = real & ~entries.crowded(surely)
    taken_RK = surely.reshape(items_RK.shape)
    count_RK = taken_RK.cumsum(axis=1)
    chosen_RK = taken_RK & (count_RK <= wanted_R[:, None])
    looked_R = (count_RK < wanted_R[:, None]).sum(axis=1) + 1
    return chosen_RK, np.minimum(looked_R, items_RK.shape[1])


def _sorted_entries(items_RK: NDArray[np.int32], usages: list[Usage]) -> _Entries:
    """Collect the entries of all rows; groups of different rows are different groups."""
    places: list[NDArray[np.int64]] = []
    groups: list[NDArray[np.int64]] = []
    first = 0
    for row, usage in enumerate(usages):
        real = np.flatnonzero(items_RK[row] >= 0)
        owner, group = usage.entries(items_RK[row, real])
        places.append(row * items_RK.shape[1] + real[owner])
        groups.append(group + first)
        first += len(usage.room)
    place, group = (np.concatenate([np.empty(0, dtype=np.int64), *each]) for each in (places, groups))
    order = np.lexsort((place, group))
    place, group = place[order], group[order]
    room = np.concatenate([np.empty(0, dtype=np.int64), *(usage.room for usage in usages)])[group]
    return _Entries(place, np.searchsorted(group, group), room)
