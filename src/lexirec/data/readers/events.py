"""Reader of interaction events: checked, joined with the catalogue and sorted by user in DuckDB, as flat arrays."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.core.progress import Progress
from lexirec.data.catalog import Catalog
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import ROW, Column, Source, unreadable_line
from lexirec.data.readers.text_format import TextFormat
from lexirec.data.readers.validation import MALFORMED_LINE, Check, Rejects, flag_bad_rows, handle_bad_rows
from lexirec.data.splits import TEST, TRAIN, VALIDATION

TimeUnit = Literal["s", "ms", "us", "ns"]

PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EARLIEST = 631_152_000
"""1990-01-01: earlier times are mistakes, or counters, which belong in `position`."""
SPLIT_LABELS = {
    "train": TRAIN,
    "training": TRAIN,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
"""Accepted names of the parts of a predefined split."""
_OPTIONAL = ("time", "position", "split")

IdSpelling = Literal["blanks", "case", "decimals", "leading-zeros"]
"""A difference in spelling that ids of the two tables may have and still agree."""


@dataclass(frozen=True)
class EventOptions:
    """How a table of events is read.

    Attributes:
        time_unit: Unit of numeric times.
        time_format: Format of times in text, as `strptime` has it; None to recognise the usual ones.
        time_zone: Zone of times in text that name none, such as "Europe/Berlin".
        where: Condition over the file's own columns that an event must meet to count; None for all.
        match_ids: Differences in spelling that item ids of the two tables may have.
        format: How a delimited text file is written.
    """

    time_unit: TimeUnit = "s"
    time_format: str | None = None
    time_zone: str = "UTC"
    where: str | None = None
    match_ids: tuple[IdSpelling, ...] = ()
    format: TextFormat = field(default_factory=TextFormat)


class Events(NamedTuple):
    """Events sorted by user, then by time (or position, or row of the file).

    `user_ids` str (users,) in order of first appearance, `offsets` int64 (users + 1,), and one entry per event in
    `items` int32, `times` float64 or None, `labels` int8 or None; `order` describes the sort order in words.
    """

    user_ids: NDArray[np.str_]
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.float64] | None
    labels: NDArray[np.int8] | None
    order: str


def read_events(
    work: Workspace,
    source: Source,
    catalog: Catalog,
    columns: Mapping[str, str] | None,
    rejects: Rejects,
    options: EventOptions,
) -> Events:
    """Read the events of one file; checks, join and sort run in the workspace, which spills to disk.

    Raises:
        DataError: A column is missing or a row is bad (see `lexirec.data.readers.validation`).
    """
    if options.time_unit not in PER_SECOND:
        raise DataError(f"time_unit is '{options.time_unit}'; allowed are {', '.join(PER_SECOND)}.")
    roles = _roles(source, columns)
    with Progress(f"Reading {source.path.name}") as progress:
        progress.update("checking")
        _collect(work, source, roles, catalog, rejects, PER_SECOND[options.time_unit])
        progress.update("sorting")
        return _fetch(work, roles)


def _roles(source: Source, columns: Mapping[str, str] | None) -> dict[str, Column]:
    """Return role -> column for user_id, item_id and those of time, position and split that the file has."""
    allowed = ("user_id", "item_id", *_OPTIONAL)
    for ours in columns or {}:
        if ours not in allowed:
            raise DataError(f"{source.path}: columns names '{ours}'; interactions have {', '.join(allowed)}.")
    roles = {name: source.column(name, columns) for name in ("user_id", "item_id")}
    for name in _OPTIONAL:
        mapped = (columns or {}).get(name)
        if mapped or (mapped is None and name in source.columns):
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
    """Create the table `events` (good and bad rows, items as numbers) and handle the bad rows."""
    work.connection.register("catalog_ids", pa.table({"id": catalog.table.column("item_id")}))
    work.run(
        "CREATE TEMP TABLE known AS SELECT id, CAST(row_number() OVER () - 1 AS INTEGER) AS number FROM catalog_ids"
    )
    raw_rows = (
        f"SELECT {ROW}, {unreadable_line(source)} AS unreadable, {roles['user_id'].text} AS user_id,"
        f" {roles['item_id'].text} AS item_id, {_optional(roles, per_second)} FROM {source.scan}"
    )
    # Item ids are kept only where a message needs them, of unknown items: numbers take a third of the memory.
    joined = (
        f"(SELECT {ROW}, unreadable, user_id, number AS item, CASE WHEN number IS NULL THEN item_id END AS item_given,"
        f" time, CASE WHEN time IS NULL THEN time_given END AS time_given, position, split, position_given, split_given"
        f" FROM ({raw_rows}) LEFT JOIN known ON item_id = known.id)"
    )
    checks = _checks(roles, len(catalog), per_second)
    work.run(f"CREATE TEMP TABLE events AS {flag_bad_rows(joined, checks)}")
    handle_bad_rows(work, source, "events", checks, rejects)


def _optional(roles: Mapping[str, Column], per_second: int) -> str:
    """Return SQL for time, position and split, each with its text in `…_given` where it could not be parsed."""
    parts = []
    for name in ("time", "position", "split"):
        column = roles.get(name)
        if column is None:
            parts.append(f"CAST(NULL AS {'TINYINT' if name == 'split' else 'DOUBLE'}) AS {name}, NULL AS {name}_given")
        elif name == "split":
            cases = " ".join(f"WHEN '{word}' THEN {label}" for word, label in SPLIT_LABELS.items())
            label = f"CAST(CASE lower(trim({column.text})) {cases} END AS TINYINT)"
            parts.append(f"{label} AS split, CASE WHEN {label} IS NULL THEN {column.text} END AS split_given")
        else:
            number = column.number(per_second if name == "time" else 1)
            parts.append(f"{number} AS {name}, CASE WHEN ({number}) IS NULL THEN {column.text} END AS {name}_given")
    return ", ".join(parts)


def _checks(roles: Mapping[str, Column], n_items: int, per_second: int) -> list[Check]:
    user, item = roles["user_id"].name, roles["item_id"].name
    checks = [
        MALFORMED_LINE,
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
        checks += time_checks(roles["time"].name, per_second)
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
                'allowed are train, valid, validation and test (or map split = "" to ignore the column)',
            )
        )
    return checks


def time_checks(column: str, per_second: int) -> list[Check]:
    """Return the checks of a column `time` in seconds; `time_given` holds the text of times that cannot be parsed."""
    value = f"plain_number(time * {per_second})"
    seconds = "times are seconds since 1970 or dates such as 2014-07-01"
    counter = 'map a column that only orders events as "position"'
    units = [("nanoseconds", "ns", 1e17), ("microseconds", "us", 1e14), ("milliseconds", "ms", 1e11)]
    return [
        Check(
            "no time", "time IS NULL OR isnan(time)", column, "coalesce(time_given, CAST(time AS VARCHAR), '')", seconds
        ),
        Check("endless time", "isinf(time)", column, "CAST(time AS VARCHAR)", seconds),
        Check("negative time", "time < 0", column, value, f"{seconds}; {counter}"),
        Check("time before 1990", f"time < {EARLIEST}", column, value, f"{seconds}; {counter}"),
        *(
            Check(f"time in {name}", f"time >= {bound}", column, value, f'{seconds}; set time_unit = "{unit}"')
            for name, unit, bound in units
        ),
        Check(
            "time in the future",
            f"time > {time.time() + 86_400:.0f}",
            column,
            value,
            f"{seconds}, not later than today",
        ),
    ]


def _fetch(work: Workspace, roles: Mapping[str, Column]) -> Events:
    """Return the good rows, sorted by user and time, as arrays; DuckDB hands them over batch by batch."""
    work.run(
        f"CREATE TEMP TABLE users AS SELECT user_id, CAST(row_number() OVER (ORDER BY first) - 1 AS INTEGER) AS number"
        f" FROM (SELECT user_id, min({ROW}) AS first FROM events WHERE bad IS NULL GROUP BY user_id)"
    )
    order = next((name for name in ("time", "position") if name in roles), None)
    arrays = _sorted_columns(work, roles, f"number, {order}, {ROW}" if order else f"number, {ROW}")
    user_ids = _user_ids(work)
    offsets = np.zeros(len(user_ids) + 1, dtype=np.int64)
    np.cumsum(np.bincount(arrays["number"], minlength=len(user_ids)), out=offsets[1:])
    sort_order = f"by column '{roles[order].name}', ties keep file order" if order else "file order"
    return Events(user_ids, offsets, arrays["item"], arrays.get("time"), arrays.get("split"), sort_order)


def _user_ids(work: Workspace) -> NDArray[np.str_]:
    """Fetch the users' ids batch by batch, so that never all of them exist as Python strings."""
    ((n_users, longest),) = work.rows("SELECT count(*), max(length(user_id)) FROM users")
    user_ids = np.empty(n_users, dtype=f"<U{longest}")
    filled = 0
    for batch in work.batches("SELECT user_id FROM users ORDER BY number"):
        user_ids[filled : filled + batch.num_rows] = batch.column("user_id").to_pylist()
        filled += batch.num_rows
    return user_ids


def _sorted_columns(work: Workspace, roles: Mapping[str, Column], keys: str) -> dict[str, NDArray[Any]]:
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
    return arrays
