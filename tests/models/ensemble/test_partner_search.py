from pathlib import Path

import numpy as np
import pytest

from lexirec.core.errors import SettingsError
from lexirec.core.progress import quiet
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.ensemble import partner_search
from lexirec.models.ensemble.candidates import Part
from lexirec.models.ensemble.partner_search import Partner, PartnerTrial, find_partner
from lexirec.models.ensemble.recommender import EnsembleRecommender
from lexirec.models.ensemble.settings import EnsembleSettings, PartnerSettings
from tests.models.ensemble.test_recommender import CATALOG, ITEMS, SPLIT, TRAIN, parts

BAD = MemorySettings(window=5, backward=0.9, history_decay=1.0, gap_decay=1.0)
"""Who walks round a circle forwards is not told by counts of what stands near."""


class Cut(BaseException):
    """The process dies here."""


def settings(*of: str, trials: int = 8, **partner) -> EnsembleSettings:
    return EnsembleSettings(of=of, partner=PartnerSettings(trials=trials, **partner), depth=10)


def world(made: EnsembleSettings) -> tuple[tuple[str, ...], tuple[Part, ...]]:
    bad = ScoreRecommender(CATALOG, Memory(BAD).fit(TRAIN, ITEMS))
    fused = EnsembleRecommender({**parts(), "memory": bad}, made)
    return fused.names, fused.parts


def found(made: EnsembleSettings, folder, **alike):
    with quiet():
        return find_partner(*world(made), made, SPLIT, folder, **alike)


def worth(made: EnsembleSettings, memory: Memory) -> float:
    """Return what the weights of a fusion with such a memory are worth where they are chosen."""
    given = {**parts(), "memory": ScoreRecommender(CATALOG, memory)}
    return EnsembleRecommender(given, made).fit(SPLIT).weights.facts["ndcg@10"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    made = settings("model", "memory")
    return made, found(made, tmp_path_factory.mktemp("partner"))


def test_the_first_trial_has_the_parts_own_settings_and_the_best_is_not_below_it(whole):
    made, partner = whole
    assert len(partner.trials) == 8
    assert partner.trials[0].params == {name: getattr(BAD, name) for name in made.partner.space}
    assert partner.best.value == max(trial.value for trial in partner.trials)
    assert partner.best.value > partner.trials[0].value
    assert all(np.isfinite(trial.halves).all() for trial in partner.trials)


def test_each_half_of_the_users_is_measured_with_the_best_trial_of_the_other():
    halves = [(0.1, 0.4), (0.3, 0.2), (0.3, 0.1), (0.2, 0.4)]
    trials = [PartnerTrial(number, {}, sum(each) / 2, each, 1.0) for number, each in enumerate(halves)]
    partner = Partner(Memory(), trials, 4)
    assert partner.held_out == pytest.approx((0.1 + 0.2) / 2), "of equal trials the first"
    assert partner.best.number == 3


def test_the_memory_is_that_of_the_best_trial_and_its_worth_that_of_the_fusion(whole):
    made, partner = whole
    assert {name: getattr(partner.memory.settings, name) for name in partner.best.params} == partner.best.params
    again = Memory(partner.memory.settings).fit(TRAIN, ITEMS)
    assert np.array_equal(again.scores(SPLIT.test.histories), partner.memory.scores(SPLIT.test.histories))
    assert partner.cases == len(SPLIT.validation)
    # a trial reads what the model's first step says, the fusion what its search says
    assert worth(made, partner.memory) == pytest.approx(partner.best.value, abs=0.02)


@pytest.mark.parametrize("made", [settings("sasrec", "memory", "knn", trials=2), settings("wordy", "memory", trials=2)])
def test_what_a_trial_is_worth_is_what_the_fusion_finds(made, tmp_path):
    partner = found(made, tmp_path, texts=CATALOG.texts())
    memory = Memory(partner.memory.settings).fit(TRAIN, ITEMS, texts=CATALOG.texts())
    assert worth(made.model_copy(update={"reach": None}), memory) == pytest.approx(partner.best.value, abs=1e-3)


def test_counts_are_smoothed_with_what_is_given(tmp_path):
    made, scores = settings("sasrec", "memory", trials=1), {}
    vectors = np.random.default_rng(0).normal(size=(ITEMS, 8)).astype(np.float32)
    given = {"nothing": {}, "texts": {"texts": CATALOG.texts()}, "vectors": {"vectors": vectors}}
    for name, alike in given.items():
        scores[name] = found(made, tmp_path / name, **alike).memory.scores(SPLIT.test.histories)
        own = Memory(BAD).fit(TRAIN, ITEMS, **alike).scores(SPLIT.test.histories)
        assert np.array_equal(scores[name], own), "the only trial has the part's own settings"
    assert not np.array_equal(scores["texts"], scores["vectors"])
    assert not np.array_equal(scores["nothing"], scores["vectors"])


def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(whole, tmp_path, monkeypatch):
    made, expected = whole
    real, calls = partner_search.Memory, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise Cut
        return real(*arguments)

    monkeypatch.setattr(partner_search, "Memory", dies)
    with pytest.raises(Cut):
        found(made, tmp_path)
    monkeypatch.setattr(partner_search, "Memory", real)
    asked = []
    monkeypatch.setattr(partner_search, "_scores_of", lambda *given: asked.append(given))
    partner = found(made, tmp_path)
    assert not asked, "parts that were read are not asked again"
    assert [trial.params for trial in partner.trials] == [trial.params for trial in expected.trials]
    assert [trial.value for trial in partner.trials] == [trial.value for trial in expected.trials]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"value": 0', b'"value": "high"'))


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("trials/0001.json", halve),
        ("trials/0001.json", alter),
        ("trials/000*.json", halve),
        ("trials/journal.jsonl", halve),
        ("readings/*.npy", halve),
        ("**/*.*", halve),
    ],
)
def test_damaged_files_of_a_search_are_made_again(whole, tmp_path, caplog, pattern, damage):
    made, expected = whole
    few = made.model_copy(update={"partner": made.partner.model_copy(update={"trials": 3})})
    found(few, tmp_path)
    damaged = list(tmp_path.glob(pattern))
    assert damaged
    for path in damaged:
        damage(path)
    partner = found(made, tmp_path)
    assert [trial.number for trial in partner.trials] == [trial.number for trial in expected.trials]
    assert [trial.params for trial in partner.trials] == [trial.params for trial in expected.trials]
    assert [trial.value for trial in partner.trials] == [trial.value for trial in expected.trials]
    assert "is damaged" in caplog.text


def test_a_finished_search_is_not_run_again_and_cases_are_drawn(tmp_path, monkeypatch):
    made = settings("sasrec", "memory", trials=2, cases=30)
    first = found(made, tmp_path)
    assert first.cases == 30
    monkeypatch.setattr(partner_search._ProductEvaluator, "gains", None)
    assert found(made, tmp_path).trials == first.trials


def test_what_is_no_memory_or_leads_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"partner\.part: 'knn' is no memory"):
        found(settings("model", "knn", part="knn"), tmp_path)
    with pytest.raises(SettingsError, match=r"partner\.part: 'memory' is the lead"):
        found(settings("memory", "sasrec"), tmp_path)
