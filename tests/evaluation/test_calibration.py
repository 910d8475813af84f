import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lexirec.core.errors import DataError
from lexirec.data.ranking import Ranking
from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.calibration import calibration, reliability

QUICK = Bootstrap(replicates=200)


def test_expected_calibration_error_by_hand():
    probabilities = np.array([0.1, 0.1, 0.9, 0.7])
    hits = np.array([False, True, True, True])
    found = reliability(probabilities, hits, np.arange(4), bins=2, bootstrap=QUICK)
    assert [(each.count, each.predicted, each.observed) for each in found.bins] == [
        (2, pytest.approx(0.1), 0.5),
        (2, pytest.approx(0.8), 1.0),
    ]
    assert found.error == pytest.approx(0.5 * 0.4 + 0.5 * 0.2)


def test_bins_of_equal_mass_expect_equally_many_hits():
    rng = np.random.default_rng(0)
    probabilities = rng.random(20_000) ** 8
    found = reliability(
        probabilities, rng.random(20_000) < probabilities, np.arange(20_000), by="mass", bootstrap=QUICK
    )
    assert len(found.bins) == 10
    expected = [each.count * each.predicted for each in found.bins]
    assert_allclose(expected, probabilities.sum() / 10, rtol=0.02)
    assert found.error < 0.01


def test_the_error_tells_the_confident_from_the_calibrated():
    rng = np.random.default_rng(1)
    truth = rng.random(20_000)
    hits, users = rng.random(20_000) < truth, np.arange(20_000) // 2
    good = reliability(truth, hits, users, bootstrap=QUICK)
    bold = reliability(np.where(truth > 0.5, 0.99, 0.01), hits, users, bootstrap=QUICK)
    assert good.error < 0.03
    assert bold.error == pytest.approx(0.24, abs=0.02)
    held = [each.interval[0] <= each.predicted <= each.interval[1] for each in good.bins]
    assert sum(held) >= 7


def test_few_predictions_and_one_users_have_bins_too():
    found = reliability(np.array([0.2, 0.4]), np.array([False, True]), np.array([5, 5]), bootstrap=QUICK)
    assert [each.interval for each in found.bins] == [None, None]
    nothing = reliability(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64), bootstrap=QUICK)
    assert (nothing.bins, nothing.error) == ((), 0.0)


def ranking():
    items = np.array([[3, 1, 0], [2, 0, -1], [1, 2, 3]], dtype=np.int32)
    probabilities = np.array([[0.5, 0.3, 0.1], [0.6, 0.4, 0.0], [0.4, 0.3, 0.2]])
    with np.errstate(divide="ignore"):
        return Ranking(items, np.log(probabilities).astype(np.float32))


def test_the_mass_of_lists_is_the_recall_expected():
    found = calibration(ranking(), np.array([1, 2, 0], dtype=np.int32), np.arange(3), bootstrap=QUICK)
    assert found.places == (1, 2, 3)
    assert_allclose(found.mass, [0.5, 2.5 / 3, 2.8 / 3], rtol=1e-6)
    assert_allclose(found.recall, [1 / 3, 2 / 3, 2 / 3])
    assert found.covered[1] == pytest.approx(0.9)
    assert sum(each.count for each in found.listed.bins) == 8
    assert sum(each.count for each in found.top.bins) == 3
    assert json.loads(json.dumps(found.as_json()))["lengths"][0] == {
        "places": 1,
        "expected_recall": pytest.approx(0.5),
        "recall": pytest.approx(1 / 3),
    }


def test_other_scores_are_refused():
    wrong = Ranking(np.array([[0, 1]], dtype=np.int32), np.array([[0.0, -0.1]], dtype=np.float32))
    with pytest.raises(DataError, match=r"sum to 1\.905, above 1"):
        calibration(wrong, np.array([0], dtype=np.int32), np.array([0]), bootstrap=QUICK)
