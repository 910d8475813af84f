import numpy as np
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.ranking import check_request, forbid
from lexirec.data.sequences import Sequences

TWO = Sequences.from_lists([[0, 2], []])


def test_requests_are_checked():
    check_request(TWO, 3, 1, None)
    check_request(TWO, 3, np.int64(5), np.ones(3, dtype=np.bool_), np.True_)
    check_request(TWO, 3, 5, np.ones((2, 3), dtype=np.bool_))
    with pytest.raises(SettingsError, match=r"k = 0: a list needs at least one item"):
        check_request(TWO, 3, 0, None)
    for shape in ((2,), (3, 2), (1, 3), (2, 3, 1)):
        with pytest.raises(SettingsError, match=r"it should be \(3,\), one entry per item, or \(2, 3\)"):
            check_request(TWO, 3, 1, np.ones(shape, dtype=np.bool_))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (("ab", 3, 1, None), "histories are of type str; pass Sequences"),
        (([[0]], 3, 1, None), "histories are of type list; pass Sequences"),
        ((TWO, 2, 1, None), "history 0 holds item number 2, but the catalog has 2 items"),
        ((Sequences.from_lists([[], [1, -1]]), 3, 1, None), "history 1 holds item number -1, but"),
        ((TWO, 3, 1.0, None), r"k = 1\.0: a list needs"),
        ((TWO, 3, True, None), "k = True: a list needs"),
        ((TWO, 3, "1", None), "k = '1': a list needs"),
        ((TWO, 3, 1, None, "no"), "exclude_seen = 'no': pass True or False"),
        ((TWO, 3, 1, [True] * 3), r"allowed is of type list; it should be an array of bool of shape \(3,\)"),
        ((TWO, 3, 1, np.array([0, 1, 2])), "allowed is an array of int64; it should be an array of bool"),
    ],
)
def test_what_no_recommender_can_answer_is_refused(request_, message):
    with pytest.raises((DataError, SettingsError), match=message):
        check_request(*request_)


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
