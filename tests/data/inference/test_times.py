"""What orders events: columns found by their values, chosen by their names, and refused where it would be a guess."""

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.inference.times import TimeChoice, infer_order
from lexirec.data.readers.duckdb_source import Workspace

START = datetime(2019, 10, 13, 4, 0, 14, tzinfo=UTC)
NAMES = (
    "time", "timestamp", "Timestamp", "ts", "date", "datetime", "dt", "when", "created", "created_at", "date_added",
    "order_date", "event_timestamp", "time_ms", "Review Time", "reviewTime", "purchase date", "played_at",
    "InvoiceDate", "unixtime", "viewed", "x3",
)  # fmt: skip


def in_seconds(moment):
    return str(int(moment.timestamp()))


FORMATS = {
    "seconds": in_seconds,
    "milliseconds": lambda moment: in_seconds(moment) + "000",
    "ISO": lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "day first": lambda moment: moment.strftime("%d/%m/%Y %H:%M:%S"),
    "month first": lambda moment: moment.strftime("%m/%d/%Y %I:%M:%S %p"),
    "month name": lambda moment: moment.strftime("%a %b %d %H:%M:%S -0700 %Y"),
    "digits": lambda moment: moment.strftime("%Y%m%d%H%M%S"),
}


@pytest.fixture
def infer(tmp_path):
    """Return a function that writes events and infers their order; values that are lists become columns."""

    def infer(columns, n=60, **choice):
        draw = random.Random(3)
        table = {
            "user": [f"u{k % 7}" for k in range(n)],
            "item": [f"i{draw.randrange(20)}" for _ in range(n)],
            **columns,
        }
        pq.write_table(pa.table(table), tmp_path / "events.parquet")
        with Workspace() as work:
            source = work.open(tmp_path / "events.parquet")
            user, item = (source.columns[name] for name in ("user", "item"))
            return infer_order(work, source, user, item, TimeChoice(**choice))

    return infer


def moments(n=60, seed=0):
    draw = random.Random(seed)
    return [START + timedelta(minutes=draw.randrange(60 * 24 * 300)) for _ in range(n)]


def refused(infer, *arguments, **options):
    with pytest.raises(DataError) as error:
        infer(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value).split("events.parquet", 1)[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("format", FORMATS)
def test_times_are_found_under_any_name(infer, name, format):
    found = infer({"note": ["x"] * 60, name: [FORMATS[format](moment) for moment in moments()], "rating": [5] * 60})
    assert (found.kind, found.column) == ("time", name)
    assert found.unit == ("ms" if format == "milliseconds" else "s")
    assert bool(found.remarks) == (format not in ("seconds", "milliseconds", "ISO") or name == "x3")


def test_typed_columns_are_times(infer):
    naive = [moment.replace(tzinfo=None) for moment in moments()]
    assert infer({"added": naive}).column == "added"
    assert infer({"t": [moment.date() for moment in moments()]}).column == "t"


def test_remarks_say_what_a_value_is_read_as(infer):
    (said,) = infer({"date": [f"{moment:%d.%m.%Y %H:%M}" for moment in moments()]}).remarks
    first = moments()[0]
    assert said == (
        "the times of events are read from column 'date' as day.month.year, such as"
        f" '{first:%d.%m.%Y %H:%M}' for {first:%Y-%m-%d %H:%M}:00 UTC"
    )


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["updated_at", "created_at"], "created_at"),
        (["ship_date", "order_date"], "order_date"),
        (["date", "timestamp"], "timestamp"),
        (["x", "when"], "when"),
        (["birth_date", "zz"], "zz"),
        (["started_at", "date_updated", "date_added"], "date_added"),
    ],
)
def test_names_choose_among_columns_of_times(infer, names, chosen):
    found = infer({name: [FORMATS["ISO"](moment) for moment in moments(seed=n)] for n, name in enumerate(names)})
    assert found.column == chosen
    assert any("times, too; " in said and f"'{chosen}' orders the events" in said for said in found.remarks)


