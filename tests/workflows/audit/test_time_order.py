"""Times read beside events, also where an experiment does not use them."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest

from lexirec.data.loading import DataSettings, read_data
from lexirec.workflows.audit.time_order import read_times

DAY = 86_400
START = 1_400_000_000


@pytest.fixture
def tables(tmp_path):
    """Ann takes a, b and a again, and Ben b; positions order the events, some have no time."""
    csv.write_csv(pa.table({"item_id": ["a", "b"], "title": ["one", "two"]}), tmp_path / "items.csv")
    events = {
        "user_id": ["ann", "ben", "ann", "ann"],
        "item_id": ["a", "b", "b", "a"],
        "position": [2, 0, 1, 0],
        "timestamp": [START + 2 * DAY, None, START + DAY, START],
    }

    def write(**changes):
        csv.write_csv(pa.table({**events, **changes}), tmp_path / "events.csv")
        return DataSettings(items=tmp_path / "items.csv", interactions=tmp_path / "events.csv")

    return write


def test_an_unmapped_column_of_times_is_found_and_laid_beside_the_events(tables):
    settings = tables()
    catalog, interactions = read_data(settings)
    assert interactions.times is None
    assert interactions.sequences.row(0).tolist() == [0, 1, 0]
    times = read_times(settings, catalog, interactions)
    np.testing.assert_array_equal(times, [START, START + DAY, START + 2 * DAY, np.nan])


def test_numbers_that_are_no_moments_are_no_times(tables):
    settings = tables(timestamp=[3, 2, 1, 0])
    assert read_times(settings, *read_data(settings)) is None


def test_without_a_column_there_are_no_times(tables):
    settings = tables()
    other = settings.model_copy(update={"interactions": settings.items})
    catalog, interactions = read_data(settings)
    assert read_times(other, catalog, interactions) is None


def test_times_are_read_as_the_experiment_reads_them(tables):
    """Conditions, zones, formats and spellings of ids are those of the settings."""
    settings = tables(
        item_id=["A", "b", "B", "a"],
        timestamp=["02/10/2019 12:00", "13/10/2019 12:00", "03/10/2019 12:00", "04/10/2019 12:00"],
        kind=["buy", "buy", "buy", "view"],
    )
    settings = settings.model_copy(
        update={"where": "kind = 'buy'", "match_ids": ("case",), "time_zone": "Europe/Berlin"}
    )
    catalog, interactions = read_data(settings)
    assert [interactions.sequences.row(n).tolist() for n in range(2)] == [[1, 0], [1]]
    times = read_times(settings, catalog, interactions)
    second = 1_570_010_400  # 2019-10-02 10:00 UTC
    np.testing.assert_array_equal(times, [second + DAY, second, second + 11 * DAY])
