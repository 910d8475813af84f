"""The probe for memorised targets: honest recommenders pass, those trained on held-out events do not."""

import contextlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lexirec.core.config import validate_settings
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import BaselineInputs
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.registry import BASELINES
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramSettings
from lexirec.nn.t5 import BackboneSettings, load_backbone
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import StageRunner, StopRequested
from lexirec.pipeline.stages.data import load_split
from lexirec.pipeline.stages.identifiers import load_saved_tokenizer
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.workflows.audit.findings import NotLookedError
from lexirec.workflows.audit.memorised_targets import Advantage, Kept, advantages, judged, kept
from tests.worlds.audit import clean_split, evidence, looked, shop

SEEN = evidence()
"""One object, so that matched items are counted once."""


def rows(leak: str) -> Sequences:
    """Return training rows, with the held-out events of a leak."""
    split = clean_split()
    if leak == "histories":
        return split.test.histories
    folds = {"none": (), "whole": (split.validation, split.test), "test targets": (split.test,)}[leak]
    lists = [split.train.row(i).tolist() for i in range(len(split.train))]
    for cases in folds:
        for row, target in zip(np.searchsorted(split.train_users, cases.users), cases.targets, strict=True):
            lists[row].append(int(target))
    return Sequences.from_lists(lists)


@cache
def baseline(kind: str, leak: str) -> ScoreRecommender:
    catalog, _ = shop()
    scorer = BASELINES[kind]
    inputs = BaselineInputs(rows(leak), len(catalog), None, None, {"texts": catalog.texts})
    with quiet():
        return ScoreRecommender(catalog, scorer.fitted((scorer.options or scorer.settings_class)(), inputs))


def found(recommender) -> list:
    with quiet():
        return list(judged("it", advantages(recommender, SEEN)))


@pytest.mark.parametrize("kind", ["transitions", "memory", "item-knn", "ease", "als"])
def test_counts_of_the_training_part_pass(kind):
    assert found(baseline(kind, "none")) == []


@pytest.mark.parametrize("leak", ["whole", "test targets", "histories"])
@pytest.mark.parametrize("kind", ["transitions", "memory", "item-knn", "ease", "als"])
def test_counts_of_held_out_events_are_a_leak(kind, leak):
    (finding,) = found(baseline(kind, leak))
    assert finding.severity == "leak"
    assert "'it' ranks" in finding.found
    assert {"histories": "validation targets"}.get(leak, "targets") in finding.found


class _Gram:
    """A small GRAM on the shop of the other tests."""

    def __init__(self, folder: Path) -> None:
        settings = {
            "data": {"kind": "toy-shop", "products": 150, "shoppers": 600, "text": ["title", "brand", "categories"]},
            "vectors": {"text": {"dimensions": 32}},
            "codes": {"branching": 16, "levels": 4},
            "identifiers": {"kind": "lexical", "distinct_siblings": True, "cut": "shortest-unique"},
            "backbone": {"name": "scratch:tiny", "vocabulary_size": 1000, "heads": 2, "d_model": 32, "layers": 1},
            "neighbors": {"kind": "co-occurrence", "k": 10},
            "model": {"kind": "late-fusion"},
        }
        runner = StageRunner(Store(folder), VERSIONS, until="neighbors")
        with quiet(), contextlib.suppress(StopRequested):
            walk(validate_settings(settings, Experiment), runner)
        self.folders = {stage.name: stage.folder for stage in runner.stages}
        assert load_split(self.folders["data"]).train == clean_split().train

    def trained(self, leak: str) -> GramRecommender:
        settings = GramSettings(
            network={"head": "grounded", "user_prompt": "grounded"},
            prompts={"similar_items": 2, "similar_tokens": 8, "metadata_tokens": 16},
            training={"epochs": 5, "batch_targets": 200, "learning_rate": 4e-3},
            search={"num_beams": 10},
        )
        backbone = BackboneSettings(
            name="scratch:tiny", vocabulary_size=1000, heads=2, d_model=32, feed_forward=32, layers=1, dropout=0.1
        )
        inputs = GramInputs(
            Identifiers.load(self.folders["identifiers"]), Neighbors.load(self.folders["neighbors"]), None
        )
        loaded = load_backbone(backbone, tokenizer=load_saved_tokenizer(self.folders["tokenizer"]), seed=0)
        catalog = Catalog.load(self.folders["data"] / "catalog")
        with quiet():
            return GramRecommender.build(catalog, loaded, inputs, settings).fit(rows(leak))


