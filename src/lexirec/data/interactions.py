"""Interactions: who took which item when, as sequences of item numbers per user."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexirec.data.catalog import Catalog
from lexirec.data.checks import Check, OnBadRow, Rejects, judged, settle
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.sources import ROW, Column, Source, Workspace, one_line, unreadable_line
from lexirec.errors import ArtifactError, DataError

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Labels of events in a published split."""

TimeUnit = Literal["s", "ms", "us", "ns"]

_PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EARLIEST = 631_152_000  # 1990-01-01: older events are mistakes (or counters, which belong into `position`)
_LABELS = {
    "train": TRAIN,
    "training": TRAIN,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
_OPTIONAL = ("time", "position", "split")


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events per user, oldest first.

    Attributes:
        sequences: One row per user, in order of the users' first appearance in the file.
        user_ids: The users' ids, str (users,).
        times: Seconds since 1970 of each event, float64 (N,) beside `sequences.items`, or None.
        n_items: Size of the catalogue.
        labels: TRAIN, VALIDATION or TEST for each event where the file says so: int8 (N,), or None.
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
    ) -> Interactions:
        """Read events from Parquet, CSV/TSV or JSON Lines (also .gz/.zst).

        Events of a user are ordered by `time` where it is mapped or there, else by `position`, else as in the file;
        ties keep file order. Sorting and joining happen on disk where memory is short.

        Args:
            path: The file, with `user_id` and `item_id` and perhaps `time`, `position` and `split`.
            catalog: The items; an event with another item is a bad row.
            columns: Our names -> names in the file, for example `{"user_id": "reviewerID", "time": "unixReviewTime"}`.
            on_bad_row: "error" stops at the first bad row; "reject" leaves bad rows out and counts them.
            rejects: Where rejected rows are written, as Parquet (or a `Rejects` that collects them).
            time_unit: Unit of numeric times: "s", "ms", "us" or "ns" since 1970.

        Raises:
            DataError: The file cannot be used; one line with file, row, column, what was given and what is allowed.
        """
        if time_unit not in _PER_SECOND:
            raise DataError(f"time_unit is '{time_unit}'; allowed are {', '.join(_PER_SECOND)}.")
        bad_rows = rejects if isinstance(rejects, Rejects) else Rejects(on_bad_row)
        before = dict(bad_rows.counts)
        with Workspace() as work:
            source = work.open(path)
            try:
                roles = _roles(source, columns)
                _collect(work, source, roles, catalog, bad_rows, _PER_SECOND[time_unit])
                result = _fetch(work, roles, len(catalog))
            except duckdb.Error as error:
                raise DataError(f"{source.path}: the file cannot be read ({one_line(error)}).") from error
        if rejects is not None and not isinstance(rejects, Rejects):
            bad_rows.save(rejects)
        added = {reason: count - before.get(reason, 0) for reason, count in bad_rows.counts.items()}
        result.protocol["rejected"] = {reason: count for reason, count in added.items() if count}
        return result

    def __len__(self) -> int:
        """Number of users."""
        return len(self.sequences)

    @property
    def rejected(self) -> dict[str, int]:
        """Number of rows of the file that were put aside, per reason."""
        return dict(self.protocol.get("rejected", {}))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of users, sequences, times and labels."""
        total = hashlib.sha256(f"{self.n_items}\0{self.user_ids.dtype}".encode())
        for array in (self.user_ids, self.sequences.items, self.sequences.offsets, self.times, self.labels):
            total.update(b"\0" if array is None else np.ascontiguousarray(array).view(np.uint8).data)
        return total.hexdigest()

    def k_core(self, k: int, catalog: Catalog) -> tuple[Interactions, Catalog]:
        """Drop users and items with fewer than `k` events until none is left; items are numbered anew.

        Raises:
            DataError: Nothing is left.
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


