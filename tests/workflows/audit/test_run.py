"""Audits of experiment files and finished runs, from the store to the exit status."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lexirec import cli
from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.progress import quiet
from lexirec.core.runs import record
from lexirec.core.store import Store
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.pipeline.stages.data import load_split
from lexirec.workflows.audit.run import audit
from tests.worlds.small_run import small_run

EXPERIMENT = """
name = "mine"
[data]
items = "items.parquet"
interactions = "interactions.parquet"
[vectors.text]
dimensions = 16
[codes]
branching = 4
levels = 3
[backbone]
name = "scratch:tiny"
vocabulary_size = 300
[neighbors]
kind = "sasrec"
[model]
kind = "late-fusion"
[baselines.popularity]
kind = "popularity"
"""


@pytest.fixture
def file(tmp_path) -> Path:
    toy_shop(items=100, shoppers=150).write(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def lexirec(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            cli.main(["-q", *[str(argument) for argument in arguments]])
        found = capsys.readouterr()
        return int(exit.value.code or 0), found.out, found.err

    return call


def test_what_is_cheap_is_made_and_what_trains_is_not(file, tmp_path):
    store = Store(tmp_path / "store")
    with quiet():
        found = audit(store, file)
    made = {folder.parent.name for folder in store.artifacts()}
    assert made == {"data", "vectors", "codes", "tokenizer", "lexicon", "identifiers"}
    assert found.experiment == "mine"
    assert not found.at_least("leak")
    assert "trains nothing" in found.not_looked_at["stage neighbors.sasrec"]
    assert "neighbors" in found.not_looked_at
    assert {"training-prompts", "training-windows", "everybodys-future"} <= set(found.asked)
    assert set(found.stages) >= {"data", "identifiers"}


def test_experts_are_left_to_an_audit_of_their_own_file(tmp_path):
    floor = "[data]\nkind = 'toy-shop'\nproducts = 100\nshoppers = 150\n[baselines.popularity]\nkind = 'popularity'\n"
    other, mine = tmp_path / "other.toml", tmp_path / "mine.toml"
    other.write_text(floor)
    mine.write_text(f"{floor}[experts.other]\nexperiment = 'other.toml'\npart = 'popularity'\n")
    store = Store(tmp_path / "store")
    with quiet():
        run_experiment(load_experiment(mine), store)
        found = audit(store, "mine")
    assert found.not_looked_at["stage experts.other"].endswith(f"lexirec audit {other}")


def test_a_finished_run_is_audited_with_all_it_left():
    store, done = small_run()
    with quiet():
        found = audit(store, "small")
    assert not found.at_least("leak")
    assert {"held-out-in-training", "sample-size", "shared-identifiers"} <= set(found.asked)
    few = {found.not_looked_at[check] for check in ("neighbors", "baselines")}
    assert all("held-out successions are new to training" in why for why in few)
    assert set(found.stages) == set(done.stages)


def test_a_run_whose_tables_are_gone_or_changed_is_audited_without_them(file, tmp_path):
    store = Store(tmp_path / "store")
    with quiet():
        experiment = load_experiment(file)
        run_experiment(experiment, store, until="data")
        record(store, "mine", experiment, [step for step in plan_experiment(experiment, store) if step.state == "done"])
        table = pq.read_table(tmp_path / "interactions.parquet")
        pq.write_table(table.slice(5), tmp_path / "interactions.parquet")
        changed = audit(store, "mine")
        (tmp_path / "items.parquet").unlink()
        gone = audit(store, "mine")
    assert "have changed" in changed.not_looked_at["ties-in-time"]
    assert "cannot be read again" in gone.not_looked_at["ties-in-time"]
    assert "held-out-in-training" in gone.asked


def plant(store: Store) -> None:
    """Put every test target behind its user's training row, in the store."""
    (folder,) = store.artifacts("data")
    split = load_split(folder)
    rows = np.searchsorted(split.train_users, split.test.users)
    lists = [split.train.row(i).tolist() for i in range(len(split.train))]
    for row, target in zip(rows, split.test.targets):
        lists[row].append(int(target))
    type(split.train).from_lists(lists).save(folder / "split" / "train")


def test_the_exit_status_says_whether_a_leak_was_found(lexirec, file, tmp_path):
    store = tmp_path / "store"
    with quiet():
        run_experiment(load_experiment(file), Store(store), until="data")
    status, out, _ = lexirec("audit", file, "--store", store)
    assert status == 0
    assert "0 leaks" in out
    plant(Store(store))
    status, out, _ = lexirec("audit", file, "--store", store)
    assert status == 1
    assert "held-out-in-training" in out
    assert lexirec("audit", file, "--store", store, "--fail-on", "never")[0] == 0
    status, out, err = lexirec("audit", file, "--store", store, "--json")
    assert (status, err) == (1, "")
    found = json.loads(out)
    assert found["findings"][0]["check"] == "held-out-in-training"
    assert found["counts"]["leak"] >= 1


def test_mistakes_are_one_line(lexirec, file, tmp_path):
    with pytest.raises(SettingsError, match="--set applies to experiment files"):
        audit(Store(tmp_path), "mine", ["seed=1"])
    with pytest.raises(ArtifactError, match="no finished experiment 'mine'"):
        audit(Store(tmp_path), "mine")
    (tmp_path / "items.parquet").unlink()
    status, _, err = lexirec("audit", file, "--store", tmp_path / "store")
    assert status == 1
    assert err.startswith("lexirec: data.items: file ")
    assert err.count("\n") == 1
