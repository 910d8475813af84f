"""Checks of event times: the reasons for which a row with a time that is none, or no plausible one, is bad."""

from __future__ import annotations

from lexirec.data.readers.time_recognition import EARLIEST, latest
from lexirec.data.readers.validation import Check


def doubtful_time() -> str:
    """Return an SQL condition over a column `time` in seconds: whether a check may name the time."""
    return f"(time IS NULL OR NOT time BETWEEN {EARLIEST} AND {latest():.0f})"


def time_checks(column: str, per_second: int = 1, words: str = "") -> list[Check]:
    """Return the checks of a column `time` in seconds; `time_given` holds the text of doubtful times.

    Args:
        column: The column of the file, as the file names it.
        per_second: Units of numbers in a second.
        words: The format of times in text, where it is not usual.
    """
    seconds = "times are seconds since 1970 or dates such as 2014-07-01"
    if words:
        seconds = f"times of this column are {words}"
    counter = 'map a column that only orders events as "position"'
    units = [("nanoseconds", "ns", 1e17), ("microseconds", "us", 1e14), ("milliseconds", "ms", 1e11)]
    value = f"coalesce(time_given, plain_number(time * {per_second}), '')"
    return [
        Check("no time", "time IS NULL OR isnan(time)", column, value, seconds),
        Check("endless time", "isinf(time)", column, value, seconds),
        Check("negative time", "time < 0", column, value, f"{seconds}; {counter}"),
        Check("time before 1990", f"time < {EARLIEST}", column, value, f"{seconds}; {counter}"),
        *(
            Check(f"time in {name}", f"time >= {bound}", column, value, f'{seconds}; set time_unit = "{unit}"')
            for name, unit, bound in units
        ),
        Check("time in the future", f"time > {latest():.0f}", column, value, f"{seconds}, not later than today"),
    ]
