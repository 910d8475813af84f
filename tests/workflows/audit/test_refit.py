"""Parts made again without held-out events: honest ones are the same, leaky ones differ or cannot be made."""

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from lexirec.cli import app
from lexirec.core.config import validate_settings
from lexirec.core.progress import quiet
from lexirec.core.runs import find_run
from lexirec.core.store import Store
from lexirec.data.neighbors import co_occurrence
from lexirec.data.splits import Cases
from lexirec.models.baselines.base import BaselineInputs
from lexirec.models.baselines.item_similarity import ItemKnn
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.pipeline import graph
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import run_experiment
from lexirec.pipeline.stages.data import load_catalog, load_split
from lexirec.workflows.audit.refit import training_only
from lexirec.workflows.audit.run import audit

SETTINGS = {
    "name": "refitted",
    "data": {"kind": "toy-shop", "products": 100, "shoppers": 300},
    "vectors": {"bought": {"kind": "collaborative", "dimensions": 4}},
    "codes": {"branching": 4, "levels": 2},
    "identifiers": {"kind": "codes"},
    "neighbors": {"kind": "co-occurrence", "k": 5},
    "baselines": {
        "item-knn": {"kind": "item-knn"},
        "sasrec": {"kind": "sasrec", "dimensions": 8, "layers": 1, "training": {"epochs": 1}},
    },
    "evaluation": {"ks": [10]},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    with quiet():
        run_experiment(validate_settings(SETTINGS, Experiment), store)
    return store


@pytest.fixture
def store(finished, tmp_path) -> Store:
    """A copy that a test may damage."""
    shutil.copytree(finished.root, tmp_path / "store")
    return Store(tmp_path / "store")


def found(store: Store, **options) -> list[str]:
    with quiet():
        result = audit(store, "refitted", refit_minutes=5, **options)
    return [each.found for each in result.findings if each.check == "refit"]


def test_honest_parts_are_the_same_again(finished):
    with quiet():
        result = audit(finished, "refitted", refit_minutes=5)
    assert [each for each in result.findings if each.check == "refit"] == []
    assert result.asked["refit"].endswith("?")
    assert not any(name.startswith("refit") for name in result.not_looked_at)
    assert not result.at_least("leak")


def test_nothing_is_made_again_unasked(finished, monkeypatch):
    def forbidden(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(graph, "fit_baseline", forbidden)
    with quiet():
        assert "refit" not in audit(finished, "refitted").asked
        skipped = audit(finished, "refitted", refit_minutes=0).not_looked_at
    assert "--refit 1 includes it" in skipped["refit baselines.sasrec"]


def test_a_recommender_of_held_out_events_is_a_leak(store):
    done = find_run(store, "refitted")
    folder, split = done.stage("baselines.item-knn").folder, load_split(done.stage("data").folder)
    scorer = ItemKnn.fitted(ItemKnn().settings, BaselineInputs(split.test.histories, split.n_items))
    ScoreRecommender(load_catalog(done.stage("data").folder), scorer).save(folder)
    (line,) = found(store)
    assert line.startswith("'baselines.item-knn' ranks held-out targets higher than the same made from the training")
    assert "validation targets win +" in line


def test_neighbors_and_vectors_of_held_out_events_are_leaks(store):
    done = find_run(store, "refitted")
    split = load_split(done.stage("data").folder)
    co_occurrence(split.test.histories, split.n_items, 5).save(done.stage("neighbors").folder)
    file = done.stage("vectors.bought").folder / "vectors.npy"
    np.save(file, np.roll(np.load(file), 1, axis=0))
    with quiet():
        result = audit(store, "refitted", refit_minutes=5)
    leaks = {each.check: each.found for each in result.findings if each.severity == "leak"}
    assert {"neighbors", "vectors", "refit"} <= set(leaks)
    named = [each.found for each in result.findings if each.check == "refit"]
    assert any("'neighbors' is not what the training part gives" in line for line in named)
    assert any("'vectors.bought' is not what the training part gives" in line for line in named)


def test_a_stage_that_reads_test_cases_cannot_be_made(store, monkeypatch):
    def leaky(settings, inputs, out) -> None:
        Cases.load(inputs["train"].parent / "test")
        raise AssertionError("test cases were there")

    monkeypatch.setattr(graph, "fit_baseline", leaky)
    lines = found(store)
    assert len(lines) == 2
    assert all("cannot be made from the training part alone" in line for line in lines)


def test_another_machine_is_no_leak(store):
    done = find_run(store, "refitted")
    folder = done.stage("baselines.sasrec").folder
    recommender = ScoreRecommender.load(folder)
    for weight in recommender.scorer.network.parameters():
        weight.data += 0.02 * weight.new_tensor(np.random.default_rng(0).normal(size=tuple(weight.shape)))
    recommender.save(folder)
    with quiet():
        result = audit(store, "refitted", refit_minutes=5)
    (finding,) = [each for each in result.findings if each.check == "refit"]
    assert finding.severity == "note"
    assert "held-out targets are not favoured" in finding.found


def test_the_linked_data_hold_no_test_cases(finished, tmp_path):
    data = find_run(finished, "refitted").stage("data").folder
    linked = training_only(data, tmp_path / "data")
    assert (linked / "split" / "train" / "items.npy").is_file()
    assert (linked / "split" / "validation" / "targets.npy").is_file()
    assert not (linked / "split" / "test").exists()
    assert sorted(path.name for path in linked.iterdir()) == ["catalog", "split"]


def test_the_command_takes_minutes(finished):
    result = CliRunner().invoke(app, ["audit", "refitted", "--refit", "5", "--store", str(finished.root)])
    assert result.exit_code == 0
    assert "0 leaks" in result.output
