"""Recognition of times in a sample of values: what the values of a column are, and why they cannot be read if so."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.data.readers.text_values import missing
from lexirec.data.readers.time_advice import digits_problem, setting, text_problem
from lexirec.data.readers.time_formats import COMPACT, ISO, ORDERED, PLAIN, TimeFormat, seconds_of
from lexirec.data.readers.time_zones import area_names

TimeUnit = Literal["s", "ms", "us", "ns"]

PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EARLIEST = 631_152_000
"""1990-01-01: earlier times are mistakes, or counters, which belong in `position`."""
HALF = 0.5
"""Share of the values that must be times in one format for the column to be read in it."""

SAMPLE = "time_sample"
"""Table of the sampled texts, in a column `t`."""
_NO_DATE = "0000-00-00%"
"""Dates of MySQL that stand for none."""
_YEAR_DAY_MONTH = r"\s*\d{4}[-/.](1[3-9]|2\d|3[01])[-/.](0?[1-9]|1[0-2])(\D.*)?"


def latest() -> float:
    """Return the latest plausible time, a day from now, in seconds since 1970."""
    return time.time() + 86_400


def filled(text: str, null_words: tuple[str, ...] = NULL_WORDS) -> str:
    """Return an SQL condition: whether a text is a value, or stands for a missing one."""
    return f"(NOT {missing(text, null_words)} AND {text} NOT LIKE {literal(_NO_DATE)})"


@dataclass(frozen=True)
class Recognised:
    """What a sample of values is.

    Attributes:
        kind: "text" (times in text), "numbers" (times since 1970), "counts" (other numbers), "unclear" (dates of which
            the order is not clear), "dated" (text with a year and numbers), "clock" (times of a day), "other", or ""
            where there are no values.
        share: Share of the values that are times of that kind.
        formats: The format of text, or two that only the order of day and month distinguishes.
        unit: Unit of numbers.
        problem: Why the values cannot be read as times, with an example and what to set; "" if they can.
        example: A value, one that is no time where there are both.
        areas: Names of zones, such as "Europe/Berlin", in the values.
    """

    kind: Literal["text", "numbers", "counts", "unclear", "dated", "clock", "other", ""] = ""
    share: float = 0.0
    formats: tuple[TimeFormat, ...] = ()
    unit: TimeUnit = "s"
    problem: str = ""
    example: str = ""
    areas: tuple[str, ...] = ()


def recognise(work: Workspace, zone: str, units: tuple[TimeUnit, ...]) -> Recognised:
    """Recognise what the texts `t` of the table `time_sample` are; numbers in one of `units`."""
    families = [(format,) for format in (*PLAIN, COMPACT)] + [*ORDERED]
    matches = ", ".join(f"count(*) FILTER (regexp_full_match(t, {literal(each[0].pattern)}))" for each in families)
    ((n, numbers, *counts),) = work.rows(f"SELECT count(*), count(TRY_CAST(t AS DOUBLE)), {matches} FROM {SAMPLE}")
    if not n:
        return Recognised()
    best, count = max(zip(families, counts, strict=True), key=lambda pair: pair[1])
    if numbers >= HALF * n and (numbers > count or best[0] is COMPACT):
        return _numbers(work, zone, units, n)
    if count < HALF * n:
        kind, example, problem = text_problem(work)
        return Recognised(kind, max(numbers, count) / n, problem=problem, example=example)
    return _text(work, zone, best, n)


def _text(work: Workspace, zone: str, formats: tuple[TimeFormat, ...], n: int) -> Recognised:
    areas = areas_in(work, formats[0], SAMPLE, "t")
    parsed = [f"({seconds_of('t', each, zone, areas)}) AS s{number}" for number, each in enumerate(formats)]
    some = " OR ".join(f"s{number} IS NOT NULL" for number in range(len(formats)))
    swapped = f"regexp_full_match(t, {literal(_YEAR_DAY_MONTH)})"
    ((count, example, bad, day_first),) = work.rows(
        f"SELECT count(*) FILTER ({some}), min(t), min(t) FILTER (NOT ({some})), min(t) FILTER ({swapped})"
        f" FROM (SELECT t, {', '.join(parsed)} FROM {SAMPLE})"
    )
    problem = ""
    if formats[0] is ISO and day_first is not None:
        problem = f"'{day_first}' has the day before the month; {setting(work, ('%Y-%d-%m', '%Y/%d/%m', '%Y.%d.%m'))}"
    elif count < HALF * n:
        problem = text_problem(work, bad)[2]
    return Recognised("text", count / n, formats, "s", problem, bad or example, areas)


def _numbers(work: Workspace, zone: str, units: tuple[TimeUnit, ...], n: int) -> Recognised:
    """Recognise numbers: times since 1970, dates written in digits, or neither."""
    bounds = f"BETWEEN {EARLIEST} AND {latest():.0f}"
    counts = ", ".join(f"count(*) FILTER (x / {PER_SECOND[unit]} {bounds})" for unit in units)
    ((example, other, compact, *since),) = work.rows(
        f"SELECT min(t), min(t) FILTER (x IS NULL), count(*) FILTER (s {bounds}), {counts} FROM"
        f" (SELECT t, TRY_CAST(t AS DOUBLE) AS x, ({seconds_of('t', COMPACT, zone)}) AS s FROM {SAMPLE})"
    )
    count, unit = max(zip(since, units, strict=True), key=lambda pair: pair[0])
    if count >= HALF * n:
        return Recognised("numbers", count / n, (), unit, digits_problem(work, n, PER_SECOND[unit]), other or example)
    if compact >= HALF * n:
        return Recognised("text", compact / n, (COMPACT,), "s", "", other or example)
    return Recognised("counts", count / n, (), unit, digits_problem(work, n, None), example)


def areas_in(work: Workspace, format: TimeFormat, table: str, text: str) -> tuple[str, ...]:
    """Return the names of zones, such as "Europe/Berlin", in the texts of a table."""
    groups = ", ".join(literal(part) for part in format.parts)
    word = f"regexp_extract({text}, {literal(f'^{format.pattern}$')}, [{groups}]).z"
    words = {str(row[0]) for row in work.rows(f"SELECT DISTINCT {word} FROM {table} WHERE contains({text}, '/')")}
    return tuple(name for name in area_names(work) if name in words) if any("/" in each for each in words) else ()
