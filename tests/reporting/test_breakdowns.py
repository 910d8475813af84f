"""Breaking recall down by the kind of case."""

from __future__ import annotations

import numpy as np
import pytest

from lexirec.reporting.breakdowns import by_groups, by_history, by_popularity


def test_popularity_groups_are_head_tail_and_rare() -> None:
    counts = np.array([50, 40, 9, 8, 7, 6, 5, 4, 1, 0])  # head: items 0 and 1; rare: items 7, 8, 9
    targets = np.array([0, 1, 1, 2, 6, 7, 9])
    ranks = {"model": np.array([1, 10, 0, 3, 11, 2, 0]), "other": np.zeros(7, dtype=np.int64)}
    found = by_popularity(ranks, targets, counts, k=10)
    assert [name.split()[0] for name in found.groups] == ["head", "tail", "rare"]
    assert found.cases == [3, 2, 2]
    assert found.values["model"] == pytest.approx([2 / 3, 1 / 2, 1 / 2])
    assert found.values["other"] == [0, 0, 0]
    assert found.metric == "recall@10"


def test_an_item_nobody_bought_is_never_head() -> None:
    found = by_popularity({"model": np.array([1, 1])}, np.array([0, 1]), np.zeros(2, dtype=np.int64))
    assert [name.split()[0] for name in found.groups] == ["rare"]


def test_any_groups_by_their_places() -> None:
    found = by_groups("kind", {"model": np.array([1, 0, 3])}, ["a", "none", "b"], np.array([0, 2, 2]), k=3)
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
    assert list(found.groups) == ["1–2", "20 or more"]
    assert found.cases == [2, 2]
    assert found.values["model"] == [0.5, 1.0]
