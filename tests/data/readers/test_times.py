"""Columns of times of many kinds: each is read as what it means, or refused in one line."""

import csv
import json
import random
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.times import TimeOptions, read_times

START = datetime(2019, 10, 13, 4, 0, 14, tzinfo=UTC)


def in_time(read, texts):
    """Return what is read of texts, None where they are refused in one line."""
    try:
        return read(texts)[0]
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None


def seconds(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def read(tmp_path):
    """Return a function that writes values as a column and reads their seconds and the format in words."""

    def read(values, kind="csv", **options):
        path = tmp_path / f"events.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"when": values}), path)
        elif kind == "jsonl":
            path.write_text("".join(json.dumps({"when": value}) + "\n" for value in values))
        else:
            with path.open("w", newline="") as out:
                writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",", quoting=csv.QUOTE_ALL)
                writer.writerows([["when", "x"], *([value, "x"] for value in values)])
        with Workspace() as work:
            source = work.open(path)
            reading = read_times(work, source, source.columns["when"], TimeOptions(**options))
            return [row[0] for row in work.rows(f"SELECT {reading.sql} FROM {source.scan}")], reading.words

    return read


def refused(read, values, *arguments, **options):
    with pytest.raises(DataError) as error:
        read(values, *arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value).split("events.", 1)[1].split(": ", 1)[1]


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_numbers_are_in_the_unit_that_is_set(read, kind, unit, per_second):
    values = [1_570_939_214 * per_second, 1_570_939_215 * per_second]
    assert read([str(value) for value in values], kind, unit=unit) == ([1_570_939_214, 1_570_939_215], "")
    assert read(pa.array(values), "parquet", unit=unit) == ([1_570_939_214, 1_570_939_215], "")


def test_numbers_of_other_types(read):
    assert read(["1570939214.25", " 1570939215 ", "1.570939216e9", ""])[0] == [
        1570939214.25,
        1570939215,
        1570939216,
        None,
    ]
    assert read(pa.array([1570939214.25, None]), "parquet")[0] == [1570939214.25, None]
    assert read(pa.array([Decimal("1570939214.25")]), "parquet")[0] == [1570939214.25]
    assert read(["1570939214", "2019-10-13", "2019-10-13T04:00:14+02:00", "soon"])[0] == [
        1570939214, seconds("2019-10-13"), seconds("2019-10-13T02:00:14"), None,
    ]  # fmt: skip


def test_dates_in_digits(read):
    days = ["20191013", "20191014", "20200229", "20190229", "15"]
    expected = [seconds("2019-10-13"), seconds("2019-10-14"), seconds("2020-02-29"), None, None]
    assert read(days) == (expected, "yearmonthday")
    assert read(pa.array([20191013, 20191014]), "parquet")[0] == expected[:2]
    assert read(pa.array([20191013.0, 20191014.0]), "parquet")[0] == expected[:2]
    assert read(["20191013.0", "20191014.0"])[0] == expected[:2]
    assert read(["20191013040014", "20191014000000"])[0] == [seconds("2019-10-13T04:00:14"), expected[1]]
    assert read(["201910130400", "201910140000"])[0] == [seconds("2019-10-13T04:00"), expected[1]]
    assert read(["2019101304", "2019101400"])[0] == [seconds("2019-10-13T04:00"), expected[1]]
    assert read(["20191013", "20191014"], zone="Europe/Berlin")[0] == [each - 7200 for each in expected[:2]]


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["31102019", "01112019", "05122019"], '"%d%m%Y"'),
        (["10312019", "11012019", "12052019"], '"%m%d%Y"'),
        (["1102019", "11122019"], '"%d%m%Y" or "%m%d%Y" or "%y%m%d%H"'),
        (["191031", "191101"], '"%y%m%d"'),
        (["14102100", "14102101", "14102923"], '"%y%m%d%H"'),
        (["201910", "201911", "202001"], '"%Y%m"'),
        (["191031040014", "191031040015"], '"%y%m%d%H%M%S"'),
        (["1710310400", "1711010000", "1711012359"], '"%y%m%d%H%M"'),
    ],
)
def test_other_dates_in_digits_are_refused(read, values, formats):
    assert f"set time_format = {formats} (lexirec init: --time-format)" in refused(read, values)
    number = pa.array([int(value) for value in values])
    assert f"set time_format = {formats} (lexirec init: --time-format)" in refused(read, number, "parquet")


