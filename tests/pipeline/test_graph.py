import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.core.manifest import read_manifest, verify
from lexirec.core.store import Store
from lexirec.data.neighbors import Neighbors
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.evaluation.evaluator import Report
from lexirec.models.loading import load_recommender
from lexirec.pipeline import graph
from lexirec.pipeline.graph import VERSIONS
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.pipeline.stages import data, identifiers
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from tests.worlds.small_run import SETTINGS, experiment, small_run


def states(store: Store, **changes) -> dict[str, str]:
    return {step.name: step.state for step in plan_experiment(experiment(**changes), store)}


def test_a_run_makes_every_stage_whole():
    _, done = small_run()
    assert list(done.stages) == [
        "data",
        "vectors.text",
        "codes",
        "lexicon",
        "identifiers",
        "neighbors.sasrec",
        "neighbors",
        *(f"baselines.{name}" for name in SETTINGS["baselines"]),
        *(f"evaluation.{name}" for name in SETTINGS["baselines"]),
        "report",
    ]
    for step in done.stages.values():
        assert verify(step.folder).key == step.key
    assert {step.kind for step in done.stages.values()} <= set(VERSIONS)


def test_recommenders_are_complete_folders_and_metrics_are_sane():
    _, done = small_run()
    metrics = {}
    for name in SETTINGS["baselines"]:
        assert len(load_recommender(done.stage(f"baselines.{name}").folder).catalog) == 100
        reports = {
            seen: Report.load(done.stage(f"evaluation.{name}").folder / seen) for seen in ("excluded", "included")
        }
        metrics[name] = reports["excluded"].metrics["recall@10"]
        assert len(reports["included"].ranks) == 120
        assert reports["excluded"].protocol["split"] == "leave-last-out"
    assert metrics["transitions"] > metrics["popularity"]


def test_the_report_shows_all_of_them_and_people():
    _, done = small_run()
    text = (done.stage("report").folder / "report.md").read_text()
    for word in (*SETTINGS["baselines"], "Seen items excluded", "Seen items kept", "shopper-", "leave-last-out"):
        assert word in text


def test_a_network_is_trained_once_for_neighbors_and_baseline():
    _, done = small_run()
    assert done.stage("neighbors.sasrec").folder == done.stage("baselines.sasrec").folder
    assert done.stage("neighbors").kind == "neighbors"


def test_what_is_done_is_not_made_again(monkeypatch):
    store, done = small_run()
    before = {step.folder: read_manifest(step.folder).created for step in done.stages.values()}

    def forbidden(*_: object) -> None:
        raise AssertionError("made again")

    for name in dir(graph):
        if name.startswith(("prepare_", "fit_baseline", "measure")) and callable(getattr(graph, name)):
            monkeypatch.setattr(graph, name, forbidden)
    again = run_experiment(experiment(), store)
    assert again is not None
    assert {folder: read_manifest(folder).created for folder in before} == before
    assert [step.key for step in again.stages.values()] == [step.key for step in done.stages.values()]


def test_plan_names_what_a_change_makes_stale():
    store, _ = small_run()
    assert set(states(store).values()) == {"done"}
    changed = states(store, codes={"branching": 5, "levels": 3})
    assert {name for name, state in changed.items() if state == "stale"} == {
        "codes",
        "lexicon",
        "identifiers",
        "report",
    }
    seeds = states(store, seed=4)
    assert seeds["data"] == seeds["baselines.memory"] == "done"
    assert seeds["vectors.text"] == seeds["codes"] == seeds["baselines.sasrec"] == "stale"


def test_plan_in_an_empty_store_computes_nothing(tmp_path):
    assert set(states(Store(tmp_path / "store")).values()) == {"new"}
    assert not (tmp_path / "store").exists()


def test_plan_sees_a_stage_to_be_carried_on(tmp_path):
    store = Store(tmp_path)
    sasrec = next(step for step in plan_experiment(experiment(), store) if step.name == "baselines.sasrec")
    progress = store.partial("baselines", sasrec.key) / "progress"
    progress.mkdir(parents=True)
    assert states(store)["baselines.sasrec"] == "new"
    (progress / "saved").write_text("x")
    assert states(store)["baselines.sasrec"] == "unfinished"


def test_run_stops_after_a_stage(tmp_path):
    store = Store(tmp_path)
    assert run_experiment(experiment(), store, until="vectors") is None
    assert {name for name, state in states(store).items() if state == "done"} == {"data", "vectors.text"}


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("vector", r"allowed are data, vectors, .*Did you mean 'vectors'"),
        ("model", "small has no such stage; allowed are data, vectors, codes"),
    ],
)
def test_an_unknown_stage_is_refused_at_once(tmp_path, until, message):
    with pytest.raises(SettingsError, match=message):
        run_experiment(experiment(), Store(tmp_path / "store"), until=until)
    assert not (tmp_path / "store").exists()


def test_a_missing_file_is_named_before_anything_runs(tmp_path):
    data = {"kind": "tables", "items": str(tmp_path / "gone.csv"), "interactions": str(tmp_path / "gone.csv")}
    with pytest.raises(DataError, match=r"data\.items: file .*gone\.csv does not exist"):
        run_experiment(experiment(data=data), Store(tmp_path))


