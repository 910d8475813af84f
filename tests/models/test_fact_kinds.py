from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.models.fact_kinds import as_array, kind_of, plain, type_of


@pytest.mark.parametrize(
    "values",
    [[1, 2], [1, 2.5], [None, "a"], [True, None], [[1], [2.5]], [[], [1]], [[], ["a"]], [None], [["a"], None]],
)
def test_the_type_is_that_of_all_values_together(values):
    assert type_of(map(kind_of, values)) == pa.array(values).type


@pytest.mark.parametrize("values", [[1, "a"], [True, 1], [[1], 1], [["a"], [1]]])
def test_kinds_that_do_not_go_together_are_one_line(values):
    with pytest.raises(DataError, match=r"of different kinds \(.*\); give values of one kind") as caught:
        type_of(map(kind_of, values))
    assert "\n" not in str(caught.value)


def test_a_value_of_another_kind_than_the_column_is_refused():
    assert as_array([1, None, 2.5], pa.float64()).to_pylist() == [1.0, None, 2.5]
    with pytest.raises(DataError, match="of another kind than the column"):
        as_array(["cheap"], pa.float64())
    with pytest.raises(DataError, match="of another kind than the column"):
        as_array([1.5], pa.int64())


def test_times_survive_the_log():
    assert plain(datetime(2026, 1, 31)) == "2026-01-31T00:00:00+00:00"
    assert plain([date(2026, 1, 31), 1]) == ["2026-01-31", 1]
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert as_array([plain(moment)], pa.timestamp("us", "UTC")).to_pylist() == [moment]
    assert as_array([plain(date(2026, 1, 31))], pa.date32()).to_pylist() == [date(2026, 1, 31)]
    with pytest.raises(DataError, match="type bytes"):
        plain(b"x")