@pytest.fixture(scope="module")
def gram(tmp_path_factory) -> _Gram:
    return _Gram(tmp_path_factory.mktemp("gram"))


@pytest.mark.long
def test_gram_trained_on_the_training_part_passes(gram):
    assert found(gram.trained("none")) == []


@pytest.mark.long
def test_gram_trained_on_test_targets_is_a_leak(gram):
    (finding,) = found(gram.trained("whole"))
    assert finding.severity == "leak"


def test_what_memorises_nothing_is_not_judged():
    uniform = ScoreRecommender(shop()[0], Popularity().fit(rows("none"), 150))
    with quiet(), pytest.raises(NotLookedError, match="it memorises too little for a result"):
        kept(advantages(uniform, SEEN))


def test_the_check_reads_every_recommender_of_a_run(tmp_path):
    for name, leak in (("honest", "none"), ("leaky", "whole")):
        baseline("item-knn", leak).save(tmp_path / name)
    ScoreRecommender(shop()[0], Popularity().fit(rows("none"), 150)).save(tmp_path / "popularity")
    (tmp_path / "broken").mkdir()
    folders = {name: tmp_path / name for name in ("honest", "leaky", "popularity", "broken")}
    audit = looked("memorised-targets", evidence(recommenders=folders))
    (finding,) = audit.findings
    assert finding.severity == "leak"
    assert finding.found.startswith("'leaky' ranks")
    assert "broken: " in audit.not_looked_at["memorised-targets"]
    assert "popularity" not in audit.not_looked_at["memorised-targets"]


def test_too_few_cases_are_not_judged():
    split = clean_split()
    few = np.arange(20)
    small = replace(split, validation=split.validation.take(few), test=split.test.take(few))
    with quiet(), pytest.raises(NotLookedError, match="fewer than 40 training or held-out targets"):
        advantages(baseline("ease", "none"), evidence(split=small))


# --------------------------------------------------------------------------------------------------------- the verdict


def advantage(value: float, error: float = 0.01) -> Advantage:
    return Advantage(value, error, 500)


def verdict(training: float, validation: float, test: float, *, error: float = 0.01) -> list:
    groups = {"training": training, "validation": validation, "test": test}
    return list(judged("it", {name: advantage(value, error) for name, value in groups.items()}))


@pytest.mark.parametrize(
    ("validation", "test", "leaks"),
    [
        (0.02, 0.01, None),
        (0.14, 0.13, None),  # as a model that generalises well: 0.7 of the advantage
        (0.20, 0.19, "validation"),
        (0.05, 0.19, "test"),
        (0.12, 0.03, "validation"),  # one fold alone, in part
        (0.09, 0.03, None),
    ],
)
def test_a_leak_is_what_honest_recommenders_do_not_do(validation, test, leaks):
    findings = verdict(0.2, validation, test)
    assert bool(findings) == (leaks is not None)
    if leaks is not None:
        assert f"ranks {leaks}" in findings[0].found


def test_noise_is_no_leak():
    assert verdict(0.2, 0.18, 0.02, error=0.025)
    assert not verdict(0.36, 0.31, 0.30, error=0.05)
    with pytest.raises(NotLookedError, match="memorises too little"):
        verdict(0.2, 0.2, 0.2, error=0.05)


def test_figures_of_groups_are_means_with_their_errors():
    one = Advantage.of(np.array([1.0, 1.0, 0.0, 1.0]))
    assert one == (0.25, pytest.approx(np.sqrt(3 / 16) / 2), 4)
    both = one.with_other(Advantage.of(np.zeros(4)))
    assert both.value == pytest.approx(-0.125)
    assert both.cases == 8
    part = Kept.of(advantage(0.1), advantage(0.2))
    assert part.part == pytest.approx(0.5)
    assert part.beyond[0] == pytest.approx(0)
