"""What Python callers pass by mistake is one line that says what to pass, at every public door."""

import numpy as np
import pytest

from lexirec import (
    Catalog,
    Interactions,
    Memory,
    ScoreRecommender,
    evaluate,
    leave_last_out,
    load_recommender,
    recommend,
)
from lexirec.core.errors import LexirecError
from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.models.baselines.registry import BASELINES
from lexirec.models.gram.recommender import GramRecommender
from lexirec.pipeline.run import plan_experiment, run_experiment
from tests.worlds.small_run import experiment

HISTORY = Sequences.from_lists([[0, 1]])
STRANGE = (None, 3, b"x", ["x"], {"a": 1})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("shop")
    toy_shop(seed=0, items=120, shoppers=60).write(made)
    return made


@pytest.fixture(scope="module")
def catalog(folder):
    return Catalog.read(folder / "items.parquet", text=["title"])


@pytest.fixture(scope="module")
def split(folder, catalog):
    return leave_last_out(Interactions.read(folder / "interactions.parquet", catalog))


@pytest.fixture(scope="module")
def memory(catalog, split):
    return ScoreRecommender(catalog, Memory().fit(split.train, len(catalog)))


def line(call) -> str:
    with pytest.raises(LexirecError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", STRANGE)
def test_paths(folder, catalog, value):
    advice = "pass the path of a file or folder as text or as a Path"
    for call in (
        lambda: load_recommender(value),
        lambda: ScoreRecommender.load(value),
        lambda: GramRecommender.load(value),
        lambda: Catalog.read(value, text=["title"]),
        lambda: Interactions.read(value, catalog),
    ):
        assert line(call).endswith(f"is of type {type(value).__name__}; {advice}")


@pytest.mark.parametrize("text", ["title", b"title", 3, None, [3], [None], [["title"]]])
def test_names_of_text_fields(folder, text):
    found = line(lambda: Catalog.read(folder / "items.parquet", text=text))
    assert 'pass a list of names of fields, such as text=["title"]' in found


@pytest.mark.parametrize("columns", ["title", 3, ["title"], {"title": 3}, {3: "title"}])
def test_columns(folder, catalog, columns):
    for call in (
        lambda: Catalog.read(folder / "items.parquet", text=["title"], columns=columns),
        lambda: Interactions.read(folder / "interactions.parquet", catalog, columns=columns),
    ):
        assert line(call).startswith("columns ")


@pytest.mark.parametrize("value", STRANGE)
def test_catalogues_recommenders_and_cases(folder, catalog, split, memory, value):
    assert "catalog is of type" in line(lambda: Interactions.read(folder / "interactions.parquet", value))
    assert "catalog is of type" in line(lambda: ScoreRecommender(value, memory.scorer))
    assert "scorer is of type" in line(lambda: ScoreRecommender(catalog, value))
    assert "recommender is of type" in line(lambda: recommend(value, ["toy-00001"]))
    assert "recommender is of type" in line(lambda: evaluate(value, split.test))
    assert "cases is of type" in line(lambda: evaluate(memory, value))


@pytest.mark.parametrize("ks", ["10", [], [0], [1.5], ["a"], [None]])
def test_cut_offs(split, memory, ks):
    assert "pass whole numbers of at least 1, such as (5, 10)" in line(lambda: evaluate(memory, split.test, ks=ks))


@pytest.mark.parametrize("history", ["toy-00001", b"x", 3, None])
def test_histories(memory, history):
    assert "pass a list of item ids, oldest first" in line(lambda: recommend(memory, history))
    assert "pass a list of histories" in line(lambda: Sequences.from_lists(3))


@pytest.mark.parametrize("value", [*STRANGE, "x.toml"])
def test_experiments_and_stores(tmp_path, value):
    assert "pass what load_experiment returns" in line(lambda: run_experiment(value, Store(tmp_path)))
    assert "pass what load_experiment returns" in line(lambda: plan_experiment(value, Store(tmp_path)))
    assert 'pass a store, such as Store("store")' in line(lambda: run_experiment(experiment(), value))


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_that_is_not_fitted_says_so(tmp_path, catalog, name):
    scorer = BASELINES[name]()
    wanted = f"this {type(scorer).__name__} is not fitted; call fit, or load a saved one"
    for call in (
        lambda: scorer.scores(HISTORY),
        lambda: scorer.save(tmp_path / "x"),
        lambda: ScoreRecommender(catalog, scorer).rank(HISTORY, k=3),
    ):
        assert line(call) == wanted
    assert not hasattr(scorer, "shares")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = scorer.nothing


@pytest.mark.parametrize("name", list(BASELINES))
def test_what_a_baseline_cannot_be_fitted_on(split, catalog, name):
    scorer = BASELINES[name]
    for train in (None, 3, "x", [[0, 1]], split):
        assert line(lambda train=train: scorer().fit(train, len(catalog))).startswith("train is of type ")
    for n_items in (None, "120", 1.5, True):
        assert line(lambda n_items=n_items: scorer().fit(split.train, n_items)).startswith("n_items is of type ")
    for n_items in (0, 3, -1, np.int64(5)):
        assert f"but n_items is {n_items}; they should be from 0 to n_items - 1" in line(
            lambda n_items=n_items: scorer().fit(split.train, n_items)
        )
    for settings in ("x", {"window": 3}, 3):
        assert line(lambda settings=settings: scorer(settings)).startswith("settings is of type ")
