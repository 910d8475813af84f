import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lexirec.core.runs import RunRecord, evaluations
from lexirec.models.gram.settings import GramSettings
from lexirec.nn.search import SearchSettings
from lexirec.pipeline.results import kinds
from lexirec.pipeline.stages.data import load_catalog
from lexirec.pipeline.stages.models import CURVE
from lexirec.pipeline.stages.report import evaluations_of, report_content, shared_protocol, stored_reports, systems
from lexirec.training.arguments import METRIC
from tests.worlds.small_run import SETTINGS, small_run


@pytest.fixture(scope="module")
def done() -> RunRecord:
    return small_run()[1]


def content(done: RunRecord, **changes):
    inputs = {name: step.folder for name, step in done.stages.items()}
    settings = {"name": "small", "kinds": kinds(done), "evaluation": done.settings["evaluation"], **changes}
    return report_content(settings, inputs)


def test_rows_hold_both_protocols_floors_and_margins(done):
    rows = {row.name: row for row in systems(evaluations(done), kinds(done))}
    assert [name for name, row in rows.items() if row.floor] == ["transitions", "memory"]
    ranks = stored_reports(evaluations(done)["memory"])["excluded"].ranks
    found = (ranks >= 1) & (ranks <= 10)
    assert rows["memory"].margins["recall@10"] == pytest.approx(1.96 * found.std() / np.sqrt(len(ranks)))
    assert rows["memory"].excluded["recall@10"] == pytest.approx(found.mean())
    assert rows["memory"].included is not None


def test_the_shared_protocol_leaves_out_what_differs(done):
    shared = shared_protocol(evaluations(done))
    cards = [report.protocol for folder in evaluations(done).values() for report in stored_reports(folder).values()]
    differing = {name for card in cards for name in card if any(other.get(name) != card[name] for other in cards)}
    assert differing
    assert not differing & set(shared)
    assert shared["split"] == "leave-last-out"


def test_evaluations_are_found_among_inputs(tmp_path):
    assert evaluations_of({"data": tmp_path, "evaluation.a": tmp_path / "a"}) == {"a": tmp_path / "a"}


def test_breakdowns_and_census_are_counted(done):
    found = content(done)
    assert [breakdown.title for breakdown in found.breakdowns] == [
        "popularity of the target",
        "coldness of the target",
        "length of the history",
        "transition to the target",
        "hops to the target",
    ]
    assert all(sum(breakdown.cases) == 120 for breakdown in found.breakdowns)
    assert found.census[0].level == 1
    assert "120 users, 100 items" in found.lead


def test_short_lists_have_no_breakdown_at_ten(done):
    short = content(done, evaluation={**done.settings["evaluation"], "ks": [5]})
    assert (short.breakdowns, short.listings) == ([], [])


def test_lists_are_reported_beyond_accuracy(done):
    (found,) = content(done).listings
    assert list(found.rows) == list(SETTINGS["baselines"])
    assert {"coverage ↑", "Gini ↓", "diversity, categories ↑"} <= set(found.columns)
    assert "diversity, vectors ↑" not in found.columns
    assert found.rows["popularity"][list(found.columns).index("serendipity ↑")] == ".0000"
    for word in found.columns:
        assert word.removesuffix(" ↑").removesuffix(" ↓") in found.note
    kept = {**done.settings["evaluation"], "keep_lists": 5}
    assert content(done, evaluation=kept).listings == []


def test_next_steps_name_the_experiment(done):
    assert any("lexirec recommend small" in step for step in content(done).next_steps)
    assert any("lexirec show small identifiers" in step for step in content(done).next_steps)


def test_next_steps_can_be_pasted(done):
    step = next(step for step in content(done).next_steps if "lexirec recommend" in step)
    ids = re.findall(r"toy-\d+", step)
    assert len(ids) == 2
    load_catalog(done.stage("data").folder).numbers(ids)


# ------------------------------------------------------------------------------------------------- with a model


@pytest.fixture(scope="module")
def with_model(done, tmp_path_factory):
    """The small run's folders, with a late-fusion model as an evaluation and a curve beside its weights."""
    folder = tmp_path_factory.mktemp("model")
    inputs = {name: step.folder for name, step in done.stages.items()}
    rows = [{"step": 2.0, "epoch": 0.5, "loss": 5.0}, {"step": 4.0, "epoch": 1.0, METRIC: 0.2}]
    rows += [{"step": 6.0, "epoch": 1.5, "loss": 4.0}, {"step": 8.0, "epoch": 2.0, METRIC: 0.1}]
    shutil.copytree(inputs["baselines.memory"], folder / "recommender")
    (folder / "recommender" / CURVE).write_text(json.dumps(rows))
    settings = GramSettings(search=SearchSettings(num_beams=7)).model_dump(mode="json")
    search = {"recommender": "late-fusion", "search": "beam search, width 7", "settings": settings}
    for seen, report in stored_reports(inputs["evaluation.memory"]).items():
        replace(report, protocol=report.protocol | search).save(folder / "evaluation" / seen)
    return {**inputs, "recommender": folder / "recommender", "evaluation.model": folder / "evaluation"}


def test_the_learning_curve_is_read_and_the_best_step_marked(done, with_model):
    settings = {"name": "small", "kinds": kinds(done), "evaluation": done.settings["evaluation"]}
    learning = report_content(settings, with_model).learning
    assert learning is not None
    assert learning.loss == [(2, 5.0), (6, 4.0)]
    assert (learning.validation, learning.best_step, learning.metric) == ([(4, 0.2), (8, 0.1)], 4, "ndcg@10")
    assert content(done).learning is None


def test_the_protocol_holds_the_models_own_settings_compactly(done, with_model):
    settings = {"name": "small", "kinds": kinds(done), "evaluation": done.settings["evaluation"]}
    found = report_content(settings, with_model)
    assert found.protocol["model"] == "late-fusion, beam search, width 7"
    assert found.protocol["model_settings"] == {"search.num_beams": 7, "all others": "default"}
    assert [row.name for row in found.systems if row.main] == ["model"]
    assert any("lexirec compare small" in step for step in found.next_steps)
    assert "model" not in content(done).protocol
