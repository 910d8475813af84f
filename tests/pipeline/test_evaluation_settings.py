"""Published figures are settings of the evaluation that enter no measurement's key."""

import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.pipeline.evaluation_settings import EvaluationSettings
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import plan_experiment
from tests.worlds.small_run import SETTINGS

ROW = {"source": "a paper", "metrics": {"recall@10": 0.1}}


def experiment(**evaluation):
    return validate_settings({**SETTINGS, "evaluation": {"ks": [5, 10], **evaluation}}, Experiment)


def keys(tried, folder):
    return {stage.name: stage.key for stage in plan_experiment(tried, Store(folder))}


def test_they_change_the_report_alone(tmp_path):
    without = keys(experiment(), tmp_path)
    told = keys(experiment(published={"theirs": {**ROW, "beside": "memory"}}, unequal={"texts": "fewer"}), tmp_path)
    assert {name for name in without if without[name] != told[name]} == {"report"}
    assert keys(experiment(published={}), tmp_path) == without


def test_empty_ones_are_not_stored():
    assert not {"published", "unequal"} & set(EvaluationSettings().model_dump(mode="json"))
    given = EvaluationSettings(published={"theirs": ROW})
    assert EvaluationSettings.model_validate(given.model_dump(mode="json")) == given


def test_they_stand_beside_a_recommender_that_there_is():
    with pytest.raises(SettingsError, match=r"evaluation\.published\.theirs\.beside' is 'modle'; it should be one of"):
        experiment(published={"theirs": {**ROW, "beside": "modle"}})
