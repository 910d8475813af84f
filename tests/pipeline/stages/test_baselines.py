from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.evaluation.evaluator import Report
from lexirec.models.baselines.als import AlsSettings
from lexirec.models.baselines.gru4rec import Gru4RecSettings
from lexirec.models.baselines.hstu import HstuSettings
from lexirec.models.baselines.item_similarity import EaseSettings, ItemKnnSettings
from lexirec.models.baselines.memory import MemoryBaseline
from lexirec.models.baselines.popularity import PopularitySettings, RecencySettings
from lexirec.models.baselines.sasrec import SasrecBaseline
from lexirec.models.baselines.transitions import TransitionsSettings
from lexirec.models.loading import load_recommender
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.stages.baselines import fit_baseline
from lexirec.pipeline.stages.data import load_split
from lexirec.pipeline.stages.evaluation import measure, measured_cases
from lexirec.pipeline.visible import visible
from tests.worlds.small_run import small_run


@pytest.fixture(scope="module")
def folders():
    return {name: step.folder for name, step in small_run()[1].stages.items()}


@pytest.mark.parametrize(
    "settings",
    [
        PopularitySettings(),
        ItemKnnSettings(neighbors=5),
        EaseSettings(),
        RecencySettings(),
        TransitionsSettings(),
        AlsSettings(dimensions=4),
        Gru4RecSettings(dimensions=4, width=4, training={"epochs": 1}),
        HstuSettings(dimensions=4, layers=1, training={"epochs": 1}),
        SasrecBaseline(
            dimensions=4, layers=1, block="ligr", training={"epochs": 1, "negatives": 8, "proposal": "uniform"}
        ),
        MemoryBaseline(evidence="none"),
        MemoryBaseline(evidence="text"),
        MemoryBaseline(evidence="vectors"),
        SasrecBaseline(dimensions=4, layers=1, training={"epochs": 1}),
        SasrecBaseline(dimensions=4, layers=1, training={"epochs": 1}, with_vectors=True, with_neighbors=True),
    ],
    ids=lambda settings: "-".join(
        str(getattr(settings, name))
        for name in ("kind", "evidence", "block", "with_vectors")
        if hasattr(settings, name)
    ),
)
def test_every_baseline_is_fitted_saved_and_ranks(tmp_path, folders, settings):
    fit_baseline(settings, visible("baselines", small_run()[1].stages), tmp_path)
    recommender = load_recommender(tmp_path)
    split = load_split(folders["data"])
    ranking = recommender.rank(split.test.histories.take([0, 1]), k=5, exclude_seen=True)
    assert ranking.items.shape == (2, 5)
    assert np.isfinite(ranking.scores).all()


def test_a_sample_is_fixed_and_in_order(folders):
    split = load_split(folders["data"])
    some = measured_cases(EvaluationSettings(sample_users=7), split)
    again = measured_cases(EvaluationSettings(sample_users=7), split)
    assert len(some) == 7
    assert (np.diff(some.users) > 0).all()
    np.testing.assert_array_equal(some.users, again.users)
    assert not np.array_equal(some.users, measured_cases(EvaluationSettings(sample_users=7, seed=1), split).users)
    assert len(measured_cases(EvaluationSettings(sample_users=10**6), split)) == len(split.test)
    assert (measured_cases(EvaluationSettings(fold="validation"), split).targets == split.validation.targets).all()


def test_cases_whose_newest_event_is_unseen_are_measured_alone(tmp_path):
    rows = Sequences.from_lists([[0, 1], [2], [3]])
    histories = Sequences.from_lists([[0, 1], [2, 4], [3, 1]])
    cases = Cases(np.arange(3), np.array([2, 3, 0], np.int32), histories)
    split = Split(rows, np.arange(3), cases, cases, 5, {})
    asked = EvaluationSettings(fold="validation", cases="unseen")
    assert measured_cases(asked, split).users.tolist() == [1, 2]
    drawn = measured_cases(asked.model_copy(update={"sample_users": 1}), split)
    assert len(drawn) == 1
    assert drawn.users[0] in (1, 2)
    with pytest.raises(DataError, match="as under leave-last-out; use all cases"):
        measured_cases(asked, replace(split, validation=cases.take(np.array([0]))))
    with pytest.raises(ValidationError, match="set fold = "):
        EvaluationSettings(cases="unseen")


def test_both_protocols_are_measured_and_carry_the_split(tmp_path, folders):
    given = {"data": folders["data"], "recommender": folders["baselines.memory"]}
    measure(EvaluationSettings(ks=(5,), seen=("included",), sample_users=9), given, tmp_path)
    assert not (tmp_path / "excluded").exists()
    report = Report.load(tmp_path / "included")
    assert set(report.metrics) == {"recall@5", "ndcg@5", "mrr@5"}
    assert {"fold": "test", "sample_users": 9, "max_history": 20, "cases": 9}.items() <= report.protocol.items()
    assert "seen items included: recall@5" in (tmp_path / "summary.md").read_text()
