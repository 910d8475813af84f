"""Dates and times written as text: ISO 8601, the year first, with or without a time of day and an offset.

`2024-05-01`, `2024/05/01`, `2024-05-01 10:30`, `2024-05-01T10:30:00.25+02:00`. A date without a time is its midnight,
a time without an offset is UTC. `01/02/2024` is the first of February or the second of January: it is no date here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.data.number_texts import BLANK

_DATE = (
    rf"^{BLANK}*(?P<year>\d{{4}})[-/.](?P<month>\d\d?)[-/.](?P<day>\d\d?)"
    r"(?:[Tt ](?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    rf" ?(?:[Zz]|UTC|GMT|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?)?)?{BLANK}*$"
)
_ISO = r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?)?$"
_LARGEST = {"month": 12, "hour": 23, "minute": 59, "second": 59, "hours": 23, "minutes": 59}
_SMALLEST = {"month": 1, "day": 1}


def read_dates(texts: pa.Array) -> NDArray[np.datetime64]:
    """Read texts as instants in UTC.

    Args:
        texts: string array (n,). Give distinct values where texts repeat.

    Returns:
        datetime64[us] (n,); NaT where a text is no date, also for days that no calendar has (2024-02-30).
    """
    texts = texts.cast(pa.string())
    instants = np.full(len(texts), "NaT", dtype="datetime64[us]")
    plain = np.asarray(pc.fill_null(pc.match_substring_regex(texts, _ISO), False), dtype=np.bool_)
    try:  # ten times faster than parts, but an impossible day among the texts is an error
        instants[plain] = np.asarray(texts.filter(pa.array(plain)).cast(pa.timestamp("us")))
    except pa.ArrowInvalid:
        plain[:] = False
    rest = np.flatnonzero(~plain & np.asarray(pc.fill_null(pc.match_substring_regex(texts, _DATE), False)))
    if rest.size:
        instants[rest] = _instants(pc.extract_regex(texts.take(pa.array(rest)), _DATE))
    return instants


def _instants(parts: pa.StructArray) -> NDArray[np.datetime64]:
    text = {name: pc.struct_field(parts, name) for name in ("year", *_LARGEST, "day", "fraction", "sign")}
    number = {name: _as_integers(text[name]) for name in ("year", *_LARGEST, "day")}
    months = ((number["year"] - 1970) * 12 + number["month"] - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (number["day"] - 1).astype("timedelta64[D]")
    seconds = number["hour"] * 3600 + number["minute"] * 60 + number["second"]
    offset = (number["hours"] * 3600 + number["minutes"] * 60) * np.where(pc.equal(text["sign"], "-"), -1, 1)
    microseconds = _as_integers(pc.utf8_slice_codeunits(pc.utf8_rpad(text["fraction"], 9, "0"), 0, 6))
    instants = days.astype("datetime64[us]") + ((seconds - offset) * 1_000_000 + microseconds).astype("timedelta64[us]")
    sound = days.astype("datetime64[M]") == months
    for name, largest in _LARGEST.items():
        sound &= number[name] <= largest
    for name, smallest in _SMALLEST.items():
        sound &= number[name] >= smallest
    return np.where(sound, instants, np.datetime64("NaT"))


def _as_integers(texts: pa.Array) -> NDArray[np.int64]:
    """Return texts of digits as numbers, 0 for the empty text of a part that is not given."""
    given = pc.if_else(pc.equal(texts, ""), "0", texts)
    return np.asarray(given.cast(pa.int64()))