def test_a_format_of_digits_reads_what_lost_a_leading_zero(read):
    expected = [seconds("2019-10-01"), seconds("2019-12-11"), None, None]
    assert read(["1102019", "11122019", "112019", "111220190"], format="%d%m%Y") == (expected, "%d%m%Y")
    assert read(pa.array([1102019, 11122019]), "parquet", format="%d%m%Y")[0] == expected[:2]
    assert read(["1102019.0", "11122019.0"], format="%d%m%Y")[0] == expected[:2]


def test_days_of_a_spreadsheet(read):
    values = ["43751.5", "43752", "43750.166666667"]
    said = refused(read, values)
    assert 'may count the days of a spreadsheet; set time_format = "spreadsheet"' in said
    assert "43750" in said
    found, words = read(values, format="spreadsheet")
    assert found == pytest.approx([seconds("2019-10-13T12:00"), seconds("2019-10-14"), seconds("2019-10-12T04:00")])
    assert words == "spreadsheet"
    assert "spreadsheet" in refused(read, pa.array([43751.5, 43752.0]), "parquet")


def test_rounded_numbers_have_lost_the_order(read):
    assert "rounded to 100,000 seconds, which loses the order" in refused(read, ["1.5698e9", "1.5699E+09"])
    assert read(["1.5698e9", "1.569888123e9"])[0] == [1569800000, 1569888123]


def test_years_order_nothing(read):
    assert "are years, which do not order events" in refused(read, ["2018", "2019", "2019"])


@pytest.mark.parametrize("values", [["1", "2", "3"], ["-5"], ["18000", "18001"], ["nan"], ["inf"]])
def test_counters_are_left_to_the_checks_of_rows(read, values):
    found, words = read(values)
    assert [str(each) for each in found] == [str(float(value)) for value in values]
    assert words == ""


# --------------------------------------------------------------------------------------------------------------- text

FORMATS = {
    "%Y-%m-%d %H:%M:%S": "", "%Y-%m-%dT%H:%M:%S": "", "%Y-%m-%dT%H:%M:%SZ": "", "%Y-%m-%d %H:%M:%S UTC": "",
    "%Y-%m-%dT%H:%M:%S%z": "", "%Y-%m-%d %H:%M:%S,%f": "", "%Y-%m-%dT%H:%M:%S.%f": "", "%Y/%m/%d %H:%M:%S": "",
    "%m/%d/%Y %H:%M:%S": "month/day/year", "%m/%d/%Y %I:%M:%S %p": "month/day/year",
    "%d/%m/%Y %H:%M:%S": "day/month/year", "%d.%m.%Y %H:%M:%S": "day.month.year",
    "%d-%m-%Y %H:%M:%S": "day-month-year", "%m-%d-%Y, %I:%M:%S %p": "month-day-year",
    "%a %b %d %H:%M:%S %z %Y": "month day time year", "%b %d %H:%M:%S %z %Y": "month day time year",
    "%a %b %d %H:%M:%S %Y": "month day time year", "%a, %d %b %Y %H:%M:%S %z": "day month year",
    "%b %d, %Y %H:%M:%S": "month day, year", "%B %d, %Y at %I:%M:%S %p": "month day, year",
    "%d %B %Y %H:%M:%S": "day month year", "%d-%b-%Y %H:%M:%S": "day month year",
    "[%d/%b/%Y:%H:%M:%S %z]": "day month year", "%m %d, %Y %H:%M:%S": "month day, year",
    "%Y%m%d%H%M%S": "yearmonthday", "%Y%m%dT%H%M%SZ": "yearmonthday",
}  # fmt: skip


@pytest.mark.parametrize("written", FORMATS)
def test_formats_are_recognised_by_the_values(read, written):
    draw = random.Random(written)
    moments = [START + timedelta(seconds=draw.randrange(5 * 10**7)) for _ in range(40)]
    offsets = [timezone(timedelta(hours=draw.choice([-7, -3, 0, 2, 5.5]))) for _ in moments]
    texts = [
        (moment.astimezone(offset) if "%z" in written else moment).strftime(written)
        for moment, offset in zip(moments, offsets, strict=True)
    ]
    for kind in ("csv", "jsonl"):
        found, words = read([*texts, "", "soon"], kind)
        assert found == [*(moment.timestamp() for moment in moments), None, None]
        assert words == FORMATS[written]


def test_a_text_column_of_parquet_is_read_as_one_of_csv(read):
    texts = ["2024-10-26T10:00:00+02:00", "2024-10-27T02:50:00+02:00", "2024-10-27T02:10:00+01:00"]
    expected = [seconds("2024-10-26T08:00"), seconds("2024-10-27T00:50"), seconds("2024-10-27T01:10")]
    for kind in ("csv", "tsv", "jsonl"):
        assert read(texts, kind)[0] == expected
    assert read(pa.array(texts), "parquet")[0] == expected
    assert read(pa.array(texts).dictionary_encode(), "parquet")[0] == expected


