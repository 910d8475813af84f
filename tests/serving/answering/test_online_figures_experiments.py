"""Two hundred experiments whose truth is known: intervals hold it, equal variants have no winner, +10 % is found."""

from __future__ import annotations

import numpy as np
import pytest

from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.serving.answering import online_figures
from lexirec.serving.answering.online_figures import FEWEST, differences
from lexirec.serving.database.online_rows import COLUMNS, OnlineRows

EXPERIMENTS, DAYS = 200, 14
RATE = 0.25
"""Lists with a click; users differ with a standard deviation of .13 (a beta distribution)."""


def experiment(seed: int, users: int, lift: float = 0.0) -> list[np.ndarray]:
    """Lists and clicks of every user and day, (users, days, 2), of the active variant and the candidate."""
    rng = np.random.default_rng(seed)
    found = []
    for share in (1.0, 1.0 + lift):
        taste = rng.beta(10 * RATE, 10 * (1 - RATE), users)[:, None] * share  # users differ, and come back
        lists = rng.binomial(1, 0.5, (users, DAYS))
        found.append(np.stack([lists, rng.binomial(lists, np.minimum(taste, 1.0))], axis=2))
    return found


def rows_until(variants: list[np.ndarray], days: int) -> OnlineRows:
    """What the database would have added up after so many days, the days of a user together."""
    sums, variant = [], []
    for number, each in enumerate(variants):
        lists, clicks = each[:, :days].sum(axis=1).T
        seen = lists > 0
        row = np.zeros((int(seen.sum()), len(COLUMNS) + 1), dtype=np.float32)
        for name, values in (("impressions", lists), ("known", lists), ("clicked", clicks), ("reciprocal", clicks / 2)):
            row[:, COLUMNS.index(name)] = values[seen]
        row[:, -1] = clicks[seen] // 3
        sums.append(row)
        variant.append(np.full(len(row), number, dtype=np.int32))
    every = np.concatenate(sums)
    n = len(every)
    return OnlineRows(
        ("active", "candidate"), np.concatenate(variant), np.zeros(n, np.int32), np.arange(n), every, ("buy",), {}
    )


@pytest.fixture
def replicates(monkeypatch):
    return lambda number: monkeypatch.setattr(online_figures, "BOOTSTRAP", Bootstrap(replicates=number))


@pytest.mark.long
def test_intervals_hold_the_truth_as_often_as_they_say(replicates):
    replicates(500)
    truth = 0.1 * RATE
    held = []
    for seed in range(EXPERIMENTS):
        ctr = differences(rows_until(experiment(seed, 800, lift=0.1), DAYS))[0]
        held.append(ctr.low <= truth <= ctr.high)
    assert 0.92 <= np.mean(held) <= 0.98, np.mean(held)


@pytest.mark.long
def test_who_looks_every_day_finds_few_winners_among_equals(replicates):
    replicates(100)  # verdicts rest on standard errors
    wrong, by_intervals = 0, 0
    for seed in range(EXPERIMENTS):
        variants = experiment(1_000 + seed, 300)
        looks = [differences(rows_until(variants, day)) for day in range(1, DAYS + 1)]
        wrong += any(each.verdict != "open" for look in looks for each in look)
        by_intervals += any(look[0].low > 0 or look[0].high < 0 for look in looks)
    assert wrong <= 0.05 * EXPERIMENTS, wrong
    assert by_intervals > 0.1 * EXPERIMENTS, "the intervals of single looks would do as well"


@pytest.mark.long
def test_ten_percent_more_are_found_with_3000_users_of_each_variant(replicates):
    replicates(100)
    found, detectable = [], []
    for seed in range(EXPERIMENTS):
        ctr = differences(rows_until(experiment(2_000 + seed, 3_000, lift=0.1), DAYS))[0]
        found.append(ctr.verdict == "above")
        detectable.append(ctr.detectable_difference / RATE)
    assert np.mean(found) >= 0.8, np.mean(found)
    assert 0.07 < np.mean(detectable) < 0.1, "the sample says itself that it is large enough"


def test_few_users_show_nothing(replicates):
    replicates(100)
    few = differences(rows_until(experiment(0, FEWEST // 2, lift=1.0), DAYS))[0]
    assert (few.verdict, few.smallest_difference, few.detectable_difference) == ("open", None, None)
    more = differences(rows_until(experiment(0, 4 * FEWEST, lift=1.0), DAYS))[0]
    assert more.verdict == "above"
    assert abs(more.value) > more.smallest_difference > (more.high - more.low) / 2
    assert more.relative == pytest.approx(1.0, abs=0.3)