def _roles(source: Source, columns: Mapping[str, str] | None) -> dict[str, Column]:
    """Return role -> column for user_id, item_id and those of time, position and split that are there."""
    known = ("user_id", "item_id", *_OPTIONAL)
    for ours in columns or {}:
        if ours not in known:
            raise DataError(f"{source.path}: columns names '{ours}'; interactions have {', '.join(known)}.")
    roles = {name: source.column(name, columns) for name in ("user_id", "item_id")}
    for name in _OPTIONAL:
        if name in (columns or {}) or name in source.columns:
            roles[name] = source.column(name, columns)
    return roles


def _collect(
    work: Workspace,
    source: Source,
    roles: Mapping[str, Column],
    catalog: Catalog,
    rejects: Rejects,
    per_second: int,
) -> None:
    """Make the table `events` (good and bad rows, items as numbers) and deal with the bad rows."""
    work.connection.register("catalog_ids", pa.table({"id": catalog.table.column("item_id")}))
    work.run(
        "CREATE TEMP TABLE known AS SELECT id, CAST(row_number() OVER () - 1 AS INTEGER) AS number FROM catalog_ids"
    )
    given = (
        f"SELECT {ROW}, {unreadable_line(source)} AS unreadable, {roles['user_id'].text} AS user_id,"
        f" {roles['item_id'].text} AS item_id, {_optional(roles, per_second)} FROM {source.scan}"
    )
    # The id of an item is kept only where it is needed, in the message: numbers take a third of the room.
    joined = (
        f"(SELECT {ROW}, unreadable, user_id, number AS item, CASE WHEN number IS NULL THEN item_id END AS item_given,"
        f" time, CASE WHEN time IS NULL THEN time_given END AS time_given, position, split, position_given, split_given"
        f" FROM ({given}) LEFT JOIN known ON item_id = known.id)"
    )
    checks = _checks(roles, len(catalog), per_second)
    work.run(f"CREATE TEMP TABLE events AS {judged(joined, checks)}")
    settle(work, source, "events", checks, rejects)


def _optional(roles: Mapping[str, Column], per_second: int) -> str:
    """SQL for time, position and split, each beside what was given as text where it could not be understood."""
    parts = []
    for name in ("time", "position", "split"):
        column = roles.get(name)
        if column is None:
            parts.append(f"CAST(NULL AS {'TINYINT' if name == 'split' else 'DOUBLE'}) AS {name}, NULL AS {name}_given")
        elif name == "split":
            cases = " ".join(f"WHEN '{word}' THEN {label}" for word, label in _LABELS.items())
            label = f"CAST(CASE lower(trim({column.text})) {cases} END AS TINYINT)"
            parts.append(f"{label} AS split, CASE WHEN {label} IS NULL THEN {column.text} END AS split_given")
        else:
            number = column.number(per_second if name == "time" else 1)
            parts.append(f"{number} AS {name}, CASE WHEN ({number}) IS NULL THEN {column.text} END AS {name}_given")
    return ", ".join(parts)


def _checks(roles: Mapping[str, Column], n_items: int, per_second: int) -> list[Check]:
    user, item = roles["user_id"].name, roles["item_id"].name
    checks = [
        Check("malformed line", "unreadable", "", "NULL", "each line must hold one JSON object in UTF-8"),
        Check("empty user id", "trim(coalesce(user_id, '')) = ''", user, "user_id", "every event needs a user"),
        Check(
            "empty item id",
            "item IS NULL AND trim(coalesce(item_given, '')) = ''",
            item,
            "item_given",
            "every event needs an item",
        ),
        Check("unknown item", "item IS NULL", item, "item_given", f"allowed are the {n_items:,} ids of the catalog"),
    ]
    if "time" in roles:
        checks += _time_checks(roles["time"].name, per_second)
    if "position" in roles:
        checks.append(
            Check(
                "no number",
                "position IS NULL OR NOT isfinite(position)",
                roles["position"].name,
                "coalesce(position_given, CAST(position AS VARCHAR), '')",
                "a position is a number, 0 = oldest",
            )
        )
    if "split" in roles:
        checks.append(
            Check(
                "unknown part",
                "split IS NULL",
                roles["split"].name,
                "coalesce(split_given, '')",
                "allowed are train, valid, validation and test",
            )
        )
    return checks


