"""Baselines that a catalogue is too large for are left out before anything is trained."""

import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import DataError
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.pipeline.baseline_sizes import left_out_by_size, planned_without
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import plan_experiment, run_experiment

EASE = {"kind": "ease", "max_items": 50}
WHY = "ease: 84 items need about 0 GiB for the dense inverse; allowed are max_items = 50"


def experiment(**changes) -> Experiment:
    settings = {
        "name": "sizes",
        "data": {"kind": "toy-shop", "products": 84, "shoppers": 60},
        "baselines": {"popularity": {"kind": "popularity"}, "ease": EASE},
        "evaluation": {"ks": [5]},
    }
    return validate_settings(settings | changes, Experiment)


def test_a_run_leaves_them_out_and_a_plan_says_so(tmp_path, caplog):
    store, given = Store(tmp_path), experiment()
    assert planned_without(given, plan_experiment(given, store)) == {}, "the data are not there yet"
    with quiet():
        record = run_experiment(given, store)
    assert record.left_out["baselines.ease"].startswith(WHY)
    lines = [line.getMessage() for line in caplog.records]
    left_out = next(n for n, line in enumerate(lines) if "baselines.ease is left out" in line)
    fitted = [n for n, line in enumerate(lines) if line.startswith("baselines.popularity")]
    assert all(left_out < n for n in fitted)
    assert planned_without(given, plan_experiment(given, store))["ease"].startswith(WHY)


def test_an_empty_table_leaves_a_baseline_out():
    assert list(experiment(baselines={"popularity": {"kind": "popularity"}, "ease": {}}).baselines) == ["popularity"]


def test_a_reinforcement_that_needs_one_is_refused_before_the_model_is_trained():
    given = experiment()
    with_scorer = given.model_copy(update={"reinforcement": type("Rewarded", (), {"scorer": "ease"})()})
    with pytest.raises(DataError, match=r"'reinforcement.scorer' is 'ease', which is left out \(ease: 84 items"):
        left_out_by_size(with_scorer, 84, 60)
