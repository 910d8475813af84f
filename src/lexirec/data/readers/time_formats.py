"""Formats of times in text: a pattern for each and the SQL that makes seconds since 1970 of its parts.

The parts are y (year), n (number of the month) or b (its English name), d (day), h, i, s (hour, minute, second), f
(digits of the fraction), p (a or p of AM and PM), o (offset from UTC) and z (name of the zone).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.time_zones import timestamp_in_zone, with_zone

_BLANK = r"[\s\x{a0}\x{202f}]"
_WEEKDAY = rf"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?{_BLANK}+)?"
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(\d{1,2})"
_YEAR = r"(\d{4})"
_CLOCK = rf"(\d{{1,2}}):(\d{{2}})(?::(\d{{2}})(?:[.,](\d{{1,9}}))?)?(?:{_BLANK}*([ap])\.?m\b\.?)?"
_ZONE = (
    rf"(?:{_BLANK}*(?:(?:utc|gmt)?([+-]\d{{1,2}}(?::?\d{{2}})?)|([a-z][a-z0-9_+/-]*))"
    rf"{_BLANK}*(?:\[[^\]]*\]|\([^)]*\))?)?"
)
_GAP = rf"(?:t|{_BLANK}*,{_BLANK}*|{_BLANK}+(?:at{_BLANK}+)?)"
_TIME_PARTS = ("h", "i", "s", "f", "p", "o", "z")

TAILS = (
    *("", " %H:%M:%S", "T%H:%M:%S", " %H:%M", "T%H:%M", " %H:%M:%S.%f", "T%H:%M:%S.%f", " %H:%M:%S,%f"),
    *(" %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S", ", %I:%M %p", ", %I:%M:%S %p"),
    *("T%H:%M:%SZ", "T%H:%M:%S.%fZ", " %H:%M:%S UTC", "T%H:%M:%S%z", "T%H:%M:%S.%f%z", " %H:%M:%S%z", " %H:%M:%S %z"),
)
"""How the time of day follows a date, in the words of `strptime`."""
_IN_UTC = ("Z", " UTC")


@dataclass(frozen=True)
class TimeFormat:
    """One way to write times.

    Attributes:
        words: What comes in which order, for messages.
        pattern: RE2 pattern of a whole value, case ignored.
        parts: Parts of the groups of the pattern, in their order.
        dates: The date in the words of `strptime`, where that reads the same as the pattern but faster.
    """

    words: str
    pattern: str
    parts: tuple[str, ...]
    dates: tuple[str, ...]


def _dated(words: str, date: str, parts: str, *dates: str, gap: str = _GAP) -> TimeFormat:
    pattern = rf"(?i)\s*\[?{_WEEKDAY}{date}(?:{gap}{_CLOCK}{_ZONE})?\]?\s*"
    return TimeFormat(words, pattern, (*parts, *_TIME_PARTS), dates)


ISO = _dated("year-month-day", rf"{_YEAR}[-/.](\d{{1,2}})[-/.]{_DAY}", "ynd", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d")
COMPACT = TimeFormat(
    "yearmonthday",
    rf"(?i)\s*{_YEAR}(\d{{2}})(\d{{2}})(?:[t ]?(\d{{2}})(?::?(\d{{2}})(?::?(\d{{2}})(?:[.,](\d{{1,9}}))?)?)?{_ZONE})?"
    r"(?:\.0*)?\s*",
    ("y", "n", "d", "h", "i", "s", "f", "o", "z"),
    (),
)
_CTIME = TimeFormat(
    "month day time year",
    rf"(?i)\s*{_WEEKDAY}{_MONTH}{_BLANK}+{_DAY},?{_BLANK}+{_CLOCK}{_ZONE}{_BLANK}+{_YEAR}\s*",
    ("b", "d", *_TIME_PARTS, "y"),
    (),
)
PLAIN = (
    ISO,
    _dated(
        "month day, year",
        rf"{_MONTH}{_BLANK}*-?{_DAY}(?:st|nd|rd|th)?{_BLANK}*[,-]?{_BLANK}*{_YEAR}",
        "bdy",
        "%b %d, %Y",
    ),
    _dated(
        "day month year",
        rf"{_DAY}(?:st|nd|rd|th|\.)?{_BLANK}*[-/.]?(?:of{_BLANK}+)?{_MONTH}{_BLANK}*[-/,]?{_BLANK}*{_YEAR}",
        "dby",
        *("%d %b %Y", "%d-%b-%Y"),
        gap=f"(?::|{_GAP})",
    ),
    _dated("year month day", rf"{_YEAR}{_BLANK}*[-/]?{_MONTH}{_BLANK}*[-/]?{_DAY}", "ybd", "%Y-%b-%d"),
    _CTIME,
    # The comma before the year is American, whatever the numbers (reviewTime of Amazon).
    _dated("month day, year", rf"(\d{{1,2}}){_BLANK}+{_DAY},{_BLANK}*{_YEAR}", "ndy", "%m %d, %Y"),
)
"""Formats whose order is clear, whatever the numbers."""


def _ordered(mark: str) -> tuple[TimeFormat, TimeFormat]:
    two = rf"(\d{{1,2}})[{mark}](\d{{1,2}})[{mark}]{_YEAR}"
    first = _dated(f"day{mark}month{mark}year", two, "dny", f"%d{mark}%m{mark}%Y")
    return first, _dated(f"month{mark}day{mark}year", two, "ndy", f"%m{mark}%d{mark}%Y")


ORDERED = tuple(_ordered(mark) for mark in "/.-")
"""Formats whose first two numbers are day and month or month and day: only numbers over 12 tell."""

FIRST_TWO = rf"(?i)^\s*\[?{_WEEKDAY}(\d{{1,2}})[-/.](\d{{1,2}})[-/.]\d{{4}}"
"""Pattern of the start of `ORDERED` formats: the two numbers."""


def seconds_of(text: str, format: TimeFormat, zone: str, areas: tuple[str, ...] = ()) -> str:
    """Return SQL for the seconds since 1970 of a text in a format, NULL where it is none or no such time exists.

    24:00 is midnight of the next day; a leap second counts as the second after it.

    Args:
        text: SQL of the text.
        format: The format.
        zone: Zone of times that name none.
        areas: Names of zones, such as "Europe/Berlin", that are understood in texts.
    """
    groups = ", ".join(literal(part) for part in format.parts)
    whole = f"regexp_extract({text}, {literal(f'^{format.pattern}$')}, [{groups}])"
    month = (
        "CAST((strpos('janfebmaraprmayjunjulaugsepoctnovdec', lower(m.b[:3])) + 2) // 3 AS VARCHAR)"
        if "b" in format.parts
        else "m.n"
    )
    number = {part: f"coalesce(TRY_CAST(m.{part} AS INTEGER), 0)" for part in "his"}
    hour = number["h"]
    clock = f"{hour} < 24 OR ({hour} = 24 AND {number['i']} = 0 AND {number['s']} = 0)"
    if "p" in format.parts:
        clock = f"CASE WHEN m.p = '' THEN {clock} ELSE {hour} BETWEEN 1 AND 12 END"
        half = f"{hour} % 12 + CASE lower(m.p) WHEN 'p' THEN 12 ELSE 0 END"
        hour = f"CASE WHEN m.p = '' THEN {hour} ELSE {half} END"
    local = (
        f"CASE WHEN ({clock}) AND {number['i']} < 60 AND {number['s']} <= 60 THEN"
        f" epoch(TRY_CAST(m.y || '-' || {month} || '-' || m.d AS DATE)) + ({hour}) * 3600 + {number['i']} * 60"
        f" + {number['s']} + coalesce(TRY_CAST('0.' || m.f AS DOUBLE), 0) END"
    )
    # Two steps of one row each: the parts are extracted once, and the clock's time is computed once.
    parts = f"list_transform([{whole}], lambda m: {{'l': {local}, 'o': m.o, 'z': m.z}})"
    return f"list_transform({parts}, lambda c: {with_zone('c.l', 'c.o', 'c.z', zone, areas)})[1]"


def fast_seconds(text: str, strptime: str, zone: str) -> str:
    """Return SQL like `seconds_of` for a format of `strptime`: ten times as fast, but without the exceptions."""
    if "%z" in strptime.lower():
        return f"epoch(CAST(try_strptime({text}, {literal(strptime)}) AS TIMESTAMPTZ))"
    return timestamp_in_zone(
        f"try_strptime({text}, {literal(strptime)})", "UTC" if strptime.endswith(_IN_UTC) else zone
    )


_CODES = {
    "%y": r"\d\d",
    "%Y": r"\d{4}",
    "%m": r"\d{1,2}",
    "%d": r"\d{1,2}",
    "%b": r"[A-Za-z]{3}",
    "%z": r"[+-]\d\d:?\d\d",
    "%H": r"\d{1,2}",
    "%I": r"\d{1,2}",
    "%M": r"\d\d",
    "%S": r"\d\d",
    "%f": r"\d{1,6}",
    "%p": "[AaPp][Mm]",
}


def looks_like(format: str) -> re.Pattern[str]:
    """Return a pattern of the texts that a format of `strptime` reads, as far as numbers of digits tell."""
    escaped = re.escape(format).replace("\\%", "%")
    return re.compile(re.sub(r"%[A-Za-z]", lambda code: _CODES[code[0]], escaped), re.ASCII)


def most_frequent(texts: Sequence[str], dates: tuple[str, ...]) -> str | None:
    """Return the format of `strptime`, of those with these dates, that most texts look like; None if none does."""
    counts = {}
    for format in formats_of_strptime(dates):
        pattern = looks_like(format)
        counts[format] = sum(pattern.fullmatch(text) is not None for text in texts)
    best = max(counts, key=lambda format: counts[format], default=None)
    return best if best is not None and counts[best] else None


def formats_of_strptime(dates: tuple[str, ...]) -> list[str]:
    """Return the formats of `strptime` with these dates and a usual time of day or none."""
    return [date + tail for date in dates for tail in TAILS]
