"""Columns of raw events: where ids, times and everything worth keeping stand in a file, and the SQL that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lexirec.core.errors import DataError
from lexirec.data.readers.sql_columns import Column, Source, literal, quoted
from lexirec.data.readers.time_checks import time_checks
from lexirec.data.readers.validation import MALFORMED_LINE, Check

Kind = Literal["text", "number", "flag"]

MISSING = ("", "nan", "none", "null", "na", "n/a")
"""Values in lower case that stand for no value where a number or a flag is expected."""
_WITH_OFFSET = "%Y-%m-%d %H:%M:%S %z"


@dataclass(frozen=True)
class Kept:
    """A column of the file that is kept beside ours: its name there, and what it holds.

    A value of a number or flag column that is none is a bad row, unless it stands for a missing value.
    """

    name: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Moment:
    """The column of times.

    Attributes:
        name: The column.
        per_second: Units of numbers in a second.
        formats: How times are written where they are neither numbers nor ISO 8601, as `strptime` has it.
    """

    name: str
    per_second: int = 1
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventColumns:
    """Which columns of a file hold what.

    Attributes:
        user: Column of user ids.
        item: Column of item ids.
        time: Column of times; None where there is none.
        kept: Our name -> column that is kept as it is, for the setting `where`.
    """

    user: str
    item: str
    time: Moment | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)


def need(source: Source, name: str) -> Column:
    """Return the column of that name.

    Raises:
        DataError: The file has none, so it is not of this data set, or of another release.
    """
    if name in source.columns:
        return source.columns[name]
    raise DataError(
        f"{source.path}: there is no column '{name}'; the columns are {source.column_names}. Files of this format have"
        " it, so this is another file, or one that was changed."
    )


def present(source: Source, kept: Mapping[str, Kept]) -> dict[str, Kept]:
    """Return the columns that the file has."""
    return {ours: column for ours, column in kept.items() if column.name in source.columns}


def seconds(column: Column, moment: Moment) -> str:
    """Return SQL for a time in seconds since 1970: NULL where the value is no time.

    A text with an offset or a zone is that moment; one without is UTC.
    """
    if column.type.startswith(("TIMESTAMP", "DATE")):
        return f"epoch({column.sql})"
    number = f"TRY_CAST({column.sql} AS DOUBLE)" + (f" / {moment.per_second}" if moment.per_second != 1 else "")
    if column.is_number:
        return number
    iso = f"epoch(TRY_CAST({column.text} AS TIMESTAMPTZ))"
    written = [f"epoch(try_strptime({column.text}, {literal(each)}))" for each in (_WITH_OFFSET, *moment.formats)]
    return f"coalesce({', '.join([number, iso, *written])})"


def kept_sql(column: Column, kind: Kind) -> str:
    """Return SQL for a kept value in its type; NULL where it is missing or of another type."""
    if column.is_list or kind == "text":
        return f"nullif({column.text}, '')" if not column.is_list else column.sql
    filled = f"CASE WHEN {is_missing(column.text)} THEN NULL ELSE {column.text} END"
    return f"TRY_CAST({filled} AS {'DOUBLE' if kind == 'number' else 'BOOLEAN'})"


def is_missing(text: str) -> str:
    """Return an SQL condition: true where a text is empty or stands for no value."""
    return f"lower(trim(coalesce({text}, ''))) IN ({', '.join(map(literal, MISSING))})"


def event_sql(source: Source, columns: EventColumns) -> tuple[dict[str, str], list[Check]]:
    """Return name -> SQL of the columns to read from the source's scan, and the checks of its rows.

    Kept columns are called `kept:NAME`, with `given:NAME` for the text of numbers and flags: a file's own names never
    meet the names of the checks.
    """
    user, item = need(source, columns.user), need(source, columns.item)
    selected = {"user_id": user.text, "item_id": item.text}
    checks = [MALFORMED_LINE, *id_checks(user.name, item.name)]
    if columns.time is not None:
        column = need(source, columns.time.name)
        value = seconds(column, columns.time)
        selected |= {"time": value, "time_given": f"CASE WHEN ({value}) IS NULL THEN {column.text} END"}
        checks += time_checks(column.name, columns.time.per_second)
    more, more_checks = kept_columns(source, columns.kept)
    return {**selected, **more}, [*checks, *more_checks]


def kept_columns(source: Source, kept_of: Mapping[str, Kept]) -> tuple[dict[str, str], list[Check]]:
    """Return the kept columns as `event_sql` does, and their checks."""
    selected: dict[str, str] = {}
    checks: list[Check] = []
    for ours, kept in kept_of.items():
        column = need(source, kept.name)
        selected[f"kept:{ours}"] = kept_sql(column, kept.kind)
        if kept.kind != "text" and not column.is_list and not column.is_number:
            selected[f"given:{ours}"] = f"CASE WHEN NOT {is_missing(column.text)} THEN {column.text} END"
            checks.append(_kept_check(ours, kept))
    return selected, checks


def id_checks(user: str, item: str) -> list[Check]:
    """Return the checks that user and item ids are there; arguments are the names in the file."""
    return [
        Check("empty user id", "trim(coalesce(user_id, '')) = ''", user, "user_id", "every event needs a user"),
        Check("empty item id", "trim(coalesce(item_id, '')) = ''", item, "item_id", "every event needs an item"),
    ]


def _kept_check(ours: str, kept: Kept) -> Check:
    value, given = quoted(f"kept:{ours}"), quoted(f"given:{ours}")
    word, allowed = ("number", "a number") if kept.kind == "number" else ("flag", "true or false")
    return Check(
        f"no {word}", f"{value} IS NULL AND {given} IS NOT NULL", kept.name, given, f"allowed is {allowed} or nothing"
    )
