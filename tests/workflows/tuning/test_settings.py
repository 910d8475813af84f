from pathlib import Path

import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.pipeline.experiment import load_experiment
from lexirec.workflows.tuning.search import _check
from lexirec.workflows.tuning.settings import TuningSettings, load_space, recommender_names
from tests.worlds.small_run import experiment

FOLDER = Path(__file__).resolve().parents[3] / "experiments"
SPACE = {"sasrec": {"baselines.sasrec.dropout": {"low": 0.1, "high": 0.5}}}


def settings(**changes) -> TuningSettings:
    return validate_settings({"space": SPACE, **changes}, TuningSettings)


@pytest.mark.parametrize(
    ("dimension", "message"),
    [
        ({"low": 2, "high": 1}, "should have low = 2 below high = 1"),
        ({"low": 0.0, "high": 1.0, "log": True}, "low above 0"),
        ({"low": 1.0, "high": 2.0, "log": True, "step": 0.5}, "no step where log"),
        ({"low": 1, "high": 5, "step": 0.5}, "should have a whole step"),
        ({"choices": [1]}, "at least two choices"),
        ({"choices": [1, 2], "low": 1}, "no other entry beside them"),
        ({"low": 1}, "both low and high"),
        ({"choises": [1, 2]}, "Did you mean 'space.sasrec.baselines.sasrec.dropout.choices'"),
    ],
)
def test_what_cannot_be_tried_is_refused(dimension, message):
    with pytest.raises(SettingsError, match=message):
        settings(space={"sasrec": {"baselines.sasrec.dropout": dimension}})


def test_budgets_are_the_same_for_all_and_of_one_kind():
    assert settings().budget == (20, "trials")
    assert settings(trials=3).budget == (3, "trials")
    assert settings(minutes=1.5).budget == (1.5, "minutes")
    with pytest.raises(SettingsError, match="give one budget"):
        settings(trials=3, minutes=1)


def test_a_setting_belongs_to_one_recommender():
    both = {**SPACE, "memory": SPACE["sasrec"]}
    with pytest.raises(SettingsError, match="is searched for two recommenders"):
        settings(space=both)


def test_unknown_recommenders_are_refused(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text('[space.sasrek]\n"baselines.sasrec.dropout" = { low = 0.1, high = 0.5 }\n')
    with pytest.raises(
        SettingsError, match=r"space.toml: 'space.sasrek' is not a recommender .*Did you mean 'sasrec'\?"
    ):
        load_space(path, experiment())


def test_recommenders_are_named_as_their_evaluations():
    fused = experiment(ensemble={"of": ["sasrec", "memory"]})
    assert list(recommender_names(fused)) == ["popularity", "transitions", "memory", "sasrec", "fused"]


@pytest.mark.parametrize(
    ("space", "base"),
    [
        ("floors", "toy-gram"),
        ("memory-large", "toy-tsrec"),
        ("counts-time-split", "industrial-gram"),
        ("baselines", "baselines-all"),
        ("gram", "office-gram"),
        ("tsrec", "industrial-tsrec"),
    ],
)
def test_shipped_spaces_suit_their_experiments_and_hold_their_values(space, base):
    path = FOLDER / f"{base}.toml"
    loaded = load_experiment(path)
    found = load_space(FOLDER / "tuning" / f"{space}.toml", loaded)
    tuned = set(recommender_names(loaded)) - {"popularity"}
    assert set(found.space) <= tuned
    assert base.startswith("toy") or "counts" in space or set(found.space) == tuned, "equal budgets for all"
    for system, dimensions in found.space.items():
        for name, dimension in list(dimensions.items())[:: 1 if system == "model" else 3]:
            _check(path, [], name, dimension)
