import pytest

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.runs import evaluations, recommenders, record
from lexirec.evaluation.evaluator import Report
from lexirec.models.loading import chosen, load_named, load_recommender
from lexirec.pipeline.results import evaluate_named, measured, side_by_side, with_seeds
from lexirec.pipeline.run import run_experiment
from tests.worlds.small_run import experiment, small_run


def test_an_experiment_has_its_recommenders_and_evaluations():
    _, done = small_run()
    assert list(recommenders(done)) == list(evaluations(done)) == ["popularity", "transitions", "memory", "sasrec"]
    assert {row.name: row.floor for row in measured(done)} == {
        "popularity": False,
        "transitions": True,
        "memory": True,
        "sasrec": False,
    }


def test_the_best_is_meant_unless_another_is_wanted():
    _, done = small_run()
    metrics = {name: Report.load(folder / "excluded").metrics["ndcg@10"] for name, folder in evaluations(done).items()}
    assert metrics[chosen(done)] == max(metrics.values())
    assert chosen(done, "popularity") == "popularity"
    with pytest.raises(ArtifactError, match=r"small has no recommender 'memry'; .*Did you mean 'memory'\?"):
        chosen(done, "memry")


def test_an_experiment_without_recommenders_says_so():
    store, done = small_run()
    bare = record(store, "bare", experiment(), [done.stage("data")])
    with pytest.raises(ArtifactError, match=r"bare has no recommender: .* neither \[model\] nor"):
        chosen(bare)
    with pytest.raises(ArtifactError, match="bare has no evaluation"):
        side_by_side(store, ["bare", "small"])


def test_recommenders_load_by_name_and_by_folder():
    store, done = small_run()
    folder = done.stage("baselines.memory").folder
    for loaded in (load_named(store, "small", "memory"), load_named(store, str(folder))):
        assert loaded.catalog.digest == load_recommender(folder).catalog.digest


def test_stored_figures_are_taken_and_others_are_measured():
    store, done = small_run()
    stored = Report.load(done.stage("evaluation.memory").folder / "excluded")
    assert evaluate_named(store, "small", "test", "memory").metrics == stored.metrics
    included = evaluate_named(store, "small", "test", "memory", seen="included")
    assert included.metrics != stored.metrics
    validation = evaluate_named(store, "small", "validation", "memory")
    assert validation.protocol["fold"] == "validation"
    assert validation.metrics != stored.metrics


@pytest.mark.parametrize(("fold", "seen"), [("tst", None), ("test", "kept")])
def test_unknown_folds_and_protocols_are_refused(fold, seen):
    store, _ = small_run()
    with pytest.raises(SettingsError, match="evaluate: "):
        evaluate_named(store, "small", fold, seen=seen)


def test_experiments_of_one_protocol_stand_side_by_side(tmp_path):
    store, _ = small_run()
    other = run_experiment(experiment(name="slow", baselines={"memory": {"kind": "memory", "window": 2}}), store)
    assert other is not None
    names = [row.name for row in side_by_side(store, ["small", "slow"])]
    assert names == ["small: popularity", "small: transitions", "small: memory", "small: sasrec", "slow: memory"]
    assert [row.name for row in side_by_side(store, ["slow"])] == ["memory"]


def test_other_protocols_are_refused_and_named():
    store, _ = small_run()
    small = {"vectors": {}, "codes": None, "neighbors": None, "baselines": {"memory": {"kind": "memory"}}}
    data = {"kind": "toy-shop", "products": 100, "shoppers": 120, "max_history": 3}
    run_experiment(experiment(name="short", data=data, **small), store)
    with pytest.raises(
        ArtifactError, match=r"small and short were measured under different protocols \(max_history 20 and 3"
    ):
        side_by_side(store, ["small", "short"])


def seeds_of(run, name):
    stage = run.stage(f"evaluation.{name}")
    return with_seeds(Report.load(stage.folder / "excluded"), run.stages, stage).protocol["seeds"]


def test_the_card_of_a_stored_evaluation_names_the_seeds_of_all_it_was_made_from():
    store, done = small_run()
    assert [seeds_of(done, name) for name in ("popularity", "transitions", "memory")] == [{}, {}, {}]
    assert set(seeds_of(done, "sasrec").values()) == {3}
    smoothed = experiment(name="smoothed", baselines={"memory": {"kind": "memory", "evidence": "vectors"}})
    run = run_experiment(smoothed, store)
    assert seeds_of(run, "memory") == {"vectors.text: seed": 3}, "its vectors depend on a seed, it has none of its own"
