import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.resolve import alone, expert_experiment, fusions
from lexirec.pipeline.run import run_experiment


def check(**tables):
    return validate_settings({"data": {"kind": "toy-shop"}, **tables}, Experiment)


EXPERT = """
extends = "lexirec:toy-gram.toml"
[data]
products = 1000
[baselines.own]
kind = "ease"
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "other.toml").write_text(EXPERT)
    return tmp_path / "other.toml"


def expert(path, **settings):
    data = {"kind": "toy-shop", "products": 70}
    return check(seed=2, data=data, experts={"other": {"experiment": str(path), **settings}})


def test_an_expert_is_the_recipe_of_its_file_on_our_data_with_our_seed(recipe):
    made = expert_experiment(expert(recipe, set=["model.training.epochs=2"]), "other")
    assert made.data.products == 70
    assert (made.seed, made.codes.seed, made.model.training.epochs) == (2, 2, 2)
    assert made.baselines == {}
    assert made.ensemble == {}
    assert expert_experiment(expert(recipe, seed_step=3), "other").codes.seed == 5
    assert expert_experiment(expert(recipe, seed=7), "other").codes.seed == 7


def test_an_expert_may_be_a_baseline_and_takes_nothing_else_along(recipe):
    made = expert_experiment(expert(recipe, part="own"), "other")
    assert list(made.baselines) == ["own"]
    assert (made.model, made.codes, made.vectors) == (None, None, {})


def test_an_expert_stands_beside_its_file(recipe):
    (recipe.parent / "mine.toml").write_text('[data]\nkind = "toy-shop"\n[experts.o]\nexperiment = "other.toml"\n')
    assert load_experiment(recipe.parent / "mine.toml").experts["o"].experiment == recipe


def test_what_an_expert_lacks_is_said(recipe):
    with pytest.raises(SettingsError, match=r"'experts.other.part' is 'modl'; other.toml allows .*model.*mean 'model'"):
        expert_experiment(expert(recipe, part="modl"), "other")
    with pytest.raises(SettingsError, match="no settings file"):
        expert_experiment(expert(recipe.parent / "gone.toml"), "other")


def test_what_a_fusion_does_not_need_is_left_out_experts_too(recipe):
    tables = {"baselines": {"ease": {"kind": "ease"}, "knn": {"kind": "item-knn"}}, "ensemble": {"of": ["a", "ease"]}}
    both = {name: {"experiment": str(recipe)} for name in ("a", "b")}
    kept = alone(check(experts=both, **tables), "fused")
    assert (list(kept.experts), list(kept.baselines)) == (["a"], ["ease"])
    assert alone(check(experts=both, **tables), "ease").experts == {}


@pytest.fixture
def memories(tmp_path):
    """A file with a memory that is smoothed with vectors."""
    path = tmp_path / "memories.toml"
    path.write_text(
        'data = {kind = "toy-shop"}\nvectors.text = {kind = "lsa", dimensions = 4}\n[baselines]\n'
        'memory = {kind = "memory", evidence = "vectors"}\nease = {kind = "ease"}\n'
    )
    return path


def searching(path, part="memory", *, partner=None, vectors=None):
    return check(
        baselines={"ease": {"kind": "ease"}},
        experts={"other": {"experiment": str(path), "part": part}},
        ensemble={"of": ["ease", "other"], "partner": {"part": "other", **(partner or {})}},
        vectors=vectors or {},
    )


def evidence(made):
    return fusions(made, {"other": expert_experiment(made, "other")})["fused"].partner.evidence


VECTORS = {"text": {"kind": "lsa", "dimensions": 4}}


def test_an_expert_that_is_searched_is_smoothed_as_its_own_file_says(memories):
    assert evidence(searching(memories, vectors=VECTORS)) == "vectors"
    assert evidence(searching(memories, partner={"evidence": "none"})) == "none"


def test_an_expert_that_cannot_be_searched_is_refused_before_anything_is_made(memories, tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(
        SettingsError, match=r"'ensemble.fused.partner' needs vectors, as 'other' is .* \[vectors.text\]"
    ):
        run_experiment(searching(memories), store)
    with pytest.raises(SettingsError, match=r"is 'other', which is not of kind memory \('ease' of memories.toml\)"):
        run_experiment(searching(memories, "ease"), store)
    assert not (tmp_path / "store" / "data").exists()


def test_vectors_that_a_search_reads_are_not_left_out(memories):
    assert alone(searching(memories, vectors=VECTORS), "fused").vectors
    assert not alone(searching(memories, partner={"evidence": "none"}, vectors=VECTORS), "fused").vectors
    assert not alone(searching(memories, vectors=VECTORS), "ease").vectors
