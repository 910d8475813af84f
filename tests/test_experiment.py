import pytest

from lexirec.choices import (
    MemoryBaseline,
    MemoryNeighbors,
    SasrecBaseline,
    Tables,
    needs_neighbors,
    needs_vectors,
    without_extras,
)
from lexirec.config import validate_settings
from lexirec.errors import SettingsError
from lexirec.experiment import Experiment, alone, expert_experiment, load_experiment
from lexirec.models.sasrec import SasrecSettings

TOY = {"data": {"kind": "toy-shop"}}


def check(**tables):
    return validate_settings({**TOY, **tables}, Experiment)


def test_two_files_are_an_experiment(tmp_path):
    (tmp_path / "shop.toml").write_text('[data]\nitems = "a.csv"\ninteractions = "b.csv"\n')
    experiment = load_experiment(tmp_path / "shop.toml")
    assert experiment.name == "shop"
    assert isinstance(experiment.data, Tables)
    assert experiment.data.items == tmp_path / "a.csv"
    assert experiment.naming is None


def test_a_given_name_is_kept(tmp_path):
    (tmp_path / "shop.toml").write_text('name = "mine"\n[data]\nkind = "toy-shop"\n')
    assert load_experiment(tmp_path / "shop.toml").name == "mine"
    assert load_experiment(tmp_path / "shop.toml", ["name=other"]).name == "other"


def test_the_seed_reaches_every_part_that_sets_none():
    experiment = check(
        seed=7,
        vectors={"text": {}, "own": {"kind": "lsa", "seed": 2}},
        codes={"branching": 4},
        baselines={"sasrec": {"kind": "sasrec"}},
        neighbors={"kind": "sasrec"},
    )
    assert experiment.vectors["text"].seed == 7
    assert experiment.vectors["own"].seed == 2
    assert experiment.codes.seed == 7
    assert experiment.baselines["sasrec"].training.seed == 7
    assert experiment.neighbors.sasrec.training.seed == 7
    assert experiment.data.shop_seed == 0
    assert experiment.evaluation.seed == 0, "the sample of users stays the same when seeds are compared"


def test_codes_are_named_lexically_by_default():
    assert check(codes={}, vectors={"text": {}}).naming.kind == "lexical"
    assert check(identifiers={"kind": "keyword"}).naming.kind == "keyword"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"codes": {}}, "'codes' needs vectors"),
        ({"neighbors": {"kind": "vectors"}}, "'neighbors' needs vectors"),
        ({"baselines": {"m": {"kind": "memory", "evidence": "vectors"}}}, "'baselines.m' needs vectors"),
        ({"baselines": {"s": {"kind": "sasrec", "with_neighbors": True}}}, r"needs the table \[neighbors\]"),
        ({"identifiers": {"kind": "lexical"}}, r"need the table \[codes\]"),
        ({"baselines": {"m": {"kind": "memry"}}}, r"'baselines\.m\.kind' is 'memry'.*Did you mean 'memory'"),
        ({"baselines": {"m": {"kind": "memory", "windw": 3}}}, r"Did you mean 'baselines\.m\.window'"),
        ({"baselines": {"a b": {"kind": "memory"}}}, "a b"),
        ({"evaluation": {"ks": [5, 5]}}, r"'evaluation\.ks' should hold at least one value, each once"),
        ({"evaluation": {"seen": []}}, "should hold at least one value"),
        ({"data": {"kind": "toys"}}, r"'data\.kind' is 'toys'; allowed: 'tables', 'toy-shop'"),
        ({"data": {"items": "x"}}, r"'data\.interactions' is missing"),
        ({"name": "a/b"}, "'name' is"),
    ],
)
def test_what_cannot_be_run_is_said(tables, message):
    with pytest.raises(SettingsError, match=message):
        check(**tables)


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
    with pytest.raises(SettingsError, match="part already"):
        check(experts={"model": {"experiment": str(recipe)}})
    with pytest.raises(SettingsError, match="names 'memory'; it should be one of other"):
        check(experts={"other": {"experiment": str(recipe)}}, fusion={"of": ["other", "memory"]})


