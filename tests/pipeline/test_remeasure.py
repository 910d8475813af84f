import pytest

from lexirec.core.errors import ArtifactError
from lexirec.pipeline.remeasure import evaluate_folder, evaluated, measure_again
from tests.worlds.exported_shop import exported, shop
from tests.worlds.grown_shop import stage


def test_a_run_and_its_export_are_known_alike():
    of_run, of_folder = evaluated(shop(), "old-gram", "model"), evaluated(shop(), str(exported("old-gram", "model")))
    assert of_folder.as_json() == of_run.as_json()
    assert of_run.reports["excluded"].protocol["seeds"]
    assert of_run.folder != of_folder.folder


def test_measuring_again_gives_the_stored_figures_and_stores_nothing():
    known = evaluated(shop(), "old-gram", "memory")
    before = sorted(path.name for path in (shop().root / "evaluation").iterdir())
    found = measure_again(shop(), known)
    assert {seen: report.metrics for seen, report in found.items()} == {
        seen: report.metrics for seen, report in known.reports.items()
    }
    assert sorted(path.name for path in (shop().root / "evaluation").iterdir()) == before


def test_another_fold_is_measured_without_comparing_its_cases():
    report = evaluate_folder(shop(), exported("old-gram", "model"), "validation", "included")
    assert report.protocol["fold"] == "validation"
    assert not report.protocol["exclude_seen"]


def test_other_cases_are_refused():
    known = evaluated(shop(), "old-gram", "memory")
    known.reports["excluded"].protocol["cases_digest"] = "0" * 64
    with pytest.raises(ArtifactError, match=r"was evaluated on other cases than the data in the store have \(cases"):
        measure_again(shop(), known)


def test_a_saved_folder_without_an_evaluation_is_known_but_cannot_be_measured():
    known = evaluated(shop(), str(stage("old-gram", "model").folder))
    assert known.settings is None
    assert not known.reports
    with pytest.raises(ArtifactError, match="how it was evaluated is unknown"):
        measure_again(shop(), known)