def test_of_columns_alike_the_finer_one_is_chosen(infer):
    days = [f"{moment:%Y-%m-%d}" for moment in moments()]
    found = infer({"day": days, "at": [FORMATS["ISO"](moment) for moment in moments()]})
    assert found.column == "at"


def test_rows_without_a_time_are_rejected_up_to_half(infer):
    texts = [FORMATS["ISO"](moment) for moment in moments()]
    found = infer({"time": ["" if n % 5 == 0 else text for n, text in enumerate(texts)]})
    assert (found.kind, found.column) == ("time", "time")
    assert "20.0% of the events have no time in column 'time' and are rejected" in found.remarks
    mostly_empty = ["NULL" if n % 5 else text for n, text in enumerate(texts)]
    said = refused(infer, {"read_at": mostly_empty})
    assert "only 20% of the events have a time in column 'read_at', and no other column holds times" in said
    assert "(lexirec init: --time-column)" in said
    assert infer({"read_at": mostly_empty, "added": texts}).column == "added"
    chosen = infer({"read_at": mostly_empty, "added": texts}, column="read_at")
    assert (chosen.kind, chosen.column) == ("time", "read_at")
    assert infer({"cancelled_at": mostly_empty}).kind == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([f"{n % 12 + 1:02}/10/2019" for n in range(60)], "may be day/month/year or month/day/year"),
        ([f"{n % 28 + 1}.10.19" for n in range(60)], "has two digits for the year"),
        ([f"{n % 28 + 1:02}102019" for n in range(60)], 'may be a date in digits; set time_format = "%d%m%Y"'),
        ([str(43_000 + n * 7.5) for n in range(60)], "may count the days of a spreadsheet"),
        ([f"2019-10-{n % 28 + 1:02} 10:00 IST" for n in range(60)], "is not known; allowed are offsets"),
        ([f"{n % 28 + 1}. Okt 2019" for n in range(60)], "is in no known format"),
        (["2019-10-13"] * 50 + ["13.10.2019"] * 10, "17% of the values, such as '13.10.2019', are not written as the"),
    ],
)
@pytest.mark.parametrize("name", ["time", "order_date", "when"])
def test_times_that_cannot_be_read_are_not_passed_over(infer, name, values, said):
    assert said in refused(infer, {name: values})
    assert infer({name: values}, column="").kind == ""


def test_a_better_column_that_cannot_be_read_is_not_passed_over(infer):
    unclear = [f"{n % 12 + 1:02}/10/2019" for n in range(60)]
    iso = [FORMATS["ISO"](moment) for moment in moments()]
    assert "column 'order_date': '01/10/2019' may be" in refused(infer, {"order_date": unclear, "ship_date": iso})
    assert infer({"created_at": iso, "ship_date": unclear}).column == "created_at"
    read = infer({"order_date": unclear, "ship_date": iso}, format="%d/%m/%Y")
    assert (read.column, read.kind) == ("order_date", "time")
    assert infer({"order_date": unclear, "ship_date": iso}, column="ship_date").column == "ship_date"


