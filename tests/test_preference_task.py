"""Task T7 from the table to the model: what was written about users is asked for, of training users alone."""

import json
from pathlib import Path

import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.pipeline.stages.data import load_split
from tests.worlds.small_transfer import SOURCE

MODEL = {**SOURCE["model"], "tasks": {"sid_title": 0, "history_title": 0, "ts_align": 0, "preference": 1}}


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    toy_shop(seed=0, items=84, shoppers=30).write(folder)
    users = [{"user_id": f"shopper-{number:05}", "preference": f"likes thing {number}"} for number in range(0, 30, 2)]
    (folder / "users.jsonl").write_text("\n".join(map(json.dumps, users)), encoding="utf-8")
    return folder


def experiment(folder: Path, **data: str) -> Experiment:
    files = {"items": folder / "items.parquet", "interactions": folder / "interactions.parquet"}
    tables = {"kind": "tables", **{name: str(path) for name, path in files.items()}, **data}
    return validate_settings({**SOURCE, "data": tables, "baselines": {}, "model": MODEL}, Experiment)


def test_what_was_written_about_users_is_learned(tables, tmp_path):
    with quiet():
        done = run_experiment(experiment(tables, users=str(tables / "users.jsonl")), Store(tmp_path), "model")
    assert done is None
    steps = {
        step.name: step
        for step in plan_experiment(experiment(tables, users=str(tables / "users.jsonl")), Store(tmp_path))
    }
    data = steps["data"].folder
    texts, users = json.loads((data / "preferences.json").read_text()), load_split(data).train_users
    assert len(texts) == len(users)
    told = sum(map(bool, texts))
    assert 0 < told < len(texts)
    assert f"preferences: texts about {told:,} of {len(texts):,} training users" in (data / "summary.md").read_text()
    assert f"examples of preference: {told:,}" in (steps["model"].folder / "summary.md").read_text()


def test_other_texts_make_another_data_stage_another_place_does_not(tables, tmp_path):
    first = plan_experiment(experiment(tables, users=str(tables / "users.jsonl")), Store(tmp_path / "store"))[0]
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes((tables / "users.jsonl").read_bytes())
    assert plan_experiment(experiment(tables, users=str(moved)), Store(tmp_path / "store"))[0].key == first.key
    moved.write_text(moved.read_text().replace("thing", "stuff"))
    assert plan_experiment(experiment(tables, users=str(moved)), Store(tmp_path / "store"))[0].key != first.key


def test_without_a_table_of_users_it_is_refused_before_anything_is_made(tables):
    with pytest.raises(SettingsError, match=r"'model\.tasks\.preference' needs texts about users: name their table"):
        experiment(tables)