def test_what_a_fusion_does_not_need_is_left_out_experts_too(recipe):
    tables = {"baselines": {"ease": {"kind": "ease"}, "knn": {"kind": "item-knn"}}, "fusion": {"of": ["a", "ease"]}}
    both = {name: {"experiment": str(recipe)} for name in ("a", "b")}
    kept = alone(check(experts=both, **tables), "fused")
    assert (list(kept.experts), list(kept.baselines)) == (["a"], ["ease"])
    assert alone(check(experts=both, **tables), "ease").experts == {}


@pytest.mark.parametrize(("own", "reads"), [("vectors", True), ("none", False)])
def test_a_partner_is_smoothed_as_the_memory_is_and_says_what_it_needs(own, reads):
    tables = {
        "baselines": {"ease": {"kind": "ease"}, "memory": {"kind": "memory", "evidence": own}},
        "vectors": {"text": {"kind": "lsa", "dimensions": 4}},
    }
    made = check(**tables, fusion={"of": ["ease", "memory"], "partner": {}})
    resolved = made.with_evidence(made.fusion["fused"])
    assert resolved.partner.evidence == own
    assert needs_vectors(resolved) is reads
    asked = check(**tables, fusion={"of": ["ease", "memory"], "partner": {"evidence": "text"}})
    assert asked.with_evidence(asked.fusion["fused"]) == asked.fusion["fused"]
    assert bool(alone(made, "fused").vectors) is reads
    with pytest.raises(SettingsError, match=r"'fusion.fused.partner' needs vectors"):
        check(
            baselines={"ease": {"kind": "ease"}, "memory": {"kind": "memory"}},
            fusion={"of": ["ease", "memory"], "partner": {"evidence": "vectors"}},
        )


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
        return made.with_evidence(made.fusion["fused"], {"other": expert_experiment(made, "other")}).partner.evidence

    vectors = {"text": {"kind": "lsa", "dimensions": 4}}
    assert resolved("memory", {}, vectors=vectors) == "vectors"
    assert resolved("memory", {"evidence": "none"}) == "none"
    with pytest.raises(SettingsError, match=r"'other' is smoothed with vectors.* add a table such as \[vectors.text\]"):
        resolved("memory", {})
    with pytest.raises(SettingsError, match=r"is 'other', which is no memory \('ease' of other.toml\)"):
        resolved("ease", {})


def test_parts_say_what_they_need():
    assert needs_vectors(MemoryBaseline(evidence="vectors"))
    assert not needs_vectors(MemoryBaseline())
    assert needs_vectors(MemoryNeighbors(evidence="vectors"))
    assert not needs_vectors(MemoryNeighbors())
    assert needs_vectors(SasrecBaseline(with_vectors=True))
    assert needs_neighbors(SasrecBaseline(with_neighbors=True))
    assert not needs_neighbors(MemoryBaseline())


def test_a_sasrec_without_extras_is_the_bare_network():
    assert without_extras(SasrecBaseline(layers=3)) == SasrecSettings(layers=3)
    extra = SasrecBaseline(with_neighbors=True)
    assert without_extras(extra) is extra


def test_permuted_identifiers_need_what_those_they_deal_out_need(tmp_path):
    (tmp_path / "x.toml").write_text('[data]\nkind = "toy-shop"\n[identifiers]\nkind = "permuted"\n')
    with pytest.raises(SettingsError, match=r"'identifiers' of kind lexical need the table \[codes\]"):
        load_experiment(tmp_path / "x.toml")
    loaded = load_experiment(tmp_path / "x.toml", ["seed=4", "identifiers.of.kind=keyword"])
    assert loaded.naming.seed == 4
    assert loaded.spelling.kind == "keyword"
