"""What to say of times that cannot be read with certainty: what they may be, and the formats that fit them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.time_formats import formats_of_strptime, looks_like
from lexirec.data.readers.time_zones import ALLOWED_ZONES

SPREADSHEET = "spreadsheet"
"""The `time_format` of days since the end of 1899, as spreadsheets count them."""

_ALMOST_ALL = 0.98
_LONGEST = 40
"""Characters of a time in text, at the median."""
_OPTION = "(lexirec init: --time-format)"
_POSITION = 'map it as "position" if it only counts events'
_KNOWN = (
    "times are seconds since 1970, dates such as 2014-07-01 or 2014-07-01T12:30:00+02:00, and other usual formats with"
    " four digits for the year and English names of months"
)
_TEN_DIGITS = {"%y%m%d%H%M": (9, 10), "%d%m%y%H%M": (9, 10), "%m%d%y%H%M": (9, 10)}
"""The same for numbers that could be seconds since 1970, of which one in two hundred fits by chance."""
_DIGITS = {
    "%d%m%Y": (7, 8),
    "%m%d%Y": (7, 8),
    "%y%m%d": (5, 6),
    "%y%m%d%H": (7, 8),
    "%Y%m": (6, 6),
    "%d%m%Y%H%M%S": (13, 14),
    "%m%d%Y%H%M%S": (13, 14),
    "%d%m%Y%H%M": (11, 12),
    "%m%d%Y%H%M": (11, 12),
    "%y%m%d%H%M%S": (11, 12),
    "%d%m%y%H%M%S": (11, 12),
}
"""Formats of dates in digits that have no clear order -> how many digits a number in that format has."""


def setting(work: Workspace, dates: tuple[str, ...]) -> str:
    """Return the advice to set `time_format`, with those formats of these dates that fit the table `time_sample`."""
    fitting = _fitting(work, formats_of_strptime(dates))
    if not fitting:
        return f'set time_format, such as "%d.%m.%Y %H:%M" {_OPTION}'
    return f"set time_format = {_either(fitting[:2])} {_OPTION}"


def _either(formats: list[str]) -> str:
    return " or ".join(f'"{each}"' for each in formats)


def _fitting(work: Workspace, candidates: list[str]) -> list[str]:
    """Return the formats of `strptime` that read (nearly) all of the sample, best first."""
    some = [text for (text,) in work.rows("SELECT t FROM time_sample ORDER BY hash(t) LIMIT 20")]
    candidates = [each for each in candidates if any(looks_like(each).fullmatch(text) for text in some)]
    if not candidates:
        return []
    tests = ", ".join(
        f"count(*) FILTER (CAST(try_strptime(t, {literal(each)}) AS TIMESTAMP) {_plausible()})" for each in candidates
    )
    ((n, *counts),) = work.rows(f"SELECT count(*), {tests} FROM time_sample")
    ranked = sorted(zip(counts, candidates, strict=True), key=lambda pair: -pair[0])
    return [each for count, each in ranked if count >= _ALMOST_ALL * n]


def digits_problem(work: Workspace, n: int, per_second: int | None) -> str:
    """Return why numbers cannot be read as times, "" if nothing speaks against them.

    Args:
        work: The workspace with the table `time_sample`, of which most values are numbers.
        n: Number of values.
        per_second: Units in a second, if most numbers are times since 1970; None if they are not.
    """
    if per_second is not None:
        fitting = _fitting_digits(work, n, _TEN_DIGITS) if per_second == 1 and n > 2 else []
        if not fitting:
            return _rounded(work, n, per_second)
        example = work.rows("SELECT min(t) FROM time_sample")[0][0]
        return (
            f"'{example}' may be seconds since 1970 or a date in digits; set time_format = {_either(fitting)} {_OPTION}"
        )
    ((example, days, years),) = work.rows(
        f"SELECT min(t), count(*) FILTER (x BETWEEN 32874 AND {_now() / 86_400 + 25_569:.0f}),"
        f" count(*) FILTER (x BETWEEN 1990 AND {1970 + _now() / 31_556_952:.0f})"
        " FROM (SELECT t, TRY_CAST(t AS DOUBLE) AS x FROM time_sample)"
    )
    fitting = _fitting_digits(work, n, _DIGITS | _TEN_DIGITS)
    if fitting:
        return f"'{example}' may be a date in digits; set time_format = {_either(fitting)} {_OPTION}, or {_POSITION}"
    if days >= _ALMOST_ALL * n:
        return (
            f"'{example}' may count the days of a spreadsheet; set time_format = \"{SPREADSHEET}\" {_OPTION}, or"
            f" {_POSITION}"
        )
    if years >= _ALMOST_ALL * n:
        return f"values such as '{example}' are years, which do not order events; {_KNOWN}"
    return ""


def _now() -> float:
    return time.time() + 86_400


def _plausible() -> str:
    return f"BETWEEN TIMESTAMP '1990-01-01' AND make_timestamp({int(_now()) * 10**6})"


def _fitting_digits(work: Workspace, n: int, formats: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return the formats in digits that (nearly) all of the sample may have; leading zeros may be lost."""
    tests = ", ".join(
        f"count(*) FILTER (length(d) BETWEEN {short} AND {long} AND"
        f" try_strptime(lpad(d, {long}, '0'), {literal(format)}) {_plausible()})"
        for format, (short, long) in formats.items()
    )
    digits = "regexp_extract(t, '^\\s*(\\d+)(?:\\.0*)?\\s*$', 1)"
    (counts,) = work.rows(f"SELECT {tests} FROM (SELECT {digits} AS d FROM time_sample)")
    return [format for format, count in zip(formats, counts, strict=True) if count >= _ALMOST_ALL * n]


