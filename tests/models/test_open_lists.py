import numpy as np

from lexirec.models.open_lists import OpenList
from lexirec.models.quotas import CompiledQuota
from lexirec.models.ranking_rules import Rules

SEEN = np.array([1], dtype=np.int32)
NONE = np.empty(0, dtype=np.int32)


def listed(*items: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array(items, dtype=np.int32), -np.array(items, dtype=np.float32)


def test_a_list_is_done_when_it_is_full_or_nothing_may_come():
    one = OpenList.of(2, Rules(), SEEN, 5)
    assert (one.n_legal, one.open.tolist()) == (4, [True, False, True, True, True])
    one.take(*listed(4), True)
    assert (one.missing, one.done, one.open.tolist()) == (1, False, [True, False, True, True, False])
    one.take(*listed(0), True)
    assert one.done
    few = OpenList.of(3, Rules(np.array([True, False, False])), NONE, 3)
    few.take(*listed(0), False)
    assert few.done
    found = few.result(relative=False)
    assert (found.items.tolist(), found.exact, found.legal, found.short) == ([0], False, 1, False)
    assert OpenList.of(3, Rules(np.zeros(3, dtype=bool)), NONE, 3).done


def test_what_is_not_known_to_be_exact_stays_unknown():
    one = OpenList.of(3, Rules(), NONE, 5)
    one.take(*listed(0), None)
    one.take(*listed(1), True)
    assert one.exact is None


def test_kept_places_are_given_up_when_no_new_item_may_come():
    newer = np.array([False, False, False, True, True])
    brand = CompiledQuota.of_mask("brand", newer, 1)
    one = OpenList.of(4, Rules(quotas=(brand,), new_items=0.5, newer=newer), NONE, 5)
    assert not one.take(*listed(0, 1), True)
    assert one.open.tolist() == [False, False, False, True, True]
    assert one.take(*listed(3), True)
    assert one.open.tolist() == [False, False, True, False, False]
    assert not one.take(*listed(2), True)
    assert one.result(relative=False).items.tolist() == [0, 1, 2, 3]


def test_scores_of_different_rankings_are_sorted_only_where_they_can_be_compared():
    one = OpenList.of(3, Rules(), NONE, 9)
    one.take(*listed(5, 6), True)
    one.calls = 1
    one.take(*listed(2), True)
    assert one.result(relative=False).items.tolist() == [2, 5, 6]
    found = one.result(relative=True)
    assert found.items.tolist() == [5, 6, 2]
    assert found.scores.tolist() == [-5, -6, -6]
