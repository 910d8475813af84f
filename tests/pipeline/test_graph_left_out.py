"""A baseline that cannot be fitted is left out with a line; the rest of the run, and what reads it, goes on."""

import logging

import numpy as np
import pytest
from typer.testing import CliRunner

from lexirec.cli import app
from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError, DataError
from lexirec.core.progress import quiet
from lexirec.core.runs import find_run
from lexirec.core.store import Store
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.loading import load_named
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.run import run_experiment
from lexirec.pipeline.runner import StageRunner

WHY = "SASRec: none of the 40 training rows has two items, so there is nothing to predict"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict:
    """Users with one training event, of which no network can learn."""
    folder = tmp_path_factory.mktemp("short")
    items = [f"i{item},{('red', 'blue')[item % 2]} thing" for item in range(8)]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *items]) + "\n")
    random, rows = np.random.default_rng(0), ["user_id,item_id,time"]
    for user in range(40):
        rows += [f"u{user},i{random.integers(8)},{1_600_000_000 + place}" for place in range(3)]
    (folder / "events.csv").write_text("\n".join(rows) + "\n")
    return {"kind": "tables", "items": str(folder / "items.csv"), "interactions": str(folder / "events.csv")}


def experiment(data, **changes) -> Experiment:
    settings = {
        "name": "short",
        "data": data,
        "baselines": {
            "sasrec": {"kind": "sasrec"},
            "popularity": {"kind": "popularity"},
            "memory": {"kind": "memory"},
        },
        "ensemble": {"with": {"of": ["memory", "sasrec"]}, "without": {"of": ["memory", "popularity"]}},
        "evaluation": {"ks": [3, 10]},
    }
    return validate_settings({**settings, **changes}, Experiment)


@pytest.fixture(scope="module")
def store(tmp_path_factory, data) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    with quiet():
        run_experiment(experiment(data), store)
    return store


def test_the_run_goes_on_and_its_record_says_what_is_missing(store):
    done = find_run(store, "short")
    assert done.left_out == {"baselines.sasrec": WHY, "ensemble.with": "its part sasrec is left out"}
    assert set(done.variants("evaluation")) == {"popularity", "memory", "without"}
    assert set(done.variants("baselines")) == {"popularity", "memory"}
    report = (done.stage("report").folder / "report.md").read_text()
    assert f"baselines.sasrec is left out: {WHY}." in report
    with pytest.raises(ArtifactError, match="'sasrec' was left out of this run: SASRec: none of the 40"):
        load_named(store, "short", "sasrec")
    with pytest.raises(ArtifactError, match=r"has no stage 'baselines.sasrec'.* was left out of this run"):
        done.stage("baselines.sasrec")


def test_each_is_told_in_a_line(data, store, caplog):
    with quiet(), caplog.at_level(logging.WARNING):
        run_experiment(experiment(data), store)
    assert f"baselines.sasrec is left out: {WHY}" in caplog.messages
    assert "ensemble.with is left out: its part sasrec is left out" in caplog.messages


@pytest.mark.parametrize("command", [["show", "short"], ["compare", "short"], ["table", "short"]])
def test_what_reads_the_run_goes_on(store, command):
    result = CliRunner().invoke(app, [*command, "--store", str(store.root)])
    assert result.exception is None or result.exception.code == 0
    assert "memory" in result.output
    if command[0] == "show":
        assert f"baselines.sasrec is left out: {WHY}" in result.output


@pytest.mark.parametrize(
    ("error", "left_out"),
    [
        (DataError("too few"), True),
        (np.linalg.LinAlgError("singular matrix"), True),
        (FloatingPointError("overflow"), True),
        (ArtifactError("damaged"), False),
        (TypeError("a fault in the program"), False),
        (OSError("disk full"), False),
    ],
)
def test_faults_of_the_program_and_of_the_store_stop_the_run(monkeypatch, tmp_path, data, error, left_out):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Popularity, "fit", fail)
    given = experiment(data, baselines={"popularity": {"kind": "popularity"}, "ease": {"kind": "ease"}}, ensemble={})
    with quiet():
        if not left_out:
            with pytest.raises(type(error)):
                run_experiment(given, Store(tmp_path))
            return
        done = run_experiment(given, Store(tmp_path))
    assert done is not None
    assert done.left_out == {"baselines.popularity": str(error)}


def test_a_run_without_any_recommender_is_an_error(tmp_path, data):
    given = experiment(data, baselines={"sasrec": {"kind": "sasrec"}}, ensemble={})
    with quiet(), pytest.raises(DataError, match=r"no recommender could be made \(baselines.sasrec: SASRec: none"):
        run_experiment(given, Store(tmp_path))


def test_where_one_recommender_is_asked_for_its_failure_is_an_error(tmp_path, data):
    runner = StageRunner(Store(tmp_path), VERSIONS)
    with quiet(), pytest.raises(DataError, match="none of the 40 training rows"):
        walk(experiment(data, ensemble={}), runner)


def test_an_expert_that_cannot_be_fitted_stops_the_run(tmp_path, data):
    (tmp_path / "other.toml").write_text("[data]\nkind = 'toy-shop'\n[baselines.net]\nkind = 'sasrec'\n")
    experts = {"net": {"experiment": str(tmp_path / "other.toml"), "part": "net"}}
    baselines = {"popularity": {"kind": "popularity"}}
    given = experiment(data, baselines=baselines, experts=experts, ensemble={})
    with quiet(), pytest.raises(DataError, match="none of the 40 training rows"):
        run_experiment(given, Store(tmp_path / "store"))