def _rounded(work: Workspace, n: int, per_second: int) -> str:
    """Return whether all numbers are in scientific notation and rounded to more than a second."""
    number = "regexp_extract(t, '^\\s*\\d(?:\\.(\\d*))?e\\+?(\\d+)\\s*$', ['digits', 'power'], 'i')"
    ((example, count, finest),) = work.rows(
        "SELECT min(t), count(p), min(p - length(m.digits)) FROM"
        f" (SELECT t, m, TRY_CAST(m.power AS INTEGER) AS p FROM (SELECT t, {number} AS m FROM time_sample))"
    )
    if count < _ALMOST_ALL * n or 10**finest <= per_second:
        return ""
    rounded = f"{10**finest // per_second:,} seconds"
    return f"times such as '{example}' are rounded to {rounded}, which loses the order of events; write them in full"


def text_problem(
    work: Workspace, example: str | None = None
) -> tuple[Literal["unclear", "dated", "clock", "other"], str, str]:
    """Return what texts are that are in no known format, an example, and why it is none.

    Args:
        work: The workspace with the table `time_sample`.
        example: A value that looks like a time but cannot be read.
    """
    patterns = {
        "clock": r"\s*\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(\s*[AaPp]\.?[Mm]\.?)?\s*",
        "short": r"\s*(\d{1,2}[-/.]\d{1,2}[-/.]\d{2}|\d{1,2}[-/ ]?[A-Za-z]{3,9}[-/ ]?\d{2})([ T,].*)?",
        "zone": r".*\d:\d{2}\S*\s*[A-Za-z]{2,5}\)?\s*",
        "dated": r".*(\b(19|20)\d{2}\b.*\b\d{1,2}\b|\b\d{1,2}\b.*\b(19|20)\d{2}\b).*",
    }
    fits = [f"FILTER (regexp_full_match(t, {literal(each)}))" for each in patterns.values()]
    tests = ", ".join(f"min(t) {each}, count(*) {each}" for each in fits)
    ((n, first, length, *found),) = work.rows(f"SELECT count(*), min(t), median(length(t)), {tests} FROM time_sample")
    shown = zip(patterns, zip(found[::2], found[1::2], strict=True), strict=True)
    often = {name: value for name, (value, count) in shown if 2 * count >= n}
    if "clock" in often:
        return "clock", often["clock"], f"values such as '{often['clock']}' have no date; {_KNOWN}"
    if "short" in often:
        orders = (("%m", "%d", "%y"), ("%d", "%m", "%y"), ("%y", "%m", "%d"), ("%d", "%b", "%y"))
        dates = [mark.join(order) for mark in "/.-" for order in orders]
        advice = setting(work, (*dates, "%d%b%y", "%d %b %y"))
        return "unclear", often["short"], f"'{often['short']}' has two digits for the year; {advice}"
    if "zone" in often and example is not None:
        return "unclear", example, f"the zone of '{example}' is not known; allowed are {ALLOWED_ZONES}"
    example = str(example or often.get("dated") or first)
    problem = f"'{' '.join(example.split())[:60]}' is in no known format; {_KNOWN}; {setting(work, ())}"
    return "dated" if "dated" in often and length <= _LONGEST else "other", example, problem