def _time_checks(column: str, per_second: int) -> list[Check]:
    given = f"plain_number(time * {per_second})"
    seconds = "times are seconds since 1970 or dates such as 2014-07-01"
    counter = 'map a column that only orders events as "position"'
    units = [("nanoseconds", "ns", 1e17), ("microseconds", "us", 1e14), ("milliseconds", "ms", 1e11)]
    return [
        Check(
            "no time", "time IS NULL OR isnan(time)", column, "coalesce(time_given, CAST(time AS VARCHAR), '')", seconds
        ),
        Check("endless time", "isinf(time)", column, "CAST(time AS VARCHAR)", seconds),
        Check("negative time", "time < 0", column, given, f"{seconds}; {counter}"),
        Check("time before 1990", f"time < {_EARLIEST}", column, given, f"{seconds}; {counter}"),
        *(
            Check(f"time in {name}", f"time >= {bound}", column, given, f'{seconds}; set time_unit = "{unit}"')
            for name, unit, bound in units
        ),
        Check(
            "time in the future",
            f"time > {time.time() + 86_400:.0f}",
            column,
            given,
            f"{seconds}, not later than today",
        ),
    ]


def _fetch(work: Workspace, roles: Mapping[str, Column], n_items: int) -> Interactions:
    """Sort the good rows by user and time and read them into arrays, batch by batch."""
    work.run(
        f"CREATE TEMP TABLE users AS SELECT user_id, CAST(row_number() OVER (ORDER BY first) - 1 AS INTEGER) AS number"
        f" FROM (SELECT user_id, min({ROW}) AS first FROM events WHERE bad IS NULL GROUP BY user_id)"
    )
    order = next((name for name in ("time", "position") if name in roles), None)
    keys = f"number, {order}, {ROW}" if order else f"number, {ROW}"
    ((n_events,),) = work.rows("SELECT count(*) FROM events WHERE bad IS NULL")
    columns: dict[str, type[np.generic]] = {"number": np.int32, "item": np.int32}
    columns |= {name: kind for name, kind in (("time", np.float64), ("split", np.int8)) if name in roles}
    arrays: dict[str, NDArray[Any]] = {name: np.empty(n_events, dtype=kind) for name, kind in columns.items()}
    filled = 0
    query = f"SELECT {', '.join(columns)} FROM events JOIN users USING (user_id) WHERE bad IS NULL ORDER BY {keys}"
    for batch in work.batches(query):
        for name, array in arrays.items():
            array[filled : filled + batch.num_rows] = batch.column(name).to_numpy(zero_copy_only=False)
        filled += batch.num_rows
    names = work.arrow("SELECT user_id FROM users ORDER BY number").column("user_id")
    user_ids = np.array(names.to_pylist(), dtype=np.str_)
    offsets = np.zeros(len(user_ids) + 1, dtype=np.int64)
    np.cumsum(np.bincount(arrays["number"], minlength=len(user_ids)), out=offsets[1:])
    ordered = f"by column '{roles[order].name}', ties keep file order" if order else "file order"
    sequences = Sequences(arrays["item"], offsets)
    protocol: dict[str, Any] = {"order": ordered, "k_core": None}
    return Interactions(sequences, user_ids, arrays.get("time"), n_items, arrays.get("split"), protocol)


def _k_core(
    users: NDArray[np.int32], items: NDArray[np.int32], n_users: int, n_items: int, k: int
) -> NDArray[np.bool_]:
    keep = np.ones(len(items), dtype=bool)
    while True:
        rich_users = np.bincount(users[keep], minlength=n_users) >= k
        rich_items = np.bincount(items[keep], minlength=n_items) >= k
        kept = keep & rich_users[users] & rich_items[items]
        if np.array_equal(kept, keep):
            return keep
        keep = kept
