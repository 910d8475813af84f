"""Recall by groups of cases."""

from __future__ import annotations

import numpy as np
import pytest

from lexirec.evaluation import slices
from lexirec.evaluation.slices import Slicing
from lexirec.reporting.breakdowns import by_history, by_popularity, by_slicing


def test_popularity_groups_are_those_of_the_analysis_with_rare_items_apart() -> None:
    counts = np.array([50, 40, 30, 9, 8, 7, 6, 4, 1, 0])  # head: 0 and 1, middle: 2; rare: 7 and 8
    targets = np.array([0, 1, 1, 2, 6, 7, 9])
    ranks = {"model": np.array([1, 10, 0, 3, 11, 2, 0]), "other": np.zeros(7, dtype=np.int64)}
    found = by_popularity(ranks, targets, counts, k=10)
    assert found.groups == ["head", "middle", "tail", "rare (≤ 4 events)", "unseen"]
    assert found.cases == [3, 1, 1, 1, 1]
    assert found.values["model"] == pytest.approx([2 / 3, 1, 0, 1, 0])
    assert found.values["other"] == [0, 0, 0, 0, 0]
    assert found.metric == "recall@10"
    analysed = slices.by_popularity(targets, counts, rare=slices.RARE)
    assert found.note == analysed.description
    assert [count for count in analysed.counts() if count] == found.cases


def test_an_item_nobody_bought_is_unseen_and_never_head() -> None:
    found = by_popularity({"model": np.array([1, 1])}, np.array([0, 1]), np.zeros(2, dtype=np.int64))
    assert found.groups == ["unseen"]


def test_any_slicing_by_its_groups() -> None:
    slicing = Slicing("kind", ("a", "none", "b"), np.array([0, 2, 2]), "Three kinds.")
    found = by_slicing("kind of case", slicing, {"model": np.array([1, 0, 3])}, k=3)
    assert (found.title, found.note) == ("kind of case", "Three kinds.")
    assert (found.groups, found.cases, found.values) == (["a", "b"], [1, 2], {"model": [1.0, 0.5]})


def test_groups_hold_every_case_once_and_average_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    counts, targets, ranks = rng.integers(0, 40, 200), rng.integers(0, 200, 500), rng.integers(0, 30, 500)
    whole = ((ranks >= 1) & (ranks <= 5)).mean()
    for found in (
        by_popularity({"model": ranks}, targets, counts, k=5),
        by_history({"model": ranks}, rng.integers(1, 60, 500), k=5),
    ):
        assert sum(found.cases) == 500
        assert np.average(found.values["model"], weights=found.cases) == pytest.approx(whole)


def test_history_groups_without_cases_are_left_out() -> None:
    found = by_history({"model": np.array([1, 0, 2, 5])}, np.array([1, 2, 20, 99]))
    assert found.groups == ["1–2", "20+"]
    assert found.cases == [2, 2]
    assert found.values["model"] == [0.5, 1.0]
