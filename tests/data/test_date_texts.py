from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.data.date_texts import read_dates


def read(*texts: str | None) -> list[str]:
    return read_dates(pa.array(list(texts), pa.string())).astype(str).tolist()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-01", "2024-05-01T00:00:00.000000"),
        ("2024/5/1", "2024-05-01T00:00:00.000000"),
        (" 2024.05.01 ", "2024-05-01T00:00:00.000000"),
        ("2024-05-01 10:30", "2024-05-01T10:30:00.000000"),
        ("2024-05-01T10:30:15Z", "2024-05-01T10:30:15.000000"),
        ("2024-05-01 10:30:15 UTC", "2024-05-01T10:30:15.000000"),
        ("2024-05-01T10:30:00.25+02:00", "2024-05-01T08:30:00.250000"),
        ("2024-05-01 10:30:00,5", "2024-05-01T10:30:00.500000"),
        ("2024-05-01 10:30:00+02", "2024-05-01T08:30:00.000000"),
        ("2024-05-01T10:30:00.123456789-0530", "2024-05-01T16:00:00.123456"),
        ("2024-02-29", "2024-02-29T00:00:00.000000"),
        ("2024-01-01T00:30:00+02:00", "2023-12-31T22:30:00.000000"),
    ],
)
def test_an_iso_date_is_an_instant_in_utc(text, instant):
    assert read(text) == [instant]
    assert read(text, "2024-02-30") == [instant, "NaT"]  # without the reader of whole columns, too


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "2024-05",
        "20240501",
        "01/02/2024",
        "1.2.2024",
        "May 1, 2024",
        "2023-02-29",
        "2024-02-30",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "2024-01-32",
        "2024-05-01T24:00",
        "2024-05-01T10:60",
        "2024-05-01 10:30:61",
        "2024-05-01 10",
        "2024-05-01T10:30+25:00",
        "24-05-01",
        "call us",
    ],
)
def test_other_texts_are_no_dates(text):
    assert read(text, None) == ["NaT", "NaT"]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),
            st.one_of(st.none(), st.integers(-14 * 60, 14 * 60)),
            st.sampled_from(["seconds", "milliseconds", "microseconds", "auto"]),
            st.sampled_from("T "),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_what_python_writes_comes_back(given_times):
    texts, instants = [], []
    for moment, minutes, spec, separator in given_times:
        zone = UTC if minutes is None else timezone(timedelta(minutes=minutes))
        text = moment.replace(tzinfo=None if minutes is None else zone).isoformat(separator, spec)
        texts.append(text)
        instants.append(datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None))
    assert read_dates(pa.array(texts)).tolist() == np.array(instants, dtype="datetime64[us]").tolist()
