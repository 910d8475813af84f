import io

import numpy as np
from rich.console import Console

from lexirec.data.ranking import Ranking
from lexirec.evaluation.beyond_accuracy import MEASURES
from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.calibration import calibration
from lexirec.evaluation.slice_metrics import measure_slices
from lexirec.evaluation.slices import Slicing
from lexirec.reporting.tables import (
    beyond_table,
    calibration_table,
    counted,
    measure_text,
    reliability_table,
    slices_table,
)

QUICK = Bootstrap(replicates=100)


def text(table):
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(table)
    return console.file.getvalue()


def sliced():
    slicing = Slicing("kind", ("many", "one"), np.array([0] * 9 + [1]), "what kind means")
    ranks = np.arange(10) % 3
    return measure_slices(slicing, {"good": ranks, "bad": ranks * 0}, np.arange(10), k=5, bootstrap=QUICK)


def calibrations(users=60):
    items = np.tile(np.arange(6, dtype=np.int32), (users, 1))
    scores = np.log(np.tile([0.4, 0.2, 0.1, 0.1, 0.05, 0.05], (users, 1))).astype(np.float32)
    targets = (np.arange(users) % 7).astype(np.int32)
    return {"model": calibration(Ranking(items, scores), targets, np.arange(users), bootstrap=QUICK)}


def test_slices_have_groups_as_columns_and_say_what_they_are():
    found = text(slices_table(sliced()))
    assert "recall@5/NDCG@5 by kind" in found
    assert "9 cases" in found
    assert "1 case " in found
    assert "one user" in found
    assert ".6667/.5436" in found
    assert "what kind means" in found


def test_only_the_best_is_bold():
    console = Console(file=io.StringIO(), width=160, color_system="standard", force_terminal=True)
    console.print(slices_table(sliced()))
    written = console.file.getvalue()
    assert "\x1b[1m.6667/.5436" in written
    assert "\x1b[1m.0000" not in written


def test_measures_that_nobody_has_are_left_out():
    values = dict.fromkeys(MEASURES, 0.5) | {"miscalibration": None, "lift": -0.25, "novelty": 12.345}
    found = text(beyond_table({"a": values, "b": values | {"vector_diversity": None}}, 7))
    assert "beyond accuracy of the top 7" in found
    assert "miscalibration" not in found
    for word in ("−25 %", "12.35", "0.500", ".5000", "–", "Gini ↓", "share of the catalogue"):
        assert word in found


def test_numbers_of_measures_and_cases():
    assert measure_text("coverage", 0.123) == ".1230"
    assert measure_text("lift", 0.5) == "+50 %"
    assert measure_text("miscalibration", None) == "–"
    assert counted(1) == "1 case"
    assert counted(2500) == "2,500 cases"


def test_probabilities_are_set_beside_what_came_true():
    found = text(calibration_table(calibrations()))
    assert ".4000 → .1500" in found  # 9 of 60 targets are the first item
    assert "recall@5" in found
    assert "probability of top 6" in found
    assert "0.90 [0.90, 0.90]" in found
    bins = text(reliability_table(calibrations()))
    assert "least certain" in bins
    assert bins.count(".4000 →") == 10
    assert "[" in bins