def test_own_tables_enter_by_content_and_bad_rows_are_kept(tmp_path):
    toy_shop(items=90, shoppers=60).write(tmp_path)
    lines = [f'"u{user}","{"toy-00001" if user else "nonsense"}",{1_500_000_000 + user}' for user in range(3)]
    (tmp_path / "more.csv").write_text("\n".join(["user_id,item_id,time", *lines]))

    def of(folder: Path, **changes: object) -> dict[str, object]:
        data = {"kind": "tables", "items": str(folder / "items.parquet"), "text": ["title"]}
        return {**data, "interactions": str(folder / "interactions.parquet"), **changes}

    small: Mapping[str, object] = {"vectors": {}, "codes": None, "neighbors": None, "baselines": {}}
    store = Store(tmp_path / "store")
    moved = tmp_path / "moved"
    toy_shop(items=90, shoppers=60).write(moved)
    keys = [plan_experiment(experiment(data=of(folder), **small), store)[0].key for folder in (tmp_path, moved)]
    assert keys[0] == keys[1], "the same files elsewhere are the same data"
    bad = of(tmp_path, interactions=str(tmp_path / "more.csv"), on_bad_row="reject")
    done = run_experiment(experiment(data=bad, **small), store)
    assert done is not None
    folder = done.stage("data").folder
    assert (folder / "rejects.parquet").is_file()
    assert "rejected" in (folder / "summary.md").read_text()


def test_published_neighbors_and_keyword_identifiers_can_be_used(tmp_path):
    store, done = small_run()
    ids = data.load_catalog(done.stage("data").folder).item_ids
    path = tmp_path / "neighbors.txt"
    path.write_text("anchor similar\n" + "\n".join(f"{item} {ids[0]} {ids[1]} {ids[2]}" for item in ids))
    changes = {
        "codes": None,
        "identifiers": {"kind": "keyword", "length": 3},
        "neighbors": {"kind": "published", "path": str(path), "k": 2},
        "baselines": {"sasrec": {**SETTINGS["baselines"]["sasrec"], "with_vectors": True, "with_neighbors": True}},
    }
    other = run_experiment(experiment(name="published", **changes), store)
    assert other is not None
    assert Neighbors.load(other.stage("neighbors").folder).items.shape == (100, 2)
    assert "distinguished by a counter" in (other.stage("identifiers").folder / "summary.md").read_text()
    assert read_manifest(other.stage("baselines.sasrec").folder).inputs.keys() == {"data", "vectors.text", "neighbors"}


def test_a_backbones_tokens_spell_identifiers(tmp_path):
    changes = {"backbone": {"name": "scratch:tiny", "vocabulary_size": 400}, "neighbors": None, "baselines": {}}
    store = small_run()[0]
    done = run_experiment(experiment(name="spelled", **changes), store)
    assert done is not None
    tokenizer = identifiers.load_saved_tokenizer(done.stage("tokenizer").folder)
    assert tokenizer is not None
    spelled = Identifiers.load(done.stage("identifiers").folder)
    pieces = {piece for item in range(len(spelled)) for piece in spelled.spelled(item)}
    assert pieces <= set(tokenizer.get_vocab())
    tokens = spelled.tokens[0][spelled.tokens[0] >= 0]
    assert tokenizer.convert_ids_to_tokens(tokens.tolist()) == spelled.spelled(0)
    wider = {**changes, "backbone": {**changes["backbone"], "d_model": 32}}
    assert {
        step.state for step in plan_experiment(experiment(name="spelled", **wider), store) if step.group != "report"
    } == {"done"}
    codes = {**changes, "identifiers": {"kind": "codes"}}
    coded = run_experiment(experiment(name="coded", **codes), store)
    assert coded is not None
    assert Identifiers.load(coded.stage("identifiers").folder).spelled(0)[0].startswith("<a_")


def test_a_saved_sentence_model_enters_by_content(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("one")
    vectors = {"text": {"kind": "sentence-transformers", "model": str(tmp_path / "model")}}

    def key() -> str:
        return plan_experiment(
            experiment(vectors=vectors, codes=None, neighbors=None, baselines={}), Store(tmp_path / "s")
        )[1].key

    first = key()
    assert key() == first
    (tmp_path / "model" / "weights").write_text("two")
    assert key() != first


KILLER = """
import json, os, signal, sys, time
from pathlib import Path
from lexirec.core.store import Store
from lexirec.core.config import validate_settings
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import run_experiment
root, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
for moment in ("data/.*.partial", "baselines/.*.partial/progress/*", "evaluation/*/manifest.json"):
    child = os.fork()
    if child == 0:
        run_experiment(validate_settings(settings, Experiment), Store(root))
        os._exit(0)
    while not any(root.glob(moment)) and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(moment, flush=True)
"""


@pytest.mark.long
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(tmp_path):
    _, done = small_run()
    killer = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), json.dumps(SETTINGS)], capture_output=True, text=True, timeout=120
    )
    assert killer.returncode == 0, killer.stderr
    assert len(killer.stdout.splitlines()) == 3
    resumed = run_experiment(experiment(), Store(tmp_path))
    assert resumed is not None
    assert [step.key for step in resumed.stages.values()] == [step.key for step in done.stages.values()]
    for name in SETTINGS["baselines"]:
        for seen in ("excluded", "included"):
            mine, theirs = (Report.load(each.stage(f"evaluation.{name}").folder / seen) for each in (resumed, done))
            assert mine.metrics == theirs.metrics
            np.testing.assert_array_equal(mine.ranks, theirs.ranks)
    assert not list(tmp_path.glob("*/.*.partial"))
