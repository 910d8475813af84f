from __future__ import annotations

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers.registry import import_dataset
from tests.data.importers.reading import column, histories, json_lines, rows, write

BUSINESSES = json_lines([{"business_id": f"b{n}", "name": f"Place {n}"} for n in range(1, 5)])


def imported(tmp_path, *dates, **more):
    reviews = [
        {"user_id": "u", "business_id": f"b{number}", "stars": 4, "date": date, **more}
        for number, date in enumerate(dates, start=1)
    ]
    files = {
        "yelp_academic_dataset_review.json": json_lines(reviews),
        "yelp_academic_dataset_business.json": BUSINESSES,
    }
    return import_dataset("yelp", write(tmp_path / "raw", files), tmp_path / "out")


def test_times_with_an_offset_are_that_moment(tmp_path):
    imported(
        tmp_path,
        "2024-10-26T10:00:00+02:00",
        "2024-10-26 11:00:00 +0200",
        "2024-10-27T02:50:00+02:00",
        "2024-10-27T02:10:00+01:00",
    )
    assert column(tmp_path / "out", "time") == [1729929600.0, 1729933200.0, 1729990200.0, 1729991400.0]
    assert histories(tmp_path / "out") == {"u": ["b1", "b2", "b3", "b4"]}


def test_times_without_an_offset_are_utc(tmp_path):
    imported(tmp_path, "2018-07-07 22:09:11", "2018-07-07T22:09:11Z", "2018-07-07", "1531001351")
    assert column(tmp_path / "out", "time") == [1531001351.0, 1531001351.0, 1530921600.0, 1531001351.0]


def test_votes_are_kept(tmp_path):
    imported(tmp_path, "2018-07-07 22:09:11", useful=2, cool=0)
    assert rows(tmp_path / "out") == [
        {"user_id": "u", "item_id": "b1", "time": 1531001351.0, "rating": 4.0, "useful": 2.0, "cool": 0.0}
    ]


def test_a_text_that_is_no_time(tmp_path):
    with pytest.raises(DataError, match=r"row 2, column 'date': no time 'last week'"):
        imported(tmp_path, "2018-07-07 22:09:11", "last week")
