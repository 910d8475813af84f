"""Every shipped experiment file loads, plans and says what it needs."""

from pathlib import Path

import pytest

from lexirec.core.errors import DataError
from lexirec.core.store import Store
from lexirec.pipeline.components import Tables
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.pipeline.stages.data import load_split

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
FILES = sorted(FOLDER.glob("*.toml"))
BASELINES = {"popularity", "recency", "transitions", "memory", "item-knn", "ease", "sasrec", "sasrec-dot"}


def test_there_are_experiments():
    assert {"baselines", "toy-gram", "beauty-gram", "office-gram"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_load(path):
    experiment = load_experiment(path)
    assert experiment.name == path.stem
    assert set(experiment.baselines) >= BASELINES, "nothing is reported without the baselines beside it"
    assert set(experiment.evaluation.seen) == {"excluded", "included"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_plan_or_say_where_data_belong(path, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXIREC_DATA", str(tmp_path / "nowhere"))
    experiment = load_experiment(path)
    if isinstance(experiment.data, Tables):
        with pytest.raises(DataError, match=r"data\.items: file .* does not exist.*LEXIREC_DATA"):
            plan_experiment(experiment, Store(tmp_path))
    else:
        assert {"data", "baselines", "evaluation", "report"} <= {
            step.group for step in plan_experiment(experiment, Store(tmp_path))
        }


def test_data_lie_beside_the_checkout_unless_the_variable_says_otherwise(monkeypatch):
    monkeypatch.delenv("LEXIREC_DATA", raising=False)
    data = load_experiment(FOLDER / "beauty-gram.toml").data
    assert isinstance(data, Tables)
    assert data.items == FOLDER.parents[1] / "shared" / "data" / "beauty" / "items.parquet"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"),
    [("beauty-gram", 22_363, 12_101, 198_502), ("office-gram", 4_905, 2_420, 53_258)],
)
def test_real_data_have_the_published_counts(data_dir, tmp_path, monkeypatch, name, users, items, interactions):
    monkeypatch.setenv("LEXIREC_DATA", str(data_dir))
    store, experiment = Store(tmp_path), load_experiment(FOLDER / f"{name}.toml")
    run_experiment(experiment, store, until="data")
    protocol = load_split(plan_experiment(experiment, store)[0].folder).protocol
    assert (protocol["users"], protocol["items"], protocol["interactions"]) == (users, items, interactions)
