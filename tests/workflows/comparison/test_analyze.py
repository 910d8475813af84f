import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.runs import evaluations, find_run, record
from lexirec.core.store import Store
from lexirec.data.ranking import Ranking
from lexirec.evaluation.context import EvaluationContext
from lexirec.evaluation.evaluator import LISTS
from lexirec.pipeline.stages.report import stored_reports
from lexirec.workflows.comparison.analyze import analyze_named, analyze_systems, context_of
from tests.worlds.small_run import experiment, small_run


@pytest.fixture(scope="module")
def store() -> Store:
    return small_run()[0]


@pytest.fixture(scope="module")
def ground() -> EvaluationContext:
    return context_of(small_run()[1])


def reports(name: str, seen: str = "excluded"):
    return stored_reports(evaluations(small_run()[1])[name], lists=True)[seen]


def test_an_experiment_is_looked_at_whole(store):
    found = analyze_named(store, ["small"])
    assert list(found.beyond) == ["popularity", "transitions", "memory", "sasrec"]
    assert {"popularity", "history", "memorisation", "pattern"} <= {each.kind for each in found.slices}
    for each in found.slices:
        assert sum(each.cases) == found.cases == 120
        for system, values in each.values.items():
            whole = sum(one.value * cases for one, cases in zip(values["recall"], each.cases)) / found.cases
            assert whole == pytest.approx(reports(system).metrics["recall@10"])
    assert found.beyond["popularity"]["serendipity"] == 0
    assert found.beyond["popularity"]["coverage"] < found.beyond["memory"]["coverage"]
    assert found.beyond["memory"]["vector_diversity"] is not None
    assert found.calibrations == {}
    assert "no calibration: no system's scores are probabilities over the catalogue" in found.notes


def test_it_is_reported_as_text_and_as_json(store):
    found = analyze_named(store, ["small:memory", "best=small:sasrec"], k=5, by=["history", "category=brand"])
    assert [each.kind for each in found.slices] == ["history", "category (brand)"]
    text = found.text()
    for word in ("120 cases of 120 users, seen items excluded", "recall@5/NDCG@5 by history", "small: memory", "best"):
        assert word in text
    plain = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert (plain["k"], plain["seen"]) == (5, "excluded")
    assert {"slice", "system", "cases", "recall@5", "ndcg@5_interval"} <= set(plain["slices"]["history"]["rows"][0])


def test_seeds_of_a_system_are_meant_together(ground):
    one, two = reports("memory"), reports("sasrec")
    found = analyze_systems({"both": [one, two], "memory": [one]}, ground, by=["memorisation"])
    alone = analyze_systems({"memory": [one], "sasrec": [two]}, ground, by=["memorisation"])
    for name, value in found.beyond["both"].items():
        assert value == pytest.approx(np.mean([alone.beyond[each][name] for each in ("memory", "sasrec")]))
    recall = {name: each["recall"][0].value for name, each in (found.slices[0].values | alone.slices[0].values).items()}
    assert recall["both"] == pytest.approx((recall["memory"] + recall["sasrec"]) / 2)


def probable(report, sharpness=1.0):
    """The report with softmax probabilities over its list as scores, as a model with a catalogue likelihood has."""
    scores = report.lists.scores.astype(np.float64) * sharpness
    scores -= np.logaddexp.reduce(scores, axis=1, keepdims=True)
    lists = Ranking(report.lists.items, scores.astype(np.float32))
    return replace(report, lists=lists, protocol={**report.protocol, "probabilities": True})


def test_probabilities_of_all_seeds_are_calibrated_together(ground):
    kept = probable(reports("memory", "included"))
    found = analyze_systems({"m": [reports("memory")]}, ground, {"m": [kept, kept]}, by=["history"])
    assert sum(each.count for each in found.calibrations["m"].top.bins) == 240
    assert found.calibrations["m"].recall[0] == pytest.approx(np.mean(kept.ranks == 1))
    assert found.calibrations["m"].mass[-1] == pytest.approx(1)
    assert "calibration of item probabilities" in found.text()


def test_probabilities_are_read_from_lists_with_seen_items(store, tmp_path):
    """Under the name `calibrated`: the memory, whose scores are marked as probabilities, with both protocols or one."""
    done = find_run(store, "small")
    mine = Store(tmp_path)
    for name, seen in (("calibrated", ("excluded", "included")), ("half", ("excluded",))):
        step = replace(done.stage("evaluation.memory"), key=name * 16, folder=mine.path("evaluation", name * 16))
        for each in seen:
            probable(reports("memory", each)).save(step.folder / each)
        record(mine, name, experiment(), [done.stage("data"), done.stage("baselines.memory"), step])
    shutil.copytree(done.stage("data").folder, mine.path("data", done.stage("data").key))
    assert list(analyze_named(mine, ["calibrated:memory"], by=["history"]).calibrations) == ["calibrated: memory"]
    half = analyze_named(mine, ["half:memory"], by=["history"])
    assert half.calibrations == {}
    assert any(
        "no calibration: half: memory was evaluated with seen items excluded, not included" in n for n in half.notes
    )
    for path in (tmp_path / "evaluation").rglob(LISTS):
        path.unlink()
    with pytest.raises(ArtifactError, match="half: memory: its evaluation kept no lists; run the experiment again"):
        analyze_named(mine, ["half:memory"])


def test_what_cannot_be_looked_at_is_reported(store, ground):
    with pytest.raises(SettingsError, match="-k 0: must be 1 or more"):
        analyze_named(store, ["small"], k=0)
    with pytest.raises(ArtifactError, match="popularity: its evaluation kept lists of 10 items; use -k 10 or less"):
        analyze_named(store, ["small"], k=11)
    with pytest.raises(SettingsError, match="--by colour: must be one of"):
        analyze_named(store, ["small"], by=["colour"])
    with pytest.raises(ArtifactError, match=r"measured under different protocols \(seen items excluded and included"):
        analyze_systems({"a": [reports("memory")], "b": [reports("memory", "included")]}, ground)
    other = replace(ground, cases=ground.cases.take(np.arange(119, -1, -1)))
    with pytest.raises(ArtifactError, match="do not match the experiment's cases"):
        analyze_systems({"a": [reports("memory")]}, other)
