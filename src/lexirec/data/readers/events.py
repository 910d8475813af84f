"""Reader of interaction events: checked, joined with the catalogue and sorted by user in DuckDB, as flat arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.core.progress import Progress
from lexirec.data.catalog import Catalog
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.id_spelling import (
    IdSpelling,
    check_distinct,
    key_of,
    other_spelling,
)
from lexirec.data.readers.list_rows import one_row_per_event
from lexirec.data.readers.sql_columns import ROW, Column, Source, unreadable_line
from lexirec.data.readers.text_format import TextFormat
from lexirec.data.readers.text_values import missing
from lexirec.data.readers.time_checks import doubtful_time, time_checks
from lexirec.data.readers.time_recognition import PER_SECOND, TimeUnit
from lexirec.data.readers.times import TimeOptions, TimeReading, read_times
from lexirec.data.readers.validation import MALFORMED_LINE, Check, Rejects, flag_bad_rows, handle_bad_rows
from lexirec.data.readers.where_sql import Selection, select
from lexirec.data.splits import HELD_BACK, TEST, TRAIN, VALIDATION

SPLIT_LABELS = {
    "train": TRAIN,
    "training": TRAIN,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "history": HELD_BACK,
}
"""Accepted names of the parts of a predefined split; "history" is in histories, but in no part."""
UNKNOWN = "unknown item"
_OPTIONAL = ("time", "position", "split")


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

    @property
    def times(self) -> TimeOptions:
        """How times are written."""
        return TimeOptions(self.time_unit, self.time_format, self.time_zone, self.format.null_words)


class Events(NamedTuple):
    """Events sorted by user, then by time (or position, or row of the file).

    `user_ids` str (users,) in order of first appearance, `offsets` int64 (users + 1,), and one entry per event in
    `items` int32, `times` float64 or None, `labels` int8 or None; `order` describes the sort order in words, `facts` is
    what else the protocol card says of the reading.
    """

    user_ids: NDArray[np.str_]
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.float64] | None
    labels: NDArray[np.int8] | None
    order: str
    facts: dict[str, str | int]


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
    roles = _roles(source, columns)
    work.connection.register("catalog_ids", pa.table({"id": catalog.table.column("item_id")}))
    entries = one_row_per_event(work, source, roles["item_id"], "catalog_ids")
    if entries is not None:
        source, roles = entries, _roles(entries, columns)
    with Progress(f"Reading {source.path.name}") as progress:
        progress.update("checking")
        reading = read_times(work, source, roles["time"], options.times) if "time" in roles else TimeReading("")
        mapped = (roles["time"].name, reading) if "time" in roles else None
        selection = Selection("true", {})
        if options.where is not None:
            selection = select(work, source, options.where, options.format.null_words, options.times, mapped)
        facts = selection.facts | _collect(
            work, source, _Query(roles, reading, selection.sql, options), catalog, rejects
        )
        progress.update("sorting")
        return _fetch(work, roles, reading, facts)


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
    lists = [column.name for name, column in roles.items() if column.is_list and name != "item_id"]
    if lists and not roles["item_id"].is_list:
        raise DataError(
            f"{source.path}: column '{lists[0]}' holds lists, of other lengths than the items; bring one row for each"
            " event"
        )
    return roles


@dataclass(frozen=True)
class _Query:
    """What is read of a file: the columns by role, the times among them, the condition on rows, and the options."""

    roles: Mapping[str, Column]
    times: TimeReading
    where: str
    options: EventOptions


def _collect(
    work: Workspace, source: Source, query: _Query, catalog: Catalog, rejects: Rejects
) -> dict[str, str | int]:
    """Create the table `events` (good and bad rows, items as numbers) and handle the bad rows.

    Returns:
        What the protocol card says about item ids.
    """
    roles, spellings = query.roles, query.options.match_ids
    if spellings:
        check_distinct(work, "catalog_ids", spellings, "the table of items")
    work.run(
        f"CREATE TEMP TABLE known AS SELECT {key_of('id', spellings)} AS key,"
        " CAST(row_number() OVER () - 1 AS INTEGER) AS number FROM catalog_ids"
    )
    raw_rows = (
        f"SELECT {ROW}, {unreadable_line(source)} AS unreadable, {roles['user_id'].text} AS user_id,"
        f" {roles['item_id'].text} AS item_id, {_optional(query)} FROM {source.scan} WHERE {query.where}"
    )
    # Item ids are kept only where a message needs them, of unknown items: numbers take a third of the memory.
    joined = (
        f"(SELECT {ROW}, unreadable, user_id, number AS item, CASE WHEN number IS NULL THEN item_id END AS item_given,"
        f" time, CASE WHEN {doubtful_time()} THEN time_given END AS time_given,"
        " position, CASE WHEN position IS NULL THEN position_given END AS position_given,"
        " split, CASE WHEN split IS NULL THEN split_given END AS split_given"
        f" FROM ({raw_rows}) LEFT JOIN known ON {key_of('item_id', spellings)} = known.key)"
    )
    checks = _checks(query, len(catalog))
    work.run(f"CREATE TEMP TABLE events AS {flag_bad_rows(joined, checks)}")
    number = [check.reason for check in checks].index(UNKNOWN)
    unknown = f"(SELECT item_given AS id, count(*) AS n FROM events WHERE bad = {number} GROUP BY 1)"
    hint = other_spelling(work, unknown, "catalog_ids", spellings)
    if hint:
        checks = [
            replace(each, allowed=f"{each.allowed}; {hint}") if each.reason == UNKNOWN else each for each in checks
        ]
    handle_bad_rows(work, source, "events", checks, rejects)
    return {"unknown_ids": hint} if hint else {}


def _optional(query: _Query) -> str:
    """Return SQL for time, position and split, each with its text in `…_given`."""
    parts = []
    for name, kind in (("time", "DOUBLE"), ("position", "DECIMAL(38, 9)"), ("split", "TINYINT")):
        column = query.roles.get(name)
        if column is None:
            parts.append(f"CAST(NULL AS {kind}) AS {name}, NULL AS {name}_given")
            continue
        value = query.times.sql
        if name == "split":
            cases = " ".join(f"WHEN '{word}' THEN {label}" for word, label in SPLIT_LABELS.items())
            value = f"CAST(CASE lower(trim({column.text})) {cases} END AS TINYINT)"
        elif name == "position":  # decimals: numbers of 19 digits, as ids that count have, are no DOUBLE
            value = f"TRY_CAST({column.sql if column.is_number else column.text} AS {kind})"
        parts.append(f"{value} AS {name}, {column.text} AS {name}_given")
    return ", ".join(parts)


def _checks(query: _Query, n_items: int) -> list[Check]:
    roles, words = query.roles, query.options.format.null_words
    user, item = roles["user_id"].name, roles["item_id"].name
    checks = [
        MALFORMED_LINE,
        Check("empty user id", missing("user_id", words), user, "user_id", "every event needs a user"),
        Check(
            "empty item id",
            f"item IS NULL AND {missing('item_given', words)}",
            item,
            "item_given",
            "every event needs an item",
        ),
        Check(UNKNOWN, "item IS NULL", item, "item_given", f"allowed are the {n_items:,} ids of the catalog"),
    ]
    if "time" in roles:
        checks += time_checks(roles["time"].name, PER_SECOND[query.options.time_unit], query.times.words)
    if "position" in roles:
        checks.append(
            Check(
                "no number",
                "position IS NULL",
                roles["position"].name,
                "coalesce(position_given, '')",
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


def _fetch(work: Workspace, roles: Mapping[str, Column], times: TimeReading, facts: dict[str, str | int]) -> Events:
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
    sort_order = "file order"
    if order:
        words = f" ({times.words})" if order == "time" and times.words else ""
        sort_order = f"by column '{roles[order].name}'{words}, ties keep file order"
    return Events(user_ids, offsets, arrays["item"], arrays.get("time"), arrays.get("split"), sort_order, facts)


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