def test_zones_by_name(read):
    texts = ["2024-10-27 02:10:00 Europe/Berlin", "2024-10-26 20:00:00 America/New_York", "2024-10-27 00:00:00 EST"]
    assert read(texts)[0] == [seconds("2024-10-27T01:10"), seconds("2024-10-27T00:00"), seconds("2024-10-27T05:00")]
    said = refused(read, ["2024-10-27 02:10:00 IST", "2024-10-27 02:11:00 CET"])
    assert "the zone of '2024-10-27 02:10:00 IST' is not known; allowed are offsets such as +02:00" in said
    assert read([*["2024-10-27 02:10:00 UTC"] * 9, "2024-10-27 02:10:00 IST"])[0][-1] is None


def test_text_without_a_zone_is_in_the_one_that_is_set(read):
    texts = ["2024-07-01 12:00:00", "2024-01-01 12:00:00", "2024-01-01 12:00:00Z", "2024-01-01T12:00:00,5"]
    found, words = read(texts, zone="Europe/Berlin")
    assert found == [seconds(each) for each in ("2024-07-01T10:00", "2024-01-01T11:00", "2024-01-01T12:00")] + [
        seconds("2024-01-01T11:00") + 0.5
    ]
    assert words == "in Europe/Berlin where no zone is given"
    assert read(["25.10.2019"], zone="+02:00")[1] == "day.month.year, in +02:00 where no zone is given"
    with pytest.raises(DataError, match="time_zone is 'Europe/Bern'"):
        read(texts, zone="Europe/Bern")


def test_a_format_that_is_set_wins(read):
    texts = ["05/10/2019 04:00", "06/10/2019 05:00", "2019-10-07"]
    found, words = read(texts, format="%m/%d/%Y %H:%M")
    assert found == [seconds("2019-05-10T04:00"), seconds("2019-06-10T05:00"), None]
    assert words == "%m/%d/%Y %H:%M"
    assert read(["05/10/2019 04:00 +0200"], format="%d/%m/%Y %H:%M %z")[0] == [seconds("2019-10-05T02:00")]
    assert read(["05/10/2019 04:00"], format="%d/%m/%Y %H:%M", zone="Europe/Berlin")[0] == [seconds("2019-10-05T02:00")]
    assert read(["5/10/19"], format="%d/%m/%y")[0] == [seconds("2019-10-05")]


@pytest.mark.parametrize("format", ["%Q", "", "%", "%Y-%m-%"])
def test_formats_that_are_none_are_refused(read, format):
    assert read(["2019-10-01"], format="{}'")[0] == [None]
    with pytest.raises(DataError, match=r"^time_format is '.*'; allowed are the codes of strptime, such as") as error:
        read(["2019-10-01"], format=format)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------------- what is unclear


