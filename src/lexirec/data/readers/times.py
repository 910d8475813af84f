"""Recognition of times: the values of a column decide how it is written, and every row is read in that one way.

Numbers are seconds (or the unit that is set) since 1970; text is one of the formats of
`lexirec.data.readers.time_formats`. What cannot be decided is refused, with an example and what to set.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Literal

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.sql_columns import ROW, Column, Source, literal
from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.data.readers.text_values import missing
from lexirec.data.readers.time_advice import SPREADSHEET, digits_problem, other_problem, setting
from lexirec.data.readers.time_formats import (
    COMPACT,
    FIRST_TWO,
    ISO,
    ORDERED,
    PLAIN,
    TimeFormat,
    fast_seconds,
    most_frequent,
    seconds_of,
)
from lexirec.data.readers.time_zones import area_names, check_zone, timestamp_in_zone

TimeUnit = Literal["s", "ms", "us", "ns"]

PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EARLIEST = 631_152_000
"""1990-01-01: earlier times are mistakes, or counters, which belong in `position`."""
SAMPLE_SIZE = 20_000
"""Values that the format is recognised by; only the order of day and month takes all values."""
HALF = 0.5
"""Share of the values that must be times in one format for the column to be read in it."""
_FEW = 200
CLEAR = 0.98
"""Share of the first values from which on no others are looked at."""

_NO_DATE = "0000-00-00%"
"""Dates of MySQL that stand for none."""


def latest() -> float:
    """Return the latest plausible time, a day from now, in seconds since 1970."""
    return time.time() + 86_400


@dataclass(frozen=True)
class TimeOptions:
    """How times are written, as far as it is set: see `lexirec.data.loading.DataSettings`."""

    unit: TimeUnit = "s"
    format: str | None = None
    zone: str = "UTC"
    null_words: tuple[str, ...] = NULL_WORDS


@dataclass(frozen=True)
class TimeReading:
    """How one column of times is read.

    Attributes:
        sql: SQL for the seconds since 1970 of a row, DOUBLE, NULL where the value is no time.
        words: The format for the protocol card, such as "day.month.year"; "" for what needs no words.
    """

    sql: str
    words: str = ""


@dataclass(frozen=True)
class Recognised:
    """What a sample of values is.

    Attributes:
        formats: One format, two that only the order of day and month distinguishes, or none for numbers.
        share: Share of the filled values that are times in it.
        unit: Unit of numbers.
        problem: Why the values cannot be read, with an example and what to set; "" if they can.
        example: A value.
        areas: Names of zones in the values.
    """

    formats: tuple[TimeFormat, ...] = ()
    share: float = 0.0
    unit: TimeUnit = "s"
    problem: str = ""
    example: str = ""
    areas: tuple[str, ...] = ()


def filled(text: str, null_words: tuple[str, ...]) -> str:
    """Return an SQL condition: whether a text is a value, or stands for a missing one."""
    return f"(NOT {missing(text, null_words)} AND {text} NOT LIKE {literal(_NO_DATE)})"


def read_times(work: Workspace, source: Source, column: Column, options: TimeOptions) -> TimeReading:
    """Recognise how a column of times is written, and return how to read it.

    Raises:
        DataError: The values are no times, or can be read in several ways; one line with an example and what to set.
    """
    if options.unit not in PER_SECOND:
        raise DataError(f"time_unit is '{options.unit}'; allowed are {', '.join(PER_SECOND)}.")
    zone = check_zone(work, options.zone)
    options = replace(options, zone=zone)
    if is_typed(column):
        return _typed(column, zone)
    if options.format is not None:
        return given_format(work, column, options.format, zone)
    filled_values = f"(SELECT {ROW}, {column.text} AS t FROM {source.scan}) WHERE {filled('t', options.null_words)}"
    found = Recognised()
    for order in ("", f"ORDER BY hash({ROW})"):  # the first rows first: only doubt is worth a scan of the whole file
        work.run(
            f"CREATE OR REPLACE TEMP TABLE time_sample AS SELECT t FROM {filled_values} {order} LIMIT {SAMPLE_SIZE}"
        )
        found = recognise(work, zone, (options.unit,))
        if found.share >= CLEAR and not found.problem:
            break
    return settle(work, source, column, found, options)


def is_typed(column: Column) -> bool:
    """Return whether the file itself says that a column holds dates or times."""
    return column.type.startswith(("TIMESTAMP", "DATE"))


def _typed(column: Column, zone: str) -> TimeReading:
    if "TZ" in column.type or "WITH TIME ZONE" in column.type:
        return TimeReading(f"epoch(CAST({column.sql} AS TIMESTAMPTZ))")
    return TimeReading(timestamp_in_zone(column.sql, zone), "" if zone == "UTC" else f"in {zone}")


def given_format(work: Workspace, column: Column, format: str, zone: str) -> TimeReading:
    """Return how to read a column in a format of `strptime`, or as days of a spreadsheet.

    Raises:
        DataError: The format is none.
    """
    text = f"trim({column.text})"
    words = format if zone == "UTC" else f"{format}, in {zone}"
    if format == SPREADSHEET:
        days = column.number()
        whole = f"make_timestamp(CAST(round(({days} - 25569) * 86400e6) AS BIGINT))"
        return TimeReading(timestamp_in_zone(f"CASE WHEN {days} BETWEEN 1 AND 1e6 THEN {whole} END", zone), words)
    try:
        work.rows(f"SELECT try_strptime('', {literal(format)})")
    except Exception as error:
        raise DataError(
            f"time_format is '{format}'; allowed are the codes of strptime, such as \"%d.%m.%Y %H:%M:%S\", and"
            f' "{SPREADSHEET}" ({one_line(error)}).'
        ) from None
    if re.fullmatch(
        r"(%[dmyYHMS])+", format
    ):  # digits alone: numbers have lost a leading zero, and others are no times
        width = sum(4 if code == "Y" else 2 for code in format[1::2])
        digits = f"regexp_extract({text}, '^(\\d+)(?:\\.0*)?$', 1)"
        text = f"CASE WHEN length({digits}) BETWEEN {width - 1} AND {width} THEN lpad({digits}, {width}, '0') END"
    return TimeReading(fast_seconds(text, format, zone), words)


def recognise(work: Workspace, zone: str, units: tuple[TimeUnit, ...]) -> Recognised:
    """Recognise what the texts `t` of the table `time_sample` are; numbers in one of `units`."""
    families = [(format,) for format in (*PLAIN, COMPACT)] + [*ORDERED]
    matches = ", ".join(f"count(*) FILTER (regexp_full_match(t, {literal(each[0].pattern)}))" for each in families)
    ((n, numbers, example, *counts),) = work.rows(
        f"SELECT count(*), count(TRY_CAST(t AS DOUBLE)), min(t), {matches} FROM time_sample"
    )
    if not n:
        return Recognised()
    if numbers >= HALF * n:
        return _numbers(work, zone, units, n)
    best, count = max(zip(families, counts, strict=True), key=lambda pair: pair[1])
    if count < HALF * n:
        (example, problem) = other_problem(work)
        return Recognised(share=max(numbers, count) / n, problem=problem, example=example)
    areas = _areas(work, best[0], "time_sample", "t")
    parsed = [f"({seconds_of('t', each, zone, areas)}) AS s{number}" for number, each in enumerate(best)]
    some = " OR ".join(f"s{number} IS NOT NULL" for number in range(len(best)))
    ((count, bad),) = work.rows(
        f"SELECT count(*) FILTER ({some}), min(t) FILTER (NOT ({some})) FROM (SELECT t, {', '.join(parsed)}"
        " FROM time_sample)"
    )
    problem = "" if count >= HALF * n else other_problem(work, bad)[1]
    return Recognised(best, count / n, "s", problem, example, areas)


def _numbers(work: Workspace, zone: str, units: tuple[TimeUnit, ...], n: int) -> Recognised:
    """Recognise numbers: times since 1970, dates written in digits, or neither."""
    bounds = f"BETWEEN {EARLIEST} AND {latest():.0f}"
    counts = ", ".join(f"count(*) FILTER (x / {PER_SECOND[unit]} {bounds})" for unit in units)
    ((example, compact, *since),) = work.rows(
        f"SELECT min(t), count(*) FILTER (s {bounds}), {counts} FROM"
        f" (SELECT t, TRY_CAST(t AS DOUBLE) AS x, ({seconds_of('t', COMPACT, zone)}) AS s FROM time_sample)"
    )
    count, unit = max(zip(since, units, strict=True), key=lambda pair: pair[0])
    if count >= HALF * n:
        return Recognised((), count / n, unit, digits_problem(work, n, PER_SECOND[unit]), example)
    if compact >= HALF * n:
        return Recognised((COMPACT,), compact / n, "s", "", example)
    return Recognised((), count / n, unit, digits_problem(work, n, None), example)


def _areas(work: Workspace, format: TimeFormat, table: str, text: str) -> tuple[str, ...]:
    """Return the names of zones, such as "Europe/Berlin", in the texts of a table."""
    groups = ", ".join(literal(part) for part in format.parts)
    word = f"regexp_extract({text}, {literal(f'^{format.pattern}$')}, [{groups}]).z"
    words = {row[0] for row in work.rows(f"SELECT DISTINCT {word} AS z FROM {table} WHERE contains({text}, '/')")}
    return tuple(name for name in area_names(work) if name in words) if any("/" in str(each) for each in words) else ()


def settle(work: Workspace, source: Source, column: Column, found: Recognised, options: TimeOptions) -> TimeReading:
    """Return how to read a column of which a sample was recognised (it is still in the table `time_sample`).

    Raises:
        DataError: The values can be read in several ways, or in none.
    """
    if found.problem:
        raise DataError(f"{source.path}, column '{column.name}': {found.problem}.")
    since = column.number()
    if (per_second := PER_SECOND[options.unit]) != 1:
        since = f"({since} / {per_second})"
    if not found.formats:  # numbers, or nothing: then every row is told to be no time
        return TimeReading(
            since if column.is_number else f"coalesce({since}, {seconds_of(column.text, ISO, options.zone)})"
        )
    format = found.formats[0]
    if len(found.formats) == 2:
        format = _day_or_month(work, source, column, found.formats)
    areas = _areas(work, format, f"(SELECT {column.text} AS t FROM {source.scan})", "t") if found.areas else ()
    ways = [seconds_of(column.text, format, options.zone, areas)]
    if (fast := _fast(work, format, options.zone, areas)) is not None:
        ways.insert(0, fast_seconds(column.text, fast, options.zone))
    if format is ISO:
        ways.append(since)
    words = [] if format is ISO else [format.words]
    words += [] if options.zone == "UTC" else [f"in {options.zone} where no zone is given"]
    return TimeReading(f"coalesce({', '.join(ways)})", ", ".join(words))


def _fast(work: Workspace, format: TimeFormat, zone: str, areas: tuple[str, ...]) -> str | None:
    """Return a format of `strptime` that reads most of the sample, and as the slower pattern does; None without one."""
    some = [text for (text,) in work.rows(f"SELECT t FROM time_sample ORDER BY hash(t) LIMIT {_FEW}")]
    fast = most_frequent(some, format.dates)
    if fast is None:
        return None
    ((same,),) = work.rows(
        "SELECT bool_and(abs(f - s) < 1e-6) FILTER (f IS NOT NULL) FROM (SELECT"
        f" {fast_seconds('t', fast, zone)} AS f, {seconds_of('t', format, zone, areas)} AS s FROM time_sample)"
    )
    return fast if same else None


def _day_or_month(work: Workspace, source: Source, column: Column, formats: tuple[TimeFormat, ...]) -> TimeFormat:
    """Return the format, of two, that the numbers over 12 in a whole column fit; the first has the day first."""
    two = f"regexp_extract(t, {literal(FIRST_TWO)}, ['a', 'b'])"
    ((first, second, example),) = work.rows(
        "SELECT min(t) FILTER (a > 12 AND b <= 12), min(t) FILTER (b > 12 AND a <= 12), min(t) FROM"
        f" (SELECT t, TRY_CAST(m.a AS INTEGER) AS a, TRY_CAST(m.b AS INTEGER) AS b FROM"
        f" (SELECT t, {two} AS m FROM (SELECT {column.text} AS t FROM {source.scan}) WHERE regexp_full_match(t,"
        f" {literal(formats[0].pattern)})))"
    )
    if first is None and second is None:
        raise DataError(
            f"{source.path}, column '{column.name}': '{example}' may be {formats[0].words} or {formats[1].words}, and"
            f" no value has a day over 12 that would tell; {setting(work, formats[0].dates + formats[1].dates)}."
        )
    if first is not None and second is not None:
        raise DataError(
            f"{source.path}, column '{column.name}': some times are {formats[0].words}, such as '{first}', others"
            f" {formats[1].words}, such as '{second}'; write them in one way, or"
            f" {setting(work, formats[0].dates + formats[1].dates)}."
        )
    return formats[0] if first is not None else formats[1]
