import time

import pytest

from lexirec.serving.database.clock import SteadyClock


@pytest.fixture
def system(monkeypatch):
    """The two clocks of the system, which the test sets."""
    clocks = {"time": 1000.0, "monotonic": 5.0}
    monkeypatch.setattr(time, "time", lambda: clocks["time"])
    monkeypatch.setattr(time, "monotonic", lambda: clocks["monotonic"])
    return clocks


def test_it_is_the_systems_clock_as_long_as_that_goes_on(system):
    clock = SteadyClock()
    assert clock() == 1000.0
    system["time"], system["monotonic"] = 1001.0, 6.0
    assert clock() == 1001.0
    system["time"] = 9000.0  # set forward
    assert clock() == 9000.0


def test_set_back_it_goes_on_at_half_speed_until_the_system_has_caught_up(system):
    clock = SteadyClock()
    system["time"] = 900.0
    assert clock() == 1000.0
    system["time"], system["monotonic"] = 910.0, 15.0
    assert clock() == 1005.0
    system["time"], system["monotonic"] = 1200.0, 305.0
    assert clock() == 1200.0
