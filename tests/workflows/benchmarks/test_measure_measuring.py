import subprocess
import sys

import numpy as np
import pytest

from lexirec.core.environment import PeakMemory
from lexirec.workflows.benchmarks.measure import least_time, timings

GROWTH = """
import numpy as np
from lexirec.core.environment import PeakMemory
memory = PeakMemory()
block = np.ones(64 * 2**20 // 8)
del block
print(memory.growth)
"""


def test_the_peak_is_remembered_after_the_memory_is_given_back():
    # A process of its own: where the system cannot reset the peak, an earlier test may have gone higher.
    told = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True).stdout
    assert 60 < float(told) < 90


def test_a_new_measurement_forgets_earlier_peaks():
    block = np.ones(64 * 2**20 // 8)
    del block
    memory = PeakMemory()
    assert memory.growth < 30


def test_timings_are_medians_with_their_spread():
    assert timings("our_", [3.0, 1.0, 2.0]) == {"our_seconds": 2.0, "our_seconds_spread": [1.0, 3.0]}


def test_the_floor_is_what_takes_longer():
    computing, moving = least_time(1e12, 1.0), least_time(1.0, 1e12)
    assert computing["floor_seconds"] == pytest.approx(1e3 / computing["gigaflop_per_second"])
    assert moving["floor_seconds"] == pytest.approx(1e3 / moving["gigabytes_per_second"])
