"""User-item interactions: the items of every user in order of time, with times and split labels where known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from lexirec.core.arguments import check_columns, expect, given_path
from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.catalog import Catalog
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.events import EventOptions, read_events
from lexirec.data.readers.time_recognition import TimeUnit
from lexirec.data.readers.validation import OnBadRow, Rejects
from lexirec.data.sequences import Sequences, load_array


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events per user, oldest first.

    Attributes:
        sequences: One row per user, in order of the users' first appearance in the file.
        user_ids: Ids of the users, str (users,).
        times: Seconds since 1970 of each event, float64 (N,) parallel to `sequences.items`, or None.
        n_items: Size of the catalogue.
        labels: TRAIN, VALIDATION or TEST for each event, int8 (N,), or None where the file has no such column.
        protocol: How events were ordered, filtered and rejected; JSON values, part of a split's protocol.
    """

    sequences: Sequences
    user_ids: NDArray[np.str_]
    times: NDArray[np.float64] | None
    n_items: int
    labels: NDArray[np.int8] | None = None
    protocol: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        path: Path | str,
        catalog: Catalog,
        *,
        columns: Mapping[str, str] | None = None,
        on_bad_row: OnBadRow = "error",
        rejects: Path | str | Rejects | None = None,
        time_unit: TimeUnit = "s",
        options: EventOptions | None = None,
    ) -> Interactions:
        """Read events from Parquet, CSV/TSV or JSON Lines (also .gz/.zst).

        Events of a user are ordered by `time` where the file has it or `columns` maps it, else by `position`, else as
        in the file; ties keep file order. Sorting and joining spill to disk where memory is short.

        Args:
            path: The file, with `user_id` and `item_id` and optionally `time`, `position` and `split`.
            catalog: The items; an event with another item is a bad row.
            columns: Our names -> names in the file, for example `{"user_id": "reviewerID", "time": "unixReviewTime"}`;
                "" for `time`, `position` or `split` ignores a column of that name.
            on_bad_row: "error" stops at the first bad row; "reject" skips bad rows and counts them.
            rejects: Parquet file for the rejected rows (or a `Rejects` that collects them).
            time_unit: Unit of numeric times: "s", "ms", "us" or "ns" since 1970.
            options: Everything else about how the file is read; with them, `time_unit` is theirs.

        Raises:
            DataError: The file cannot be used; one line with file, row, column, what was given and what is allowed.
        """
        path = given_path("path", path)
        check_columns(columns)
        expect("catalog", catalog, Catalog, "pass the items, as Catalog.read returns them")
        bad_rows = rejects if isinstance(rejects, Rejects) else Rejects(on_bad_row)
        before = dict(bad_rows.counts)
        options = options or EventOptions(time_unit=time_unit)
        with Workspace() as work:
            source = work.open(path, options.format)
            try:
                events = read_events(work, source, catalog, columns, bad_rows, options)
            except duckdb.Error as error:
                raise DataError(f"{source.path}: the file cannot be read ({one_line(error)}).") from error
        if rejects is not None and not isinstance(rejects, Rejects):
            bad_rows.save(rejects)
        added = {reason: count - before.get(reason, 0) for reason, count in bad_rows.counts.items()}
        rejected = {reason: count for reason, count in added.items() if count}
        protocol = {"order": events.order, "k_core": None, "rejected": rejected, **events.facts}
        rows = Sequences(events.items, events.offsets)
        return cls(rows, events.user_ids, events.times, len(catalog), events.labels, protocol)

    def __len__(self) -> int:
        """Number of users."""
        return len(self.sequences)

    @property
    def rejected(self) -> dict[str, int]:
        """Number of rows of the file that were rejected, per reason."""
        return dict(self.protocol.get("rejected", {}))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of users, sequences, times and labels."""
        total = hashlib.sha256(f"{self.n_items}\0{self.user_ids.dtype}".encode())
        for array in (self.user_ids, self.sequences.items, self.sequences.offsets, self.times, self.labels):
            total.update(b"\0" if array is None else np.ascontiguousarray(array).view(np.uint8).data)
        return total.hexdigest()

    def without_repeats(self) -> Interactions:
        """Drop repeated events of the same user, item and time; the protocol counts them (`repeats_dropped`).

        Raises:
            DataError: events have no times, so a repeated purchase cannot be distinguished from a duplicated row.
        """
        if self.times is None:
            raise DataError(
                "drop_repeats needs a time of every event; without times, drop repeated rows from the table"
            )
        users = np.repeat(np.arange(len(self), dtype=np.int32), self.sequences.lengths)
        # lexsort is stable: of equal events the first in the file comes first, and is kept
        order = np.lexsort((self.sequences.items, self.times, users))
        keys = (users[order], self.times[order], self.sequences.items[order])
        repeated = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
        keep = np.ones(len(users), dtype=bool)
        keep[order[1:][repeated]] = False
        return replace(
            self,
            sequences=self.sequences.where(keep),
            times=self.times[keep],
            labels=None if self.labels is None else self.labels[keep],
            protocol={**self.protocol, "repeats_dropped": int(repeated.sum())},
        )

    def k_core(self, k: int, catalog: Catalog) -> tuple[Interactions, Catalog]:
        """Drop users and items with fewer than `k` events until none is left, and renumber the items.

        Returns:
            The remaining interactions, and the catalogue of the remaining items.

        Raises:
            DataError: no event is left.
        """
        users = np.repeat(np.arange(len(self), dtype=np.int32), self.sequences.lengths)
        keep = _k_core(users, self.sequences.items, len(self), self.n_items, k)
        if not keep.any():
            raise DataError(f"k_core = {k} leaves no interaction of {len(keep):,}; choose a smaller k.")
        core = self.sequences.where(keep)
        kept_users = np.flatnonzero(core.lengths)
        kept_items = np.flatnonzero(core.counts(self.n_items))
        renumbered = np.full(self.n_items, -1, dtype=np.int32)
        renumbered[kept_items] = np.arange(len(kept_items), dtype=np.int32)
        rows = core.take(kept_users)
        return (
            replace(
                self,
                sequences=Sequences(renumbered[rows.items], rows.offsets),
                user_ids=self.user_ids[kept_users],
                times=None if self.times is None else self.times[keep],
                labels=None if self.labels is None else self.labels[keep],
                n_items=len(kept_items),
                protocol={**self.protocol, "k_core": k},
            ),
            catalog.take(kept_items),
        )

    def save(self, folder: Path | str) -> None:
        """Write the arrays and `interactions.json` into `folder`, which is created if needed."""
        target = Path(folder)
        self.sequences.save(target)
        for name, array in (("user_ids", self.user_ids), ("times", self.times), ("labels", self.labels)):
            if array is not None:
                np.save(target / f"{name}.npy", array, allow_pickle=False)
        present = {"times": self.times is not None, "labels": self.labels is not None}
        card = {"n_items": self.n_items, "protocol": self.protocol, **present}
        (target / "interactions.json").write_text(
            json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: Path | str) -> Interactions:
        """Read what `save` wrote; raises ArtifactError where a file is missing or damaged."""
        source = Path(folder)
        try:
            card = json.loads((source / "interactions.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{source}: these are no saved interactions ({error})") from error
        optional = {name: load_array(source / f"{name}.npy") if card[name] else None for name in ("times", "labels")}
        users = load_array(source / "user_ids.npy")
        return cls(Sequences.load(source), users, n_items=card["n_items"], protocol=card["protocol"], **optional)


def _k_core(
    users: NDArray[np.int32], items: NDArray[np.int32], n_users: int, n_items: int, k: int
) -> NDArray[np.bool_]:
    keep = np.ones(len(items), dtype=bool)
    while True:
        frequent_users = np.bincount(users[keep], minlength=n_users) >= k
        frequent_items = np.bincount(items[keep], minlength=n_items) >= k
        kept = keep & frequent_users[users] & frequent_items[items]
        if np.array_equal(kept, keep):
            return keep
        keep = kept
