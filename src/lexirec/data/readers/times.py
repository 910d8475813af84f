"""Reading of times: the values of a column decide how it is written, and every row is read in that one way.

Numbers are seconds (or the unit that is set) since 1970; text is one of the formats of
`lexirec.data.readers.time_formats`. What cannot be decided is refused, with an example and what to set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import duckdb

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.sql_columns import ROW, Column, Source, literal
from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.data.readers.time_advice import SPREADSHEET, setting
from lexirec.data.readers.time_formats import (
    FIRST_TWO,
    ISO,
    TimeFormat,
    fast_seconds,
    most_frequent,
    seconds_of,
)
from lexirec.data.readers.time_recognition import (
    PER_SECOND,
    SAMPLE,
    Recognised,
    TimeUnit,
    areas_in,
    filled,
    recognise,
)
from lexirec.data.readers.time_zones import check_zone, timestamp_in_zone

SAMPLE_SIZE = 20_000
"""Values that the format is recognised by; only the order of day and month takes all values."""
CLEAR = 0.98
"""Share of the first values from which on no others are looked at."""
_FEW = 200


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


def read_times(work: Workspace, source: Source, column: Column, options: TimeOptions) -> TimeReading:
    """Recognise how a column of times is written, and return how to read it.

    Raises:
        DataError: The values are no times, or can be read in several ways; one line with an example and what to set.
    """
    if options.unit not in PER_SECOND:
        raise DataError(f"time_unit is '{options.unit}'; allowed are {', '.join(PER_SECOND)}.")
    options = replace(options, zone=check_zone(work, options.zone))
    if is_typed(column):
        return _typed(column, options.zone)
    if options.format is not None:
        return given_format(work, column.text, options.format, options.zone)
    found = Recognised()
    for whole in (False, True):  # the first rows first: only doubt is worth a scan of the whole file
        sample_values(work, source, column, options.null_words, whole=whole)
        found = recognise(work, options.zone, (options.unit,))
        if found.share >= CLEAR and not found.problem:
            break
    return settle(work, source, column, found, options)


def sample_values(
    work: Workspace, source: Source, column: Column, null_words: tuple[str, ...], *, whole: bool = True
) -> None:
    """Fill the table `time_sample` with values of a column: of the whole file, or the first ones."""
    order = f"ORDER BY hash({ROW})" if whole else ""
    work.run(
        f"CREATE OR REPLACE TEMP TABLE {SAMPLE} AS SELECT t FROM (SELECT {ROW}, {column.text} AS t FROM {source.scan})"
        f" WHERE {filled('t', null_words)} {order} LIMIT {SAMPLE_SIZE}"
    )


def is_typed(column: Column) -> bool:
    """Return whether the file itself says that a column holds dates or times."""
    return column.type.startswith(("TIMESTAMP", "DATE"))


def _typed(column: Column, zone: str) -> TimeReading:
    if "TZ" in column.type or "WITH TIME ZONE" in column.type:
        return TimeReading(f"epoch(CAST({column.sql} AS TIMESTAMPTZ))")
    return TimeReading(timestamp_in_zone(column.sql, zone), "" if zone == "UTC" else f"in {zone}")


def given_format(work: Workspace, text: str, format: str, zone: str) -> TimeReading:
    """Return how to read a text in a format of `strptime`, or as days of a spreadsheet.

    Raises:
        DataError: The format is none.
    """
    words = format if zone == "UTC" else f"{format}, in {zone}"
    if format == SPREADSHEET:
        days = f"TRY_CAST({text} AS DOUBLE)"
        whole = f"make_timestamp(CAST(round(({days} - 25569) * 86400e6) AS BIGINT))"
        return TimeReading(timestamp_in_zone(f"CASE WHEN {days} BETWEEN 1 AND 1e6 THEN {whole} END", zone), words)
    try:
        work.rows(f"SELECT try_strptime('', {literal(format)})")
    except duckdb.Error as error:
        raise DataError(
            f"time_format is '{format}'; allowed are the codes of strptime, such as \"%d.%m.%Y %H:%M:%S\", and"
            f' "{SPREADSHEET}" ({one_line(error)}).'
        ) from None
    if re.fullmatch(r"(%[dmyYHMS])+", format):  # digits alone: numbers have lost a leading zero
        width = sum(4 if code == "Y" else 2 for code in format[1::2])
        digits = f"regexp_extract({text}, '^\\s*(\\d+)(?:\\.0*)?\\s*$', 1)"
        text = f"CASE WHEN length({digits}) BETWEEN {width - 1} AND {width} THEN lpad({digits}, {width}, '0') END"
    return TimeReading(fast_seconds(text, format, zone), words)


def settle(work: Workspace, source: Source, column: Column, found: Recognised, options: TimeOptions) -> TimeReading:
    """Return how to read a column of which the sample in the table `time_sample` was recognised.

    Raises:
        DataError: The values can be read in several ways, or in none.
    """
    if found.problem:
        raise DataError(f"{source.path}, column '{column.name}': {found.problem}.")
    since = column.number()
    if (per_second := PER_SECOND[options.unit]) != 1:
        since = f"({since} / {per_second})"
    if not found.formats:  # numbers, or nothing: then every row is said to be no time
        dates = "" if column.is_number else f", {seconds_of(column.text, ISO, options.zone)}"
        return TimeReading(f"coalesce({since}{dates})")
    format = found.formats[0]
    if len(found.formats) == 2:
        format = _day_or_month(work, source, column, found.formats)
    areas = areas_in(work, format, f"(SELECT {column.text} AS t FROM {source.scan})", "t") if found.areas else ()
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
    some = [text for (text,) in work.rows(f"SELECT t FROM {SAMPLE} ORDER BY hash(t) LIMIT {_FEW}")]
    fast = most_frequent(some, format.dates)
    if fast is None:
        return None
    ((same,),) = work.rows(
        "SELECT bool_and(abs(f - s) < 1e-6) FILTER (f IS NOT NULL) FROM (SELECT"
        f" {fast_seconds('t', fast, zone)} AS f, {seconds_of('t', format, zone, areas)} AS s FROM {SAMPLE})"
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
