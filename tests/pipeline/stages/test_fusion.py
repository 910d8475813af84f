import numpy as np
import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.progress import quiet
from lexirec.core.runs import evaluations, find_run, recommenders
from lexirec.evaluation.evaluator import Report
from lexirec.models.loading import load_named, load_recommender
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.results import measured
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.workflows.comparison.systems import compare_named
from tests.worlds.small_run import SETTINGS, experiment, small_run

FUSION = {
    "fused": {"of": ["sasrec", "memory"], "rule": "per-case", "bins": 2},
    "ranks": {"of": ["sasrec", "memory", "transitions"], "kind": "reciprocal-rank"},
}


@pytest.fixture(scope="module")
def finished():
    store, _ = small_run()
    with quiet():
        done = run_experiment(experiment(name="fusing", ensemble=FUSION), store)
    return store, done


def test_fused_recommenders_stand_beside_the_others(finished):
    _, done = finished
    assert list(recommenders(done))[-2:] == list(evaluations(done))[-2:] == ["fused", "ranks"]
    rows = {row.name: row for row in measured(done)}
    assert rows["fused"].excluded["recall@10"] >= min(rows[name].excluded["recall@10"] for name in ("sasrec", "memory"))
    report = (done.stage("report").folder / "report.md").read_text()
    assert "fused" in report
    assert "ranks" in report


def test_the_stage_reports_and_draws_how_weights_were_chosen(finished):
    _, done = finished
    folder = done.stage("fused").folder
    summary = (folder / "summary.md").read_text()
    assert "chosen on" in summary
    assert "full search on" in summary
    assert "with weights chosen on the other half" in summary
    assert "| weight |" in summary
    assert (folder / "weights.png").stat().st_size > 5000


@pytest.fixture(scope="module")
def with_experts(tmp_path_factory):
    store, _ = small_run()
    path = tmp_path_factory.mktemp("experts") / "networks.toml"
    network = "[baselines.network]\nkind = 'sasrec'\ndimensions = 8\nlayers = 1\ntraining.epochs = 3\n"
    path.write_text(f"[data]\nkind = 'toy-shop'\nproducts = 55\n{network}")
    given = {"experiment": str(path), "part": "network"}
    experts = {"twin": given, "second": {**given, "seed_step": 3}}
    settings = {"experts": experts, "ensemble": {"ensemble": {"of": ["sasrec", "second", "memory"]}}}
    with quiet():
        done = run_experiment(experiment(name="experts", **settings), store)
    return store, done, settings


def test_experts_are_made_on_these_data_and_measured(with_experts):
    _, done, _ = with_experts
    expected = ["twin", "second", "popularity", "transitions", "memory", "sasrec", "ensemble"]
    assert list(recommenders(done)) == list(evaluations(done)) == expected
    folders = {name: done.stage(name).folder for name in ("experts.twin", "experts.second", "baselines.sasrec")}
    assert folders["experts.twin"] == folders["baselines.sasrec"], "the same recipe with the same seed"
    assert folders["experts.second"] != folders["baselines.sasrec"]
    assert [name for name in done.stages if name.startswith("experts.")] == ["experts.twin", "experts.second"]
    parts = Report.load(evaluations(done)["ensemble"] / "excluded").protocol["parts"]
    assert list(parts) == ["sasrec", "second", "memory"]


def test_experts_are_found_again_named_and_no_baselines(with_experts):
    store, _, settings = with_experts
    states = {step.name: step.state for step in plan_experiment(experiment(name="experts", **settings), store)}
    assert set(states.values()) == {"done"}
    assert len(load_named(store, "experts", "second").catalog) == 100
    with quiet():
        assert run_experiment(experiment(name="experts", **settings), store, until="experts") is None
    compared = compare_named(store, ["experts"])
    assert compared.baseline not in ("twin", "second", "ensemble")


