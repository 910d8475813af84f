"""Items that a case's list leaves out: what types of events count as seen, and what they forbid, before the target.

Events that are not trained on may count as seen (a view, where purchases are trained on) or forbid an item (a dislike).
Only events before the target's moment count: of the sequence those before the target, of other events those with an
earlier time; what happened at the same moment as the target stays in the list.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, event_options, split_data
from lexirec.data.readers.validation import Rejects
from lexirec.data.readers.where_sql import NothingMeetsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split

_Integers = NDArray[np.int64]


class _Marks(NamedTuple):
    """Items of users, each from a place on: it counts for targets at that place of the interactions, or later ones."""

    users: _Integers
    items: _Integers
    places: _Integers


def with_excluded_items(
    settings: DataSettings, interactions: Interactions, catalog: Catalog, split: Split, base: Path | str = ""
) -> Split:
    """Return a split whose cases say which items were seen, and which must never be listed.

    Without `[data.events]`, or where histories alone say what was seen, the split is returned as it is.

    Args:
        settings: Of the tables.
        interactions: The events that are read, as of `read_data`.
        catalog: The items, as of `read_data`.
        split: Of the interactions, as of `split_data`.
        base: Folder that relative paths start from.

    Raises:
        DataError: The events have no times, or a row of other types cannot be used.
    """
    types = settings.events
    if types is None or not types.evaluate or not (types.seen_apart or types.never):
        return split
    if interactions.times is None:
        raise DataError(
            "[data.events]: seen and never need a time of every event, to know what came before a target; map the"
            ' column, such as interaction_columns = {time = "timestamp"}, or set evaluate = false'
        )
    numbers = Sequences(np.arange(len(interactions.times), dtype=np.int32), interactions.sequences.offsets)
    numbered = split_data(settings, replace(interactions, sequences=numbers))
    reader = _Reader(settings, base, interactions, catalog)
    seen = reader.marks(types.seen_condition) if types.seen_apart else None
    never = reader.marks(types.never_condition) if types.never else None
    found: dict[str, Any] = {}
    for part in ("validation", "test"):
        cases: Cases = getattr(split, part)
        places = getattr(numbered, part).targets.astype(np.int64)
        rows = [None if marks is None else _rows(marks, cases.users, places, split.n_items) for marks in (seen, never)]
        found[part] = replace(cases, seen=rows[0], never=rows[1])
    counts = {name: len(marks.items) for name, marks in (("seen", seen), ("never", never)) if marks is not None}
    return replace(split, protocol={**split.protocol, "excluding_events": counts}, **found)


class _Reader:
    """Reads events of other types and puts them between those that are read."""

    def __init__(self, settings: DataSettings, base: Path | str, interactions: Interactions, catalog: Catalog) -> None:
        assert interactions.times is not None, "checked before"
        self._settings, self._base = settings, Path(base)
        self._times, self._sequences = interactions.times, interactions.sequences
        self._users = {user: number for number, user in enumerate(interactions.user_ids.tolist())}
        self._numbers: NDArray[np.int32] | None = None
        self._catalog = catalog
        if settings.k_core is not None:  # items that the core lost are known, and in no list
            self._catalog = Catalog.read(
                self._base / settings.items,
                text=settings.text,
                columns=settings.item_columns,
                rejects=Rejects(settings.on_bad_row),
                format=settings.formats.items,
            )
            self._numbers = catalog.find(self._catalog.item_ids)

    def marks(self, condition: str | None) -> _Marks:
        """Return the events that meet a condition on types."""
        read = self._read(condition)
        if read is None or read.times is None:
            nothing = np.empty(0, dtype=np.int64)
            return _Marks(nothing, nothing, nothing)
        known = np.array([self._users.get(user, -1) for user in read.user_ids.tolist()], dtype=np.int64)
        users = np.repeat(known, read.sequences.lengths)
        items = read.sequences.items.astype(np.int64)
        if self._numbers is not None:
            items = self._numbers[items].astype(np.int64)
        kept = (users >= 0) & (items >= 0)
        return self._placed(users[kept], items[kept], read.times[kept])

    def _read(self, condition: str | None) -> Interactions | None:
        if condition is None:
            return None
        where = self._settings.where
        options = replace(
            event_options(self._settings), where=condition if where is None else f"({where}) and {condition}"
        )
        try:
            return Interactions.read(
                self._base / self._settings.interactions,
                self._catalog,
                columns={**self._settings.interaction_columns, "split": "", "position": ""},
                rejects=Rejects(self._settings.on_bad_row),
                options=options,
            )
        except NothingMeetsError:
            return None

    def _placed(self, users: _Integers, items: _Integers, times: NDArray[np.float64]) -> _Marks:
        """Return from which place on each event counts: after itself where it is read, else after its moment."""
        owners = np.repeat(np.arange(len(self._sequences), dtype=np.int64), self._sequences.lengths)
        moments, ranks = np.unique(np.concatenate([self._times, times]), return_inverse=True)
        of_read, of_others = ranks[: len(owners)], ranks[len(owners) :]
        read_keys, keys = owners * len(moments) + of_read, users * len(moments) + of_others
        places = np.searchsorted(read_keys, keys, side="right").astype(np.int64)
        # an event that is read counts from the next place on, though others may have its time
        pairs, numbers = np.unique(np.concatenate([read_keys, keys]), return_inverse=True)
        n_items = len(self._catalog)
        assert len(pairs) < 2**62 // max(1, n_items), "moments and items fit one number"
        read_pairs = numbers[: len(owners)] * n_items + self._sequences.items
        other_pairs = numbers[len(owners) :] * n_items + items
        order = np.argsort(read_pairs, kind="stable")  # the first of equal ones is the earliest
        if len(order):
            first = np.minimum(np.searchsorted(read_pairs[order], other_pairs), len(order) - 1)
            same = read_pairs[order[first]] == other_pairs
            places[same] = order[first][same] + 1
        return _Marks(users, items, places)


def _rows(marks: _Marks, users: _Integers, places: _Integers, n_items: int) -> Sequences:
    """Return the items that count for each case, distinct and ascending; a case is a user and the target's place."""
    largest = int(max(places.max(initial=0), marks.places.max(initial=0))) + 1
    keys = marks.users * largest + marks.places
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.searchsorted(keys, users * largest, side="left")
    ends = np.searchsorted(keys, users * largest + places, side="right")
    all_items = Sequences(marks.items[order].astype(np.int32), np.array([0, len(order)], dtype=np.int64))
    return _distinct(all_items.windows(starts.astype(np.int64), (ends - starts).astype(np.int64)), n_items)


def _distinct(rows: Sequences, n_items: int) -> Sequences:
    owners = np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths)
    pairs = np.unique(owners * n_items + rows.items)
    lengths = np.bincount(pairs // n_items, minlength=len(rows))
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
    return Sequences((pairs % n_items).astype(np.int32), offsets)
