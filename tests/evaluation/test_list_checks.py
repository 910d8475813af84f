import numpy as np
import pytest

from lexirec.core.errors import DataError, TrainingError
from lexirec.data.ranking import Ranking
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.case_lists import available_items
from lexirec.evaluation.list_checks import check_cases, check_lists, invalid_places, short_lists

CASES = Cases(np.arange(3), np.array([1, 2, 3], dtype=np.int32), Sequences.from_lists([[0], [0, 3, 3], []]))


def lists(rows, scores=None):
    items = np.array(rows, dtype=np.int32)
    return Ranking(items, np.zeros(items.shape, np.float32) if scores is None else np.array(scores, np.float32))


def test_seen_items_leave_fewer_to_list():
    assert available_items(CASES, 5, False).tolist() == [5, 5, 5]
    assert available_items(CASES, 5, True).tolist() == [4, 3, 5]


def test_a_list_without_items_is_an_error_where_items_are_left():
    some = lists([[1, 2], [-1, -1], [-1, -1]])
    with pytest.raises(DataError, match=r"lists no item for 2 of 3 cases, such as case 1, although 4 items"):
        check_lists(some, np.array([4, 4, 4]))
    with pytest.raises(DataError, match=r"lists no item for 1 of 3 cases, such as case 2, although 1 items"):
        check_lists(some, np.array([4, 0, 1]))
    check_lists(some, np.array([4, 0, 0]))


def test_short_lists_are_counted_and_allowed():
    some = lists([[1, 2, -1], [1, -1, -1], [1, 2, 3]])
    check_lists(some, np.array([5, 1, 5]))
    assert short_lists(some.items, np.array([5, 1, 5])) == 1
    assert short_lists(some.items, np.array([5, 2, 5])) == 2
    assert invalid_places(some.items, np.array([5, 2, 5])) == 2


def test_a_listed_item_has_a_score():
    check_lists(lists([[1, -1]], [[0.5, np.nan]]), np.array([1]))
    with pytest.raises(TrainingError, match="the score NaN in 1 of 2 cases"):
        check_lists(lists([[1, 2], [3, 4]], [[0.5, 0.1], [0.5, np.nan]]), np.array([4, 4]))


def test_cases_are_items_of_the_catalogue():
    check_cases(CASES, 4)
    with pytest.raises(DataError, match="item number 3, but the recommender's catalogue has 3 items"):
        check_cases(CASES, 3)
