"""When items are available: limits, the stretch of time that a mask holds for, and values that are no times."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.models.item_windows import ALWAYS, Windows, limit_of, time_text


def catalog(**columns):
    return Catalog(pa.table({"item_id": ["a", "b", "c"], "title": ["x", "y", "z"], **columns}), ("title",))


def test_an_item_is_available_from_its_first_moment_on_until_its_last():
    windows = Windows.of(catalog(available_from=[None, 10.0, None], available_until=[None, 20.0, 15.0]))
    seen = {now: windows.available(now).tolist() for now in (9.999, 10.0, 14.999, 15.0, 19.999, 20.0)}
    assert seen == {
        9.999: [True, False, True],
        10.0: [True, True, True],
        14.999: [True, True, True],
        15.0: [True, True, False],
        19.999: [True, True, False],
        20.0: [True, False, False],
    }


def test_a_mask_holds_until_the_next_moment_and_not_before_the_last():
    chance = np.random.default_rng(0)
    begins, ends = chance.integers(0, 30, 12).astype(float), chance.integers(0, 30, 12).astype(float)
    windows = Windows(np.where(begins < 5, -np.inf, begins), np.where(ends > 25, np.inf, ends))
    for now in np.arange(-1, 32, 0.5):
        span = windows.span(float(now))
        assert span.holds(float(now))
        for other in np.arange(-1, 32, 0.5):
            if span.holds(float(other)):
                assert (windows.available(float(other)) == windows.available(float(now))).all()
    moments = {windows.span(float(now)).end for now in np.arange(-1, 32, 0.5)}
    assert len(moments) > 10


def test_without_limits_it_holds_always():
    windows = Windows.of(catalog())
    assert not windows
    assert windows.span(5.0) == ALWAYS


def test_texts_numbers_and_times_without_zone_are_read_and_others_are_no_limit(caplog):
    times = pa.array([1, None, 2], pa.timestamp("s"))
    with caplog.at_level(logging.WARNING):
        windows = Windows.of(catalog(available_from=times, available_until=["1970-01-01T00:00:05Z", "soon", "7"]))
    assert windows.begins.tolist() == [1.0, -np.inf, 2.0]
    assert windows.ends.tolist() == [5.0, np.inf, 7.0]
    assert "available_until of 1 items is no time" in caplog.text


def test_what_is_stored_is_a_text_in_utc():
    assert time_text("available_from", "a", "2026-01-31T13:00:00+01:00") == "2026-01-31T12:00:00Z"
    assert time_text("available_from", "a", "1") == "1970-01-01T00:00:01Z"
    assert time_text("available_from", "a", "") is None
    assert limit_of(None, -1.0) == -1.0
    with pytest.raises(DataError, match=r"available_until of item 'a' is 'soon', which is no time; give seconds"):
        time_text("available_until", "a", "soon")
