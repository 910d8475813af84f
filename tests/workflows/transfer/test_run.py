import re

import numpy as np
import pytest

from lexirec import cli
from lexirec.core.manifest import read_manifest, verify
from lexirec.core.progress import quiet
from lexirec.core.runs import recommenders
from lexirec.core.store import Store
from lexirec.data.sequences import load_array
from lexirec.evaluation.evaluator import Report
from lexirec.models.loading import chosen, load_named, load_recommender
from lexirec.pipeline.results import measured
from lexirec.pipeline.run import plan_experiment
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.quantizers.codebook import Codebook
from lexirec.workflows.transfer import stages
from lexirec.workflows.transfer.run import plan_transfer, transfer
from tests.worlds.small_transfer import TARGET, small_transfer, wanted

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def store() -> Store:
    return small_transfer()[0]


@pytest.fixture(scope="module")
def done():
    return small_transfer()[1]


def card(run, name: str) -> dict:
    return Report.load(run.stage(f"evaluation.{name}").folder / "excluded").protocol


def test_everything_is_measured_beside_the_floors(done):
    names = ["popularity", "transitions", "untrained", "zero-shot", "alone", "fine-tuned"]
    assert [row.name for row in measured(done)] == names
    assert [row.name for row in measured(done) if row.main] == ["fine-tuned"]
    assert len({card(done, name)["cases_digest"] for name in names}) == 1
    assert set(recommenders(done)) == set(names)
    for step in done.stages.values():
        assert verify(step.folder).key == step.key


def test_codes_are_those_of_the_first_quantiser(done):
    codes, source = (done.stage(name).folder for name in ("carried.codes", "source.codes"))
    vectors = load_array(done.stage("carried.vectors.text").folder / "vectors.npy")
    assert vectors.shape == (84, 12)
    kept = Codebook.load(source).assign(vectors)
    assert (kept[:, 0] == Codes.load(codes).values[:, 0]).all()
    assert Codes.load(codes).levels == 2 or Codes.load(source).levels > 2
    assert len(load_recommender(done.stage("zero-shot").folder).catalog) == 84


def test_the_cards_and_the_report_say_who_saw_what(done):
    zero, tuned = (card(done, name)["saw"] for name in ("zero-shot", "fine-tuned"))
    assert "interactions" in zero["source"]
    assert zero["target"] == "item texts"
    assert "interactions" in tuned["target"]
    assert "interactions" not in card(done, "untrained")["saw"]["source"]
    text = (done.stage("report").folder / "report.md").read_text()
    for words in ("zero-shot saw", "alone saw", "baselines saw", "tokens new to the source", "training interactions"):
        assert words in text


def test_what_is_fine_tuned_began_with_what_was_carried(done):
    carried, tuned, alone = (load_recommender(done.stage(name).folder) for name in ("zero-shot", "fine-tuned", "alone"))
    assert not carried.model.items.identity.weight.any()
    assert tuned.model.items.identity.weight.any()
    assert tuned.identifiers.spelled(3) == alone.identifiers.spelled(3) == carried.identifiers.spelled(3)
    assert (done.stage("fine-tuned").folder / "curve.json").is_file()


def test_zero_shot_knows_nothing_of_who_bought_what(done, store, monkeypatch):
    others = {**TARGET["data"], "split": {"kind": "global-temporal", "validation": 0.3, "test": 0.3}}
    monkeypatch.setattr(stages, "make_transfer_report", lambda *_: None)
    with quiet():
        again = transfer(wanted(target={"data": others}), store).stage("zero-shot").folder
    first, second = (load_recommender(folder) for folder in (done.stage("zero-shot").folder, again))
    weights, same = first.model.state_dict(), second.model.state_dict()
    assert done.stage("zero-shot").folder != again
    assert all(np.array_equal(weights[name], same[name]) for name in weights)


def test_what_is_done_is_not_made_again(done, store, monkeypatch):
    before = {step.folder: read_manifest(step.folder).created for step in done.stages.values()}
    for name in ("carry_model", "apply_codebook", "embed_target", "build_untrained", "make_transfer_report"):
        monkeypatch.setattr(stages, name, None)
    again = transfer(wanted(fine_tune=True), store)
    assert {step.folder for step in again.stages.values()} == set(before)
    assert {folder: read_manifest(folder).created for folder in before} == before


def test_steps_of_both_experiments_are_shared_with_them(done, store):
    source = {step.name: step for step in plan_experiment(wanted().source, store)}
    target = {step.name: step for step in plan_experiment(wanted().target, store)}
    assert source["model"].folder == done.stage("source.model").folder
    assert target["evaluation.transitions"].folder == done.stage("evaluation.transitions").folder
    assert {source[name].state for name in ("data", "codes", "lexicon", "model")} == {"done"}


def test_plan_tells_what_a_change_touches(done, store, tmp_path):
    assert {step.state for step in plan_transfer(wanted(fine_tune=True), Store(tmp_path / "none"))} == {"new"}
    assert not (tmp_path / "none").exists()
    states = {step.name: step.state for step in plan_transfer(wanted(neighbors="training"), store)}
    assert states["source.model"] == states["target.neighbors"] == states["carried.codes"] == "done"
    assert states["zero-shot"] == states["evaluation.zero-shot"] == "stale"
    assert "fine-tuned" not in states
    beside = {step.name for step in plan_transfer(wanted(beside="all"), store)}
    assert "baselines.ease" in beside
    assert "baselines.ease" not in states


def test_finished_transfers_are_used_like_experiments(done, store):
    assert chosen(done) == "fine-tuned"
    history = load_named(store, "crafts-to-gifts", "zero-shot").catalog.item_ids[:2]
    assert len(load_named(store, "crafts-to-gifts", "zero-shot").recommend(history, k=3)) == 3
    assert done.settings["seed"] == 3


def test_the_verb_prints_figures_and_who_saw_what(done, store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lexirec.workflows.transfer.settings.load_transfer", lambda *_: wanted(fine_tune=True))
    with pytest.raises(SystemExit):
        cli.main(["-q", "transfer", "a.toml", "b.toml", "--fine-tune", "--store", str(store.root)])
    out = capsys.readouterr().out
    assert re.search(r"zero-shot +\.\d{4}", out)
    assert re.search(r"fine-tuned saw +source: item texts, training", out)
    with pytest.raises(SystemExit):
        cli.main(["-q", "transfer", "a.toml", "b.toml", "--plan", "--store", str(store.root)])
    assert re.search(r"carried\.codes +done", capsys.readouterr().out)
