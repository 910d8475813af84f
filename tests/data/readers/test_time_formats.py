import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.time_formats import (
    COMPACT,
    ORDERED,
    PLAIN,
    fast_seconds,
    formats_of_strptime,
    most_frequent,
    seconds_of,
)

ALL = (*PLAIN, COMPACT, *(format for pair in ORDERED for format in pair))


@pytest.fixture(scope="module")
def work():
    with Workspace() as work:
        yield work


def readings(work, text, zone="UTC"):
    """Return the words of each format that reads a text -> the moment."""
    sql = ", ".join(seconds_of("t", each, zone, ("Europe/Berlin", "America/New_York", "Asia/Tokyo")) for each in ALL)
    (found,) = work.rows(f"SELECT {sql} FROM (SELECT {literal(text)} AS t)")
    known = {each.words: seconds for each, seconds in zip(ALL, found, strict=True) if seconds is not None}
    return {words: datetime.fromtimestamp(seconds, UTC).isoformat()[:-6] for words, seconds in known.items()}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-10-27T02:10:00+01:00", "2024-10-27T01:10:00"),
        ("2024-10-27T02:10:00+01:00[Europe/Berlin]", "2024-10-27T01:10:00"),
        ("2024-10-27 02:10:00 Europe/Berlin", "2024-10-27T01:10:00"),
        ("2019-10-01 02:00:00 America/New_York", "2019-10-01T06:00:00"),
        ("2019-10-01 02:00:00 pm Asia/Tokyo", "2019-10-01T05:00:00"),
        ("2019-10-01 02:00:00 -0700", "2019-10-01T09:00:00"),
        ("2019-10-01 02:00:00-07", "2019-10-01T09:00:00"),
        ("2019-10-01 02:00:00 UTC", "2019-10-01T02:00:00"),
        ("2019-10-01T02:00:00Z", "2019-10-01T02:00:00"),
        ("2019-10-01t02:00:00z", "2019-10-01T02:00:00"),
        ("2019-10-01 02:00 EST", "2019-10-01T07:00:00"),
        ("2019-10-01 02:00", "2019-10-01T02:00:00"),
        ("2019-10-01", "2019-10-01T00:00:00"),
        (" 2019-10-01 ", "2019-10-01T00:00:00"),
        ("2019/10/01", "2019-10-01T00:00:00"),
        ("2019.10.01 02:00", "2019-10-01T02:00:00"),
        ("2019-1-5 2:03", "2019-01-05T02:03:00"),
        ("2019-10-01T02:00:00,125", "2019-10-01T02:00:00.125000"),
        ("2019-10-01T02:00:00.125000000Z", "2019-10-01T02:00:00.125000"),
        ("2019-10-01 24:00:00", "2019-10-02T00:00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"),
        ("10 5, 2019", "2019-10-05T00:00:00"),
        ("09 13, 2009", "2009-09-13T00:00:00"),
        ("Tue Oct 05 04:55:02 -0700 2019", "2019-10-05T11:55:02"),
        ("Aug 25 13:55:02 -0700 2017", "2017-08-25T20:55:02"),
        ("Tue Oct  1 10:00:00 2019", "2019-10-01T10:00:00"),
        ("Tue Oct  1 10:00:00 UTC 2019", "2019-10-01T10:00:00"),
        ("Tue Oct  1 10:00:00 EDT 2019", "2019-10-01T14:00:00"),
        ("Tue, 01 Oct 2019 10:00:00 +0000", "2019-10-01T10:00:00"),
        ("Tue, 01 Oct 2019 10:00:00 GMT", "2019-10-01T10:00:00"),
        ("Tue, 1 Oct 2019 10:00:00 -0500 (CDT)", "2019-10-01T15:00:00"),
        ("Tue Oct 01 2019 10:00:00 GMT+0200 (Central European Summer Time)", "2019-10-01T08:00:00"),
        ("Oct 1, 2019", "2019-10-01T00:00:00"),
        ("Oct 1 2019 4:05 pm", "2019-10-01T16:05:00"),
        ("October 1, 2019 at 4:05 PM", "2019-10-01T16:05:00"),
        ("Tuesday, October 1, 2019", "2019-10-01T00:00:00"),
        ("Sept. 3, 2019", "2019-09-03T00:00:00"),
        ("1 October 2019", "2019-10-01T00:00:00"),
        ("1st of October 2019", "2019-10-01T00:00:00"),
        ("01-Oct-2019 10:00:00", "2019-10-01T10:00:00"),
        ("01OCT2019:10:00:00", "2019-10-01T10:00:00"),
        ("[01/Oct/2019:10:00:00 +0200]", "2019-10-01T08:00:00"),
        ("2019-Oct-01", "2019-10-01T00:00:00"),
        ("20191001", "2019-10-01T00:00:00"),
        ("20191001.0", "2019-10-01T00:00:00"),
        ("20191001020304", "2019-10-01T02:03:04"),
        ("201910010203", "2019-10-01T02:03:00"),
        ("2019100102", "2019-10-01T02:00:00"),
        ("20191001T020304Z", "2019-10-01T02:03:04"),
        ("20191001 02:03:04", "2019-10-01T02:03:04"),
        ("25/10/2019 13:00", "2019-10-25T13:00:00"),
        ("10/25/2019 12:30:01 AM", "2019-10-25T00:30:01"),
        ("10/25/2019, 12:30\u202fPM", "2019-10-25T12:30:00"),
        ("25.10.2019", "2019-10-25T00:00:00"),
        ("25-10-2019 01:02:03.5", "2019-10-25T01:02:03.500000"),
    ],
)
def test_texts_are_read_in_one_way(work, text, moment):
    assert set(readings(work, text).values()) == {moment}


