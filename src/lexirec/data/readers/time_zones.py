"""Zones of times in text: offsets, names of the zone database and the abbreviations of RFC 822, as seconds in SQL."""

from __future__ import annotations

import re

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import literal

ABBREVIATIONS = {
    **dict.fromkeys(("Z", "UT", "UTC", "GMT"), 0),
    "EDT": -4,
    "EST": -5,
    "CDT": -5,
    "CST": -6,
    "MDT": -6,
    "MST": -7,
    "PDT": -7,
    "PST": -8,
}
"""Hours of the abbreviations of RFC 822. Others, such as IST, BST or CET, have several meanings or none by standard."""

ALLOWED_ZONES = f"offsets such as +02:00, names such as Europe/Berlin, and {', '.join(ABBREVIATIONS)}"

_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})?")


def check_zone(work: Workspace, zone: str) -> str:
    """Return the setting `time_zone` as the zone database spells it, or as an offset.

    Raises:
        DataError: There is no such zone.
    """
    if zone.upper() in ("UTC", "GMT", "Z"):
        return "UTC"
    if match := _OFFSET.fullmatch(zone):
        sign, hours, minutes = match.groups()
        if int(hours) <= 14 and int(minutes or 0) < 60:
            return f"{sign}{int(hours):02}:{int(minutes or 0):02}"
    names = {name.lower(): name for name in area_names(work)}
    if zone.lower() not in names:
        raise DataError(
            f"time_zone is '{zone}'; allowed are UTC, names such as Europe/Berlin and offsets such as +02:00."
            f"{did_you_mean(zone, list(names.values()))}"
        )
    return names[zone.lower()]


def area_names(work: Workspace) -> list[str]:
    """Return the names of the zone database that have a slash, such as "Europe/Berlin": no other is unambiguous."""
    return [name for (name,) in work.rows("SELECT name FROM pg_timezone_names() ORDER BY name") if "/" in name]


def in_zone(local: str, zone: str) -> str:
    """Return SQL for the moment of a clock's time: both as seconds, `local` as if the clock showed UTC.

    Of an hour that a clock shows twice the second is meant; a time that it skips is moved by what is skipped.
    """
    if zone == "UTC":
        return local
    if match := _OFFSET.fullmatch(zone):
        sign, hours, minutes = match.groups()
        seconds = int(hours) * 3600 + int(minutes or 0) * 60
        return f"({local} {'-' if sign == '+' else '+'} {seconds})"
    whole = f"make_timestamp(CAST(floor({local}) AS BIGINT) * 1000000)"
    return f"(epoch(timezone({literal(zone)}, {whole})) + {local} - floor({local}))"


def timestamp_in_zone(timestamp: str, zone: str) -> str:
    """Return SQL for the seconds since 1970 of a timestamp without a zone."""
    if zone == "UTC" or _OFFSET.fullmatch(zone):
        return in_zone(f"epoch({timestamp})", zone)
    return f"epoch(timezone({literal(zone)}, CAST({timestamp} AS TIMESTAMP)))"


def with_zone(local: str, offset: str, word: str, zone: str, areas: tuple[str, ...]) -> str:
    """Return SQL for the moment of a clock's time whose zone is in two texts, NULL where it is unknown.

    Args:
        local: SQL of seconds, as if the clock showed UTC.
        offset: SQL of an offset such as "+02:00", "+0200" or "+2", or "".
        word: SQL of an abbreviation or a name of a zone, or "".
        zone: Zone of times with neither.
        areas: The names of zones that are understood.
    """
    digits = f"replace({offset}[2:], ':', '')"
    hours = f"TRY_CAST(CASE WHEN length({digits}) > 2 THEN {digits}[:-3] ELSE {digits} END AS INTEGER)"
    minutes = f"TRY_CAST(CASE WHEN length({digits}) > 2 THEN {digits}[-2:] ELSE '0' END AS INTEGER)"
    seconds = f"CASE WHEN {hours} <= 14 AND {minutes} < 60 THEN {hours} * 3600 + {minutes} * 60 END"
    known = " ".join(f"WHEN {literal(name)} THEN {hours * 3600}" for name, hours in ABBREVIATIONS.items())
    named = "".join(f" WHEN {word} = {literal(name)} THEN {in_zone(local, name)}" for name in areas)
    return (
        f"CASE WHEN {offset} <> '' THEN {local} - CASE {offset}[1] WHEN '-' THEN -1 ELSE 1 END * ({seconds})"
        f" WHEN {word} = '' THEN {in_zone(local, zone)}{named}"
        f" ELSE {local} - CASE upper({word}) {known} END END"
    )
