import pytest

from lexirec.config import validate_settings
from lexirec.errors import SettingsError
from lexirec.experiment import Experiment, load_experiment
from lexirec.experiment_parts import alone, expert_experiment, fusions


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
    assert made.fusion == {}
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
    with pytest.raises(SettingsError, match=r"'experts.other.part' is 'modl'; other.toml has .*model.*mean 'model'"):
        expert_experiment(expert(recipe, part="modl"), "other")
    with pytest.raises(SettingsError, match="no settings file"):
        expert_experiment(expert(recipe.parent / "gone.toml"), "other")


def test_what_a_fusion_does_not_need_is_left_out_experts_too(recipe):
    tables = {"baselines": {"ease": {"kind": "ease"}, "knn": {"kind": "item-knn"}}, "fusion": {"of": ["a", "ease"]}}
    both = {name: {"experiment": str(recipe)} for name in ("a", "b")}
    kept = alone(check(experts=both, **tables), "fused")
    assert (list(kept.experts), list(kept.baselines)) == (["a"], ["ease"])
    assert alone(check(experts=both, **tables), "ease").experts == {}


def test_an_expert_that_is_searched_is_smoothed_as_its_own_file_says(tmp_path):
    (tmp_path / "other.toml").write_text(
        'data = {kind = "toy-shop"}\nvectors.text = {kind = "lsa", dimensions = 4}\n[baselines]\n'
        'memory = {kind = "memory", evidence = "vectors"}\nease = {kind = "ease"}\n'
    )

    def resolved(part: str, partner: dict, **tables):
        made = check(
            **tables,
            baselines={"ease": {"kind": "ease"}},
            experts={"other": {"experiment": str(tmp_path / "other.toml"), "part": part}},
            fusion={"of": ["ease", "other"], "partner": {"part": "other", **partner}},
        )
        return fusions(made, {"other": expert_experiment(made, "other")})["fused"].partner.evidence

    vectors = {"text": {"kind": "lsa", "dimensions": 4}}
    assert resolved("memory", {}, vectors=vectors) == "vectors"
    assert resolved("memory", {"evidence": "none"}) == "none"
    with pytest.raises(SettingsError, match=r"'fusion.fused.partner' needs vectors, as 'other' is .* \[vectors.text\]"):
        resolved("memory", {})
    with pytest.raises(SettingsError, match=r"is 'other', which is no memory \('ease' of other.toml\)"):
        resolved("ease", {})