@pytest.mark.parametrize(
    "text",
    [
        "2019-02-29", "2019-13-01", "2019-10-01 24:00:01", "2019-10-01 25:00", "2019-10-01 10:60",
        "2019-10-01 10:00:61", "2019-10-01 10:00 IST", "2019-10-01 10:00 CET", "2019-10-01 10:00 Europe/Nowhere",
        "10/25/2019 13:00 PM", "10/25/2019 0:30 AM", "1 Okt 2019", "1 octobre 2019", "10:30", "2019-10", "2019",
        "2019-W40-2", "5/10/19", "31102019", "191001", "2019-10-01 10:00 +15:00", "yesterday", "",
        "2019-10-01-07:00", "٢٠١٩-10-01", "2019-10-01;", "99999999", "20191301", "201910012500",
        "2019-10-01 10:00:00 and more",
    ],
)  # fmt: skip
def test_other_texts_are_no_times(work, text):
    assert readings(work, text) == {}


def test_day_and_month_are_two_readings(work):
    both = {"day/month/year": "2019-10-05T04:00:14", "month/day/year": "2019-05-10T04:00:14"}
    assert readings(work, "05/10/2019 4:00:14 AM") == both
    assert list(readings(work, "25/10/2019")) == ["day/month/year"]


def test_texts_without_a_zone_are_in_the_one_that_is_set(work):
    assert readings(work, "2019-10-01 02:00", "Europe/Berlin") == {"year-month-day": "2019-10-01T00:00:00"}
    assert readings(work, "2019-10-01 02:00Z", "Europe/Berlin") == {"year-month-day": "2019-10-01T02:00:00"}
    assert readings(work, "2019-10-01 02:00", "+05:30") == {"year-month-day": "2019-09-30T20:30:00"}


def test_the_fast_format_is_the_most_frequent_one():
    dates = ("%Y-%m-%d", "%Y/%m/%d")
    texts = ["2019-10-01 02:03:04", "2019-10-01 02:03:05", "2019-10-01"]
    assert most_frequent(texts, dates) == "%Y-%m-%d %H:%M:%S"
    assert most_frequent(["2019-10-01T02:03:04+0200"], dates) == "%Y-%m-%dT%H:%M:%S%z"
    assert most_frequent(["Oct 1, 2019"], dates) is None
    assert most_frequent([], ()) is None


LOST = {"%H": "hour", "%I": "hour", "%M": "minute", "%S": "second", "%f": "microsecond"}


@pytest.mark.parametrize("format", [each for each in ALL if each.dates], ids=lambda each: each.words)
def test_fast_and_general_readings_agree(work, format):
    """What `strptime` reads, the patterns read alike and as Python wrote it, in every format and zone."""
    draw = random.Random(format.words)
    for written in formats_of_strptime(format.dates):
        texts, wanted = [], []
        for _ in range(20):
            offset = timezone(timedelta(minutes=15 * draw.randint(-56, 56)))
            moment = datetime.fromtimestamp(draw.randrange(631_200_000_000, 1_780_000_000_000) / 1000, UTC)
            local = moment.astimezone(offset) if "%z" in written else moment
            texts.append(local.strftime(written))
            unsaid = set(LOST.values()) - {name for code, name in LOST.items() if code in written}
            wanted.append(local.replace(**dict.fromkeys(unsaid, 0)).timestamp())
        rows = ", ".join(f"({literal(text)})" for text in texts)
        found = work.rows(
            f"SELECT {fast_seconds('t', written, 'UTC')}, {seconds_of('t', format, 'UTC')} FROM (VALUES {rows}) v(t)"
        )
        assert [row[0] for row in found] == pytest.approx(wanted, abs=1e-5), written
        assert [row[1] for row in found] == pytest.approx(wanted, abs=1e-5), written
