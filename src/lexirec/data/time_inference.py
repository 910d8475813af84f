"""Inference of order: which column of the events holds their times or positions, and in which unit."""

from __future__ import annotations

from collections.abc import Mapping

from lexirec.data.column_names import MOSTLY, SAMPLE, names
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.events import EARLIEST, PER_SECOND, TimeUnit
from lexirec.data.readers.sql_columns import Column, Source

TIME_NAMES = names(
    "time timestamp unix_review_time unix_time ts datetime date t_dat event_time created_at invoice_date review_time"
)
POSITION_NAMES = names("position rank order step sequence seq index")


def order_of(work: Workspace, events: Source, time: Column, remarks: list[str]) -> tuple[str, TimeUnit]:
    """Return how a column of times orders events ("time", "position" or "" for not at all), and its unit."""
    value = time.number()
    ((filled, middle),) = work.rows(
        f"SELECT avg(CASE WHEN value IS NOT NULL THEN 1.0 ELSE 0.0 END), median(value)"
        f" FROM (SELECT {value} AS value FROM {events.scan} USING SAMPLE reservoir({SAMPLE} ROWS) REPEATABLE (0))"
    )
    if filled is None or filled < MOSTLY:
        remarks.append(f"column '{time.name}' is no time in {1 - (filled or 0):.0%} of the events, so it is ignored")
        return "", "s"
    if middle < EARLIEST:
        remarks.append(f"column '{time.name}' counts events, not seconds since 1970, so it is used as their position")
        return "position", "s"
    units: Mapping[TimeUnit, int] = PER_SECOND
    later = 1e11  # seconds of the year 5138
    return "time", next((unit for unit, per_second in units.items() if middle / per_second < later), "ns")
