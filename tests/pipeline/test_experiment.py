import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.pipeline.components import MemoryNeighbors, PublishedNeighbors, SasrecNeighbors, Tables, VectorNeighbors
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.resolve import alone

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


def test_experts_and_fusions_have_names_of_their_own_and_parts_that_exist():
    other = {"experiment": "other.toml"}
    with pytest.raises(SettingsError, match="part already"):
        check(experts={"model": other})
    with pytest.raises(SettingsError, match="names 'memory'; it should be one of other"):
        check(experts={"other": other}, ensemble={"of": ["other", "memory"]})


@pytest.mark.parametrize(("own", "reads"), [("vectors", True), ("none", False)])
def test_a_partner_is_smoothed_as_the_memory_is_and_says_what_it_needs(own, reads):
    tables = {
        "baselines": {"ease": {"kind": "ease"}, "memory": {"kind": "memory", "evidence": own}},
        "vectors": {"text": {"kind": "lsa", "dimensions": 4}},
    }
    made = check(**tables, ensemble={"of": ["ease", "memory"], "partner": {}})
    resolved = made.with_evidence(made.ensemble["fused"])
    assert resolved.partner.evidence == own
    assert ("vectors" in resolved.needed()) is reads
    asked = check(**tables, ensemble={"of": ["ease", "memory"], "partner": {"evidence": "text"}})
    assert asked.with_evidence(asked.ensemble["fused"]) == asked.ensemble["fused"]
    assert bool(alone(made, "fused").vectors) is reads
    with pytest.raises(SettingsError, match=r"'ensemble.fused.partner' needs vectors"):
        check(
            baselines={"ease": {"kind": "ease"}, "memory": {"kind": "memory"}},
            ensemble={"of": ["ease", "memory"], "partner": {"evidence": "vectors"}},
        )


def test_permuted_identifiers_need_what_those_they_deal_out_need(tmp_path):
    (tmp_path / "x.toml").write_text('[data]\nkind = "toy-shop"\n[identifiers]\nkind = "permuted"\n')
    with pytest.raises(SettingsError, match=r"'identifiers' of kind lexical need the table \[codes\]"):
        load_experiment(tmp_path / "x.toml")
    loaded = load_experiment(tmp_path / "x.toml", ["seed=4", "identifiers.of.kind=keyword"])
    assert loaded.naming.seed == 4
    assert loaded.spelling.kind == "keyword"


def test_parts_say_what_they_need(tmp_path):
    assert "vectors" in MemoryNeighbors(evidence="vectors").needed()
    assert MemoryNeighbors().needed() == SasrecNeighbors().needed() == ()
    assert VectorNeighbors().needed() == ("vectors",)
    assert PublishedNeighbors(path=tmp_path).files() == {"published": tmp_path}
