import numpy as np
import pytest

from lexirec.core.errors import SettingsError
from lexirec.data.ranking import check_request, forbid
from lexirec.data.sequences import Sequences


def test_requests_are_checked():
    check_request(2, 3, 1, None)
    check_request(2, 3, 5, np.ones(3, dtype=np.bool_))
    check_request(2, 3, 5, np.ones((2, 3), dtype=np.bool_))
    with pytest.raises(SettingsError, match=r"k = 0: a list needs at least one item"):
        check_request(2, 3, 0, None)
    for shape in ((2,), (3, 2), (1, 3), (2, 3, 1)):
        with pytest.raises(SettingsError, match=r"it should be \(3,\), one entry per item, or \(2, 3\)"):
            check_request(2, 3, 1, np.ones(shape, dtype=np.bool_))


def test_seen_and_other_items_are_forbidden():
    histories = Sequences.from_lists([[0, 2, 0], [], [3]])
    scores = np.zeros((3, 4), dtype=np.float32)
    forbid(scores, histories, False, None)
    assert not scores.any()
    forbid(scores, histories, True, np.array([True, True, True, False]))
    expected = np.zeros((3, 4))
    expected[0, [0, 2, 3]] = expected[1, 3] = expected[2, 3] = -np.inf
    assert np.array_equal(scores, expected)
    scores = np.zeros((3, 4), dtype=np.float32)
    per_row = np.eye(3, 4, dtype=np.bool_)
    forbid(scores, histories, True, per_row)
    assert np.isfinite(scores).tolist() == [[False] * 4, [False, True, False, False], [False, False, True, False]]