@pytest.mark.parametrize("mark", "/.-")
def test_day_and_month_are_told_apart_by_numbers_over_12_anywhere(read, mark):
    texts = [f"{day:02}{mark}10{mark}2019" for day in range(1, 13)] * 2_000  # more than the sample
    said = refused(read, texts)
    assert f"'01{mark}10{mark}2019' may be day{mark}month{mark}year or month{mark}day{mark}year" in said
    assert f'set time_format = "%d{mark}%m{mark}%Y" or "%m{mark}%d{mark}%Y"' in said
    assert read([*texts, f"13{mark}10{mark}2019"])[1] == f"day{mark}month{mark}year"
    assert read([*texts, f"10{mark}13{mark}2019"])[0][-1] == seconds("2019-10-13")
    assert "some times are" in refused(read, [*texts, f"13{mark}10{mark}2019", f"10{mark}13{mark}2019"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["5/10/19 04:00", "6/10/19 04:00"], 'has two digits for the year; set time_format = "%m/%d/%y %H:%M" or'),
        (["25-Oct-19", "26-Oct-19"], 'has two digits for the year; set time_format = "%d-%b-%y"'),
        (["10:30", "10:31:15"], "values such as '10:30' have no date; times are seconds since 1970"),
        (["1 Okt 2019", "3 Mai 2019", "4 Dez 2019", "5 Okt 2019"], "'1 Okt 2019' is in no known format"),
        (["soon", "later", "never"], "'later' is in no known format; times are"),
        (["2019-25-10", "2019-05-10"], 'has the day before the month; set time_format = "%Y-%d-%m"'),
        (["2019-W40-2", "2019-W40-3"], "is in no known format"),
        (['{"$date": "2019-10-01"}'], "is in no known format"),
        (["04:00 13/10/2019", "05:00 13/10/2019"], "is in no known format"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_an_example(read, values, said):
    assert said in refused(read, values)


def test_times_of_a_day_are_refused_in_parquet_too(read):
    assert "have no date" in refused(read, pa.array([time(10, 30), time(11, 0)]), "parquet")


def test_typed_times_of_parquet(read):
    naive = pa.array([START.replace(tzinfo=None), None])
    moment = START.timestamp()
    assert read(naive, "parquet") == ([moment, None], "")
    assert read(naive, "parquet", zone="Europe/Berlin") == ([moment - 7200, None], "in Europe/Berlin")
    for unit in ("s", "ms", "us", "ns"):
        zoned = pa.array([START], pa.timestamp(unit, "America/New_York"))
        assert read(zoned, "parquet") == ([moment], "")
        assert read(zoned, "parquet", zone="Europe/Berlin") == ([moment], "")
        assert read(naive.cast(pa.timestamp(unit)), "parquet")[0] == [moment, None]
    assert read(pa.array([date(2019, 10, 13)]), "parquet")[0] == [seconds("2019-10-13")]
    assert read(pa.array([date(2019, 10, 13)], pa.date64()), "parquet")[0] == [seconds("2019-10-13")]


def test_values_that_stand_for_none_do_not_count(read):
    missing = ["", "NULL", "None", "nan", "N/A", "0000-00-00 00:00:00", "-"] * 10
    found, words = read([*missing, "25.10.2019"])
    assert found == [None] * len(missing) + [seconds("2019-10-25")]
    assert words == "day.month.year"
    assert read(missing)[0][1] is None


def test_what_is_rare_in_a_column_is_no_time(read):
    texts = ["25.10.2019"] * 30 + ["2019-10-25", "10/26/2019", "1570939214", "25.10.19"]
    found, _ = read(texts)
    assert found[:30] == [seconds("2019-10-25")] * 30
    assert found[30:33] == [None] * 3
    assert found[33] is None or found[33] < 0  # a time of the year 19, which is no plausible one


# ------------------------------------------------------------------------------------------------- right, or refused

STRANGE = (
    "%d/%m/%y", "%m/%d/%y %H:%M", "%y-%m-%d", "%d-%b-%y", "%Y%m", "%d%m%Y", "%m%d%Y", "%y%m%d", "%d%m%Y%H%M",
    "%y%m%d%H%M", "%d%m%y%H%M", "%y%m%d%H%M%S", "%H:%M %d/%m/%Y", "%H:%M:%S %Y-%m-%d", "%Y-%d-%m", "%Y/%d/%m %H:%M",
    "%Y.%d.%m", "%Y-%j", "%Y%j", "%G-W%V-%u", "%B %Y", "%d. %B %Y", "%A, %d %B %Y", "%Y-%m-%d_%H-%M-%S",
    "%Y-%m-%d %Hh%M", "%d.%m.%Y %H.%M", "%Y年%m月%d日", "%m-%d-%Y", "%d %m %Y", "%m %d %Y", "%Y %m %d", "%d,%m,%Y",
    "%I:%M %p %m/%d/%Y", "%m.%d.%Y", "%d|%m|%Y", "%m/%Y", "%Y", "%H:%M", "%d/%b/%Y", "%c", "%x", "%Y-%m-%dT%H",
    "%Y%m%d-%H:%M", "%Y%m%d_%H%M%S", "%d/%m/%Y", "%m/%d/%Y",
)  # fmt: skip


@pytest.mark.parametrize("written", STRANGE)
@pytest.mark.parametrize("days", [11, 4_000])
def test_no_format_is_read_in_the_wrong_order(read, written, days):
    """Whatever the format, values that are read have the order of the moments: anything else is refused or missing."""
    draw = random.Random(f"{written} {days}")
    moments = [datetime(2013, 2, 2, tzinfo=UTC) + timedelta(minutes=draw.randrange(1440 * days)) for _ in range(60)]
    texts = [moment.strftime(written) for moment in moments]
    same = [datetime.strptime(text, written) for text in texts]
    found = in_time(read, texts) or [None] * len(texts)
    plausible = [(truth, value) for truth, value in zip(same, found, strict=True) if value and value >= 631_152_000]
    ranked = [value for _, value in sorted(plausible, key=lambda pair: pair[0])]
    assert ranked == sorted(ranked)
