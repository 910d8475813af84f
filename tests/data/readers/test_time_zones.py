import pytest

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.time_zones import ABBREVIATIONS, area_names, check_zone, in_zone, timestamp_in_zone, with_zone


@pytest.fixture(scope="module")
def work():
    with Workspace() as work:
        yield work


def value(work, sql):
    ((found,),) = work.rows(f"SELECT {sql}")
    return found


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("UTC", "UTC"), ("gmt", "UTC"), ("Z", "UTC"), ("europe/berlin", "Europe/Berlin"), ("+2", "+02:00"),
        ("+0530", "+05:30"), ("-03:00", "-03:00"), ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ],
)  # fmt: skip
def test_zones_are_spelled_as_in_the_database(work, given, kept):
    assert check_zone(work, given) == kept


@pytest.mark.parametrize("given", ["Europe/Berln", "IST", "CET", "", "+25:00", "+02:75", "local", "UTC'; DROP TABLE x"])
def test_other_zones_are_refused(work, given):
    with pytest.raises(DataError, match=r"^time_zone is '.*'; allowed are UTC, names such as Europe/Berlin") as error:
        check_zone(work, given)
    assert "\n" not in str(error.value)
    assert ("Europe/Berlin'?" in str(error.value)) == (given == "Europe/Berln")


def test_a_clock_in_a_zone_is_a_moment(work):
    assert value(work, in_zone("1000.5", "UTC")) == 1000.5
    assert value(work, in_zone("7200.5", "+02:00")) == 0.5
    assert value(work, in_zone("0", "-05:30")) == 5.5 * 3600
    july = "epoch(TIMESTAMP '2024-07-01 12:00:00')"
    assert value(work, f"{in_zone(july, 'Europe/Berlin')} - {july}") == -7200
    assert value(work, f"{timestamp_in_zone('DATE ' + repr('2024-07-01'), 'Europe/Berlin')} - {july}") == -50_400


@pytest.mark.parametrize(
    ("clock", "moment"),
    [
        ("2024-03-31 02:30:00", "2024-03-31 01:30:00"),  # skipped: 03:30 in summer
        ("2024-10-27 02:30:00", "2024-10-27 01:30:00"),  # shown twice: the second
        ("2024-10-27 01:59:59", "2024-10-26 23:59:59"),
        ("2024-10-27 03:00:00", "2024-10-27 02:00:00"),
    ],
)
def test_where_clocks_change(work, clock, moment):
    local, wanted = f"epoch(TIMESTAMP '{clock}')", f"epoch(TIMESTAMP '{moment}')"
    assert value(work, f"{in_zone(local, 'Europe/Berlin')} - {wanted}") == 0
    assert value(work, f"{timestamp_in_zone(f'TIMESTAMP {clock!r}', 'Europe/Berlin')} - {wanted}") == 0


@pytest.mark.parametrize(
    ("offset", "word", "seconds"),
    [
        ("+02:00", "", -7200), ("+0530", "", -19_800), ("-7", "", 25_200), ("+02", "", -7200), ("-03:30", "", 12_600),
        ("+15:00", "", None), ("+02:60", "", None), ("", "z", 0), ("", "EST", 18_000), ("", "PDT", 25_200),
        ("", "IST", None), ("", "BST", None), ("", "CET", None), ("", "Europe/Berlin", -3600),
        ("", "Europe/Paris", None), ("", "", -3600),
    ],
)  # fmt: skip
def test_zones_in_text(work, offset, word, seconds):
    sql = with_zone("0", f"'{offset}'", f"'{word}'", "Europe/Berlin", ("Europe/Berlin",))
    assert value(work, sql) == seconds


def test_names_without_a_slash_are_not_taken(work):
    names = area_names(work)
    assert "Europe/Berlin" in names
    assert all("/" in name for name in names)
    assert set(ABBREVIATIONS) == {"Z", "UT", "UTC", "GMT", "EDT", "EST", "CDT", "CST", "MDT", "MST", "PDT", "PST"}
