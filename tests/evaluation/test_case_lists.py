"""Lists of cases leave out what was seen and what is forbidden, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lexirec.data.cases import Cases
from lexirec.data.sequences import Sequences
from lexirec.evaluation import case_lists
from lexirec.evaluation.case_lists import available_items, lists_of
from lexirec.evaluation.evaluator import evaluate
from tests.serving.shop import ITEMS, recommender

PLAIN = Cases(
    np.arange(4), np.array([5, 6, 7, 3], dtype=np.int32), Sequences.from_lists([[1, 2], [3], [4, 4, 5], [3, 6]])
)
SEEN = Sequences.from_lists([[1, 2, 9], [], [4, 5], [3]])
NEVER = Sequences.from_lists([[10], [6], [], [1, 3]])


def whole(cases, exclude_seen, **options):
    return evaluate(recommender(), cases, ks=(ITEMS,), exclude_seen=exclude_seen, **options)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_every_list_holds_all_items_but_those_left_out(exclude_seen):
    cases = replace(PLAIN, seen=SEEN, never=NEVER)
    report = whole(cases, exclude_seen)
    for row in range(4):
        out = set(NEVER.row(row).tolist()) | (set(SEEN.row(row).tolist()) if exclude_seen else set())
        listed = report.lists.items[row]
        assert set(listed[listed >= 0].tolist()) == set(range(ITEMS)) - out
    assert (report.invalid, report.short) == (0, 0)
    assert report.protocol["targets_left_out"] == 2
    assert report.ranks[1] == report.ranks[3] == 0


def test_without_seen_items_of_their_own_those_of_the_history_are_left_out():
    report = whole(replace(PLAIN, never=NEVER), True)
    assert set(range(ITEMS)) - set(report.lists.items[0].tolist()) == {1, 2, 10}
    assert available_items(replace(PLAIN, never=NEVER), ITEMS, True).tolist() == [37, 38, 38, 37]


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_cases_without_them_are_ranked_and_told_as_ever(exclude_seen):
    report = whole(PLAIN, exclude_seen)
    asked = recommender().rank(PLAIN.histories, k=ITEMS, exclude_seen=exclude_seen)
    assert np.array_equal(report.lists.items, asked.items)
    assert "targets_left_out" not in report.protocol
    assert report.protocol["cases_digest"] != whole(replace(PLAIN, never=NEVER), False).protocol["cases_digest"]


def test_the_seen_items_of_the_history_named_as_such_change_nothing_but_the_digest():
    named = replace(PLAIN, seen=Sequences.from_lists([[1, 2], [3], [4, 5], [3, 6]]))
    one, other = whole(PLAIN, True), whole(named, True)
    assert np.array_equal(one.lists.items, other.lists.items)
    assert one.metrics == other.metrics
    assert one.protocol["cases_digest"] != other.protocol["cases_digest"]


def test_large_catalogues_are_ranked_in_small_batches(monkeypatch):
    cases = replace(PLAIN, seen=SEEN, never=NEVER)
    at_once = lists_of(recommender(), cases, 5, True, 1024)
    monkeypatch.setattr(case_lists, "_MASK_CELLS", ITEMS)
    one_by_one = lists_of(recommender(), cases, 5, True, 1024)
    assert np.array_equal(at_once.items, one_by_one.items)


def test_rows_must_be_as_many_as_cases():
    with pytest.raises(ValueError, match="4 cases should have as many rows"):
        replace(PLAIN, never=Sequences.from_lists([[1]]))
