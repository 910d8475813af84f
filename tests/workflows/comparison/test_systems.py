import numpy as np
import pytest
from numpy.testing import assert_allclose

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.store import Store
from lexirec.pipeline.run import run_experiment
from lexirec.workflows.comparison.systems import Member, compare_named, read_name, stored_systems
from tests.worlds.seeded_runs import seeded_store
from tests.worlds.small_run import experiment


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return seeded_store(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize(
    ("given", "label", "members"),
    [
        ("small", None, [Member("small")]),
        ("small:memory", None, [Member("small", "memory")]),
        ("x=small:memory@3", "x", [Member("small", "memory", 3)]),
        ("small@0,1", None, [Member("small", None, 0), Member("small", None, 1)]),
        ("x=a-s0,a-s1:model", "x", [Member("a-s0"), Member("a-s1", "model")]),
        ("2014,2018", None, [Member("2014"), Member("2018")]),
        ("two=seeded@all", "two", [Member("seeded", None, seed) for seed in (0, 1, 2)]),
    ],
)
def test_names_are_read(store, given, label, members):
    assert read_name(store, given) == (label, members)


@pytest.mark.parametrize("given", ["", "small:", "=small", "small@x", "a=b=", "small,,small", "a:b:c"])
def test_other_names_are_refused(store, given):
    with pytest.raises(SettingsError, match="must have the form"):
        read_name(store, given)


def test_a_bare_name_means_its_model_or_best_baseline_and_alone_all_of_them(store):
    systems, labels = stored_systems(store, ["small", "small:popularity"])
    assert labels["small"] == next(iter(systems)) != "small: popularity"
    systems, _ = stored_systems(store, ["small"])
    assert list(systems) == ["popularity", "transitions", "memory", "sasrec"]
    found = compare_named(store, ["small"])
    best = max(systems, key=lambda name: systems[name][0].metrics["ndcg@10"])
    assert found.baseline == best
    assert compare_named(store, ["small"], baseline="memory").baseline == "memory"


def test_seeds_of_a_system_are_one_system(store):
    systems, _ = stored_systems(store, ["many=seeded@0,1,2", "seeded@1", "small:memory"])
    assert [len(reports) for reports in systems.values()] == [3, 1, 1]
    assert list(systems) == ["many", "seeded: memory", "small: memory"]
    found = compare_named(store, ["small:memory", "many=seeded@all"], metric="recall@10")
    assert found.differences["many"].seeds == (3, 1)
    assert_allclose(found.systems["many"].value, np.mean(found.systems["many"].seeds))


def test_the_baseline_may_be_named_as_it_was_given_or_as_it_is_shown(store):
    names = ["small:popularity", "small:memory"]
    assert compare_named(store, names, baseline="small:memory").baseline == "small: memory"
    assert compare_named(store, names, baseline="small: memory").baseline == "small: memory"
    assert compare_named(store, names).baseline == "small: popularity"


def test_of_names_the_recommender_of_all_and_seen_the_protocol(store):
    systems, _ = stored_systems(store, ["small", "seeded"], of="memory")
    assert list(systems) == ["small: memory", "seeded: memory"]
    kept = compare_named(store, ["small:memory", "small:sasrec"], seen="included")
    assert kept.seen == "included"


def test_what_is_not_there_is_reported(store):
    with pytest.raises(ArtifactError, match=r"no finished run with seed 7; finished seeds: 0, 1, 2\. .*--set seed=7"):
        compare_named(store, ["seeded@7", "small"])
    with pytest.raises(ArtifactError, match=r"no finished experiment 'smal'; .*Did you mean 'small'\?"):
        compare_named(store, ["smal@all", "small"])
    with pytest.raises(ArtifactError, match="seeded: memory was evaluated with seen items excluded, not included"):
        compare_named(store, ["seeded:memory", "small"], seen="included")
    with pytest.raises(ArtifactError, match=r"Did you mean 'memory'\?"):
        compare_named(store, ["small:memry", "small"])
    with pytest.raises(SettingsError, match="'small: memory' is given twice; label the systems as LABEL=small:memory"):
        compare_named(store, ["small:memory", "small:memory"])
    with pytest.raises(SettingsError, match="'a' is given twice; label the systems as LABEL=small:popularity"):
        compare_named(store, ["a=small:memory", "a=small:popularity"])


@pytest.mark.long
def test_seeds_of_a_system_differ_in_nothing_else(tmp_path):
    store = Store(tmp_path)
    for seed, window in ((0, 8), (1, 2), (2, 8)):
        changed = {"memory": {"kind": "memory", "window": window}, "popularity": {"kind": "popularity"}}
        run_experiment(experiment(name="mixed", seed=seed, baselines=changed, model=None), store)
    message = r"mixed:memory@0 and mixed:memory@1 differ in more than the seed: .*memory: window is 8 and 2; give each"
    with pytest.raises(SettingsError, match=message):
        stored_systems(store, ["x=mixed:memory@all", "mixed:popularity"])
    systems, _ = stored_systems(store, ["x=mixed:memory@0,2", "mixed:popularity@all"])
    assert [len(reports) for reports in systems.values()] == [2, 3], "settings of other recommenders do not matter"


def test_a_seed_counts_once(store):
    with pytest.raises(SettingsError, match=r"'x=seeded@0,1,0' names seeded@0 twice; name each seed"):
        read_name(store, "x=seeded@0,1,0")
