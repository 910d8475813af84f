import json
from dataclasses import replace

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.runs import evaluations
from lexirec.pipeline.stages.report import stored_reports
from lexirec.workflows.comparison.analyze import context_of
from lexirec.workflows.comparison.sliced import compare_slices, compare_slices_named
from lexirec.workflows.comparison.systems import compare_named
from tests.worlds.small_run import small_run


@pytest.fixture(scope="module")
def systems():
    found = evaluations(small_run()[1])
    return {name: [stored_reports(found[name])["excluded"]] for name in ("memory", "popularity", "sasrec")}


@pytest.fixture(scope="module")
def ground():
    return context_of(small_run()[1])


def test_slices_add_up_to_the_whole_difference(systems, ground):
    (found,) = compare_slices(systems, ground, "ndcg@10", "memory", ["transition"])
    assert found.kind == "transition"
    assert sum(found.cases) == 120
    for name in ("popularity", "sasrec"):
        whole = systems[name][0].metrics["ndcg@10"] - systems["memory"][0].metrics["ndcg@10"]
        parts = [value - base for value, base in zip(found.values[name], found.values["memory"], strict=True)]
        assert np.average(parts, weights=found.cases) == pytest.approx(whole)
        for each, part, p_value in zip(found.differences[name], parts, found.adjusted[name], strict=True):
            if each is not None:
                assert each.value == pytest.approx(part)
                assert each.p_value <= p_value <= 1


def test_a_group_of_one_user_has_no_interval(systems, ground):
    groups = compare_slices(systems, ground, "recall@5", "popularity", ["history", "hops"])
    for found in groups:
        for name, each in found.differences.items():
            assert [difference is None for difference in each] == [p is None for p in found.adjusted[name]]
            assert [difference is None for difference in each] == [cases == 1 for cases in found.cases]
        assert json.loads(json.dumps(found.as_json()))["rows"]
        assert found.table().row_count == 3


def test_stored_evaluations_are_compared_by_name(systems):
    store, _ = small_run()
    names = ["small:memory", "small:popularity"]
    comparison = compare_named(store, names)
    (found,) = compare_slices_named(store, names, comparison, ["rarity"])
    assert (found.baseline, found.metric) == ("small: memory", "ndcg@10")
    with pytest.raises(SettingsError, match="--by rare: must be one of"):
        compare_slices_named(store, names, comparison, ["rare"])


def test_other_cases_are_refused(systems, ground):
    other = replace(ground, cases=ground.cases.take(np.arange(60)))
    with pytest.raises(ArtifactError, match="do not match the experiment's cases"):
        compare_slices(systems, other, "ndcg@10", "memory", ["hops"])