def test_what_the_user_says_is_checked(infer):
    iso = [FORMATS["ISO"](moment) for moment in moments()]
    assert "there is no column 'tme' (mapped to time)" in refused(infer, {"time": iso}, column="tme")
    assert "no column holds times as %d/%m/%Y; check --time-format" in refused(infer, {"time": iso}, format="%d/%m/%Y")
    with pytest.raises(DataError, match="time_zone is 'Mars'"):
        infer({"time": iso}, zone="Mars")
    with pytest.raises(DataError, match="time_format is '%Q'"):
        infer({"time": iso}, format="%Q")
    said = refused(infer, {"time": iso}, format="%d/%m/%Y", column="time")
    assert "is not written as %d/%m/%Y; check --time-format" in said
    assert "is in no known format" in refused(infer, {"time": iso, "note": ["x"] * 60}, column="note")
    assert "no row has a value" in refused(infer, {"time": iso, "note": [""] * 60}, column="note")
    counted = infer({"n": [str(n // 7) for n in range(60)]}, column="n")
    assert (counted.kind, counted.column) == ("position", "n")


def test_other_columns_are_no_times(infer):
    draw = random.Random(0)
    columns = {
        "rating": [draw.randint(1, 5) for _ in range(60)], "price": [draw.random() * 100 for _ in range(60)],
        "review_id": [draw.randrange(1_000_000_000, 1_700_000_000) for _ in range(60)],
        "day": ["Monday", "Friday"] * 30,
        "version": [f"1.{n % 12}.10" for n in range(60)], "text": [f"Seen in 2019, {n} times" for n in range(60)],
        "zip": [f"{n + 10_000}" for n in range(60)], "year": [2000 + n % 20 for n in range(60)],
        "hour": [n % 24 for n in range(60)],
        "phone": [1_234_567_890 + n for n in range(60)], "tags": [["2019-01-01"]] * 60, "empty": [None] * 60,
    }  # fmt: skip
    found = infer(columns)
    assert (found.kind, found.column) == ("", "")
    (said,) = found.remarks
    assert said.startswith(
        "events are taken in the order of the file, the oldest first, as no column orders them: of user"
    )


def test_dates_of_items_and_users_are_no_times_of_events(infer):
    draw = random.Random(3)
    items = [f"i{draw.randrange(20)}" for _ in range(60)]
    by_item = [FORMATS["ISO"](START + timedelta(days=int(item[1:]))) for item in items]
    found = infer({"item": items, "date": by_item})
    assert found.kind == ""
    assert found.remarks[0] == "column 'date' has one time for each item, so it is not that of the events"
    by_user = [FORMATS["ISO"](START + timedelta(days=n % 7)) for n in range(60)]
    assert infer({"signup_date": by_user}).kind == ""
    times = [FORMATS["ISO"](moment) for moment in moments()]
    assert infer({"item": items, "released": by_item, "signup_date": by_user, "x": times}).column == "x"


def test_times_of_a_day_are_ignored(infer):
    clock = [f"{n % 24:02}:30" for n in range(60)]
    days = [f"{moment:%Y-%m-%d}" for moment in moments()]
    found = infer({"time": clock, "date": days})
    assert found.column == "date"
    assert found.remarks[0] == "column 'time' has times of a day without a date, such as '00:30', so it is ignored"


def test_ties_are_told_and_files_that_have_the_newest_first(infer):
    days = [f"2019-10-{1 + n // 20:02}" for n in range(60)]
    (said,) = infer({"date": days}).remarks
    assert (
        said
        == "100% of the events have the same 'date' as another event of their user; these keep the order of the file"
    )
    (said,) = infer({"date": days[::-1]}).remarks
    assert said.endswith("which has the newest first: reverse its rows if that is wrong")


# ----------------------------------------------------------------------------------------------------------- positions


def test_counters_are_positions(infer):
    for name in ("position", "step", "sequence", "order", "index", "timestamp"):
        found = infer({name: [n // 7 for n in range(60)]})
        assert (found.kind, found.column) == ("position", name)
        assert "so it is used as their position: the lowest number is the oldest" in found.remarks[-1]


def test_numbers_of_rows_and_ranks_are_no_positions(infer):
    for name in ("index", "order"):
        found = infer({name: list(range(60))})
        assert found.kind == ""
        assert f"column '{name}' does not number the events of users, so it is ignored" in found.remarks
    assert infer({"position": [1] * 60}).kind == ""
    found = infer({"rank": [n // 7 for n in range(60)]})
    assert found.kind == ""
    assert found.remarks[0].startswith("column 'rank' may order something else than time, so it is ignored; map it")


def test_times_win_over_positions(infer):
    iso = [FORMATS["ISO"](moment) for moment in moments()]
    assert infer({"position": [n // 7 for n in range(60)], "at": iso}).column == "at"


def test_the_order_of_the_file_is_shown_by_an_example(infer):
    (said,) = infer({}).remarks
    assert said.endswith("of user 'u0' item 'i7' is the oldest and 'i17' the newest, which is predicted")
