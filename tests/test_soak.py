"""The soak: short, of a shop with a small model, and what it says of figures that miss their bars."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.serving.live import run_shop

ROOT = Path(__file__).resolve().parents[1]


def load():
    spec = importlib.util.spec_from_file_location("soak", ROOT / "benchmarks" / "soak.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


script = load()
GOOD = {"failed": 0, "failures": [], "megabytes_per_minute": 0.2, "threads": [16, 16], "files": [20, 22]}
GOOD |= {"overload": None}
LOAD = {"failed": 0, "refused_without_retry_after": 0, "accepted_p99_ms": 900.0, "recovery_seconds": 0.4}


def test_figures_that_miss_a_bar_are_named():
    assert script.missed(GOOD) == []
    assert script.missed(GOOD | {"overload": LOAD}) == []
    for wrong, word in (
        ({"failed": 1, "failures": ["events: 500"]}, "failed"),
        ({"megabytes_per_minute": 1.5}, "memory"),
        ({"threads": [16, 30]}, "threads"),
        ({"files": [20, 40]}, "files"),
        ({"overload": LOAD | {"failed": 2}}, "neither answered nor refused"),
        ({"overload": LOAD | {"accepted_p99_ms": None}}, "answers took"),
        ({"overload": LOAD | {"recovery_seconds": None}}, "over after"),
    ):
        [line] = script.missed(GOOD | wrong)
        assert word in line


def test_the_slope_is_that_after_the_warm_up():
    watch = script.Watch(1)
    watch.times = [2.0 * place for place in range(150)]
    watch.megabytes = [500 + min(place, 50) * 2 + place * 2 / 60 for place in range(150)]
    watch.threads, watch.files = [16] * 150, [20] * 149 + [90]
    found = watch.figures()
    assert found["megabytes_per_minute"] == pytest.approx(1.0, abs=0.01)
    assert found["files"] == [20, 20], "one look is no growth"


@pytest.mark.parametrize("growth", [0.0, 3.0])
def test_what_a_publish_needs_for_a_while_is_no_growth(growth):
    chance = np.random.default_rng(0)
    watch = script.Watch(1)
    watch.times = [2.0 * place for place in range(360)]
    published = chance.choice([0, 0, 40], 360)  # a third of the time, irregularly
    minutes = np.array(watch.times) / 60
    watch.megabytes = (600 + growth * minutes + published + chance.normal(0, 4, 360)).tolist()
    watch.threads, watch.files = [16] * 360, [20] * 360
    assert watch.figures()["megabytes_per_minute"] == pytest.approx(growth, abs=0.6)


@pytest.mark.long
def test_a_short_soak_asks_everything_and_loses_nothing(tmp_path, capsys):
    run_shop(tmp_path)
    arguments = ["--store", str(tmp_path / "store"), "--name", "shop", "--minutes", "0.25", "--overload", "0"]
    script.main([*arguments, "--clients", "8"])
    *lines, last = capsys.readouterr().out.splitlines()
    figures = json.loads(last)
    assert figures["failed"] == 0, figures["failures"]
    assert figures["requests"] > 100
    assert figures["exit_status"] == 0
    kinds = {line[:12].strip() for line in lines}
    assert {"recommend", "rank", "similar", "batch", "events", "merge", "erase", "item facts", "publish"} <= kinds
    assert not (tmp_path / "store" / "serving").exists(), "the store that was given stays as it is"