def test_a_memory_is_tuned_in_its_place(finished):
    store, _ = finished
    fused = {"of": ["sasrec", "memory"], "partner": {"trials": 3, "cases": 60}}
    with quiet():
        again = run_experiment(experiment(name="partner", ensemble={"tuned": fused}), store)
    folder = again.stage("fused.tuned").folder
    made = load_recommender(folder)
    partner, own = (
        each.scorer.settings
        for each in (made.parts[1].recommender, load_recommender(again.stage("baselines.memory").folder))
    )
    summary = (folder / "summary.md").read_text()
    assert "partner: the best of 3 memories, trial " in summary
    assert "partner chosen on the other half of the users" in summary
    assert "| trial | ndcg@10 | window |" in summary
    assert (folder / "partner.png").stat().st_size > 5000
    assert made.settings.partner.seed == SETTINGS["seed"]
    assert ("trial 1;" in summary) == (partner == own)
    card = Report.load(evaluations(again)["tuned"] / "excluded").protocol["parts"]["memory"]["settings"]
    assert card["window"] == partner.window
    assert not list(folder.rglob("readings")), "what the search kept is gone"


@pytest.mark.parametrize("evidence", ["none", "text", "vectors"])
def test_a_memory_in_its_place_is_smoothed_with_what_its_own_is(evidence):
    fused = {"of": ["sasrec", "memory"], "partner": {"trials": 1}}
    baselines = {**SETTINGS["baselines"], "memory": {"kind": "memory", "evidence": evidence}}
    store, _ = small_run()
    with quiet():
        done = run_experiment(
            experiment(name=f"like-{evidence}", baselines=baselines, ensemble={"tuned": fused}), store
        )
    searched = load_recommender(done.stage("fused.tuned").folder).parts[1].recommender.scorer
    own = load_recommender(done.stage("baselines.memory").folder).scorer
    assert searched.settings == own.settings, "the only trial has the part's own settings"
    one, two = searched.similarities, own.similarities
    assert (one is None) == (two is None) == (evidence == "none")
    assert one is None or np.array_equal(one.toarray(), two.toarray())


def test_the_folder_is_complete_without_the_store(finished):
    store, done = finished
    loaded = load_recommender(done.stage("fused").folder)
    found = load_named(store, "fusing", "fused")
    histories = [loaded.catalog.item_ids[:3]]
    one, two = (each.recommend(histories[0], k=5, explain=True) for each in (loaded, found))
    assert one == two
    card = Report.load(evaluations(done)["fused"] / "excluded").protocol
    assert card["recommender"] == "fused"
    assert card["parts"].keys() == {"sasrec", "memory"}


def test_only_what_is_new_is_made(finished):
    store, _ = finished
    changed = experiment(name="fusing", ensemble={**FUSION, "fused": {"of": ["sasrec", "memory"], "weights": [1.0]}})
    states = {step.name: step.state for step in plan_experiment(changed, store)}
    assert states["fused"] == states["evaluation.fused"] == "stale"
    assert states["fused.ranks"] == states["baselines.sasrec"] == "done"


def test_the_hardest_baseline_is_no_fused_one(finished):
    store, done = finished
    best = max((row for row in measured(done) if row.name not in FUSION), key=lambda row: row.excluded["ndcg@10"])
    assert compare_named(store, ["fusing"]).as_json()["baseline"] == best.name


def test_a_table_without_a_name_is_called_fused():
    made = validate_settings({**SETTINGS, "ensemble": FUSION["fused"]}, Experiment)
    assert list(made.ensemble) == ["fused"]
    assert made.ensemble["fused"].seed == SETTINGS["seed"]


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ({"of": ["model", "memory"]}, "names 'model'; it should be one of popularity, transitions, memory, sasrec"),
        ({"memory": {"of": ["sasrec", "memory"]}}, "is the name of a part already"),
        (
            {"tuned": {"of": ["sasrec", "memory"], "partner": {"part": "sasrec"}}},
            "'ensemble.tuned.partner.part' is 'sasrec', which is not of kind memory; it should be one of memory",
        ),
        (
            {"tuned": {"of": ["sasrec", "popularity"], "partner": {"part": "popularity"}}},
            "add a baseline of kind memory to 'of'",
        ),
        (
            {"tuned": {"of": ["memory", "sasrec"], "partner": {}}},
            "'ensemble.tuned.partner.part' is 'memory', the first part of 'of'; the partner must be another part",
        ),
    ],
)
def test_unknown_parts_and_taken_names_are_refused(fusion, message):
    with pytest.raises(SettingsError, match=message):
        experiment(ensemble=fusion)


def test_what_the_run_recorded_is_found_again(finished):
    store, done = finished
    assert set(find_run(store, "fusing").settings["fusion"]) == set(FUSION)
    values = np.array(done.settings["fusion"]["fused"]["weights"])
    assert (values >= 0).all()
