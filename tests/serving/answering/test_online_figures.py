"""Figures of variants with intervals, and what may be said about their difference."""

from __future__ import annotations

import numpy as np
import pytest

from lexirec.serving.answering.online_figures import differences, variant_figures
from lexirec.serving.database.online_rows import COLUMNS, OnlineRows

TYPES = ("purchase",)


def rows_of(groups, *, seed=0, day=20_000):
    """Rows of users of variants: name -> (users, lists of each, rate of clicks, rate of purchases)."""
    rng = np.random.default_rng(seed)
    variant, sums = [], []
    for number, (users, lists, clicks, purchases) in enumerate(groups.values()):
        for _ in range(users):
            clicked = rng.binomial(lists, clicks)
            row = {"impressions": lists, "known": lists, "hits": clicked, "clicked": clicked, "reciprocal": clicked / 2}
            sums.append([*(row.get(name, 0) for name in COLUMNS), rng.binomial(lists, purchases)])
            variant.append(number)
    users = len(variant)
    shown = {(name, which): 30 for name in groups for which in (None, day)}
    return OnlineRows(
        tuple(groups),
        np.array(variant, dtype=np.int32),
        np.full(users, day, dtype=np.int32),
        np.arange(users),
        np.array(sums, dtype=np.float32).reshape(users, len(COLUMNS) + 1),
        TYPES,
        shown,
    )


def test_figures_are_means_over_lists_with_intervals_of_users():
    rows = rows_of({"active": (400, 5, 0.2, 0.0)})
    (figures,) = variant_figures(rows, 120)
    clicked = rows.sums[:, COLUMNS.index("clicked")]
    assert figures.ctr.value == pytest.approx(clicked.sum() / 2000, abs=1e-7)
    error = float((clicked / 5).std(ddof=1)) / 20
    assert figures.ctr.low == pytest.approx(figures.ctr.value - 1.96 * error, abs=error / 5)
    assert figures.ctr.high == pytest.approx(figures.ctr.value + 1.96 * error, abs=error / 5)
    assert figures.mrr.value == pytest.approx(figures.ctr.value / 2, abs=1e-6)
    assert (figures.impressions, figures.users, figures.coverage) == (2000, 400, 0.25)
    assert figures.conversions == {}
    assert figures.fallback_share.model_dump() == {"value": 0, "low": 0, "high": 0}
    (day,) = figures.days
    assert (day.day.isoformat(), day.ctr.value) == ("2024-10-04", figures.ctr.value)


def test_a_user_of_many_lists_counts_as_one_user():
    alike = rows_of({"active": (20, 50, 0.2, 0.1)})
    spread = alike._replace(sums=alike.sums.copy())
    clicked = COLUMNS.index("clicked")
    spread.sums[:, clicked] = np.where(np.arange(20) < 10, 50, 0)  # half of the users click always, half never
    (figures,) = variant_figures(spread, 10)
    assert figures.ctr.value == 0.5
    assert figures.ctr.high - figures.ctr.low > 0.3


def test_one_user_has_no_interval():
    (figures,) = variant_figures(rows_of({"active": (1, 10, 0.5, 0.5)}), 10)
    assert figures.ctr.value > 0
    assert (figures.ctr.low, figures.ctr.high) == (None, None)
    assert differences(rows_of({"active": (100, 2, 0.5, 0.5), "candidate": (1, 2, 0.5, 0.5)})) is None
    assert differences(rows_of({"active": (100, 2, 0.5, 0.5)})) is None


def test_a_clear_difference_is_told():
    found = {
        each.metric: each
        for each in differences(rows_of({"active": (2000, 4, 0.1, 0.05), "candidate": (2000, 4, 0.2, 0.05)}))
    }
    assert set(found) == {"ctr", "mrr", "conversion:purchase"}
    ctr = found["ctr"]
    assert ctr.verdict == "above"
    assert 0.05 < ctr.low < ctr.value < ctr.high < 0.15
    assert ctr.smallest_difference < ctr.value
    assert found["conversion:purchase"].verdict == "open"
    turned = differences(rows_of({"active": (2000, 4, 0.2, 0.05), "candidate": (2000, 4, 0.1, 0.05)}))
    assert {each.metric: each.verdict for each in turned}["ctr"] == "below"


def test_no_winner_below_the_smallest_difference_even_where_the_interval_leaves_out_zero():
    kinds = set()
    for seed in range(40):
        rows = rows_of({"active": (600, 2, 0.10, 0.05), "candidate": (600, 2, 0.14, 0.05)}, seed=seed)
        ctr = differences(rows)[0]
        outside = ctr.low > 0
        kinds.add((outside, ctr.verdict))
        assert (ctr.verdict == "above") == (ctr.value >= ctr.smallest_difference)
    assert (True, "open") in kinds


def test_equal_variants_rarely_have_a_winner():
    verdicts = [
        each.verdict
        for seed in range(60)
        for each in differences(rows_of({"active": (300, 3, 0.2, 0.1), "candidate": (100, 3, 0.2, 0.1)}, seed=seed))
    ]
    assert verdicts.count("open") >= 0.97 * len(verdicts)


def test_the_smallest_difference_is_found_in_four_of_five_samples():
    one = differences(rows_of({"active": (500, 2, 0.2, 0.1), "candidate": (500, 2, 0.2, 0.1)}))[0].smallest_difference
    found = [
        differences(rows_of({"active": (500, 2, 0.2, 0.1), "candidate": (500, 2, 0.2 + one, 0.1)}, seed=seed))[0]
        for seed in range(60)
    ]
    assert np.mean([each.low > 0 for each in found]) > 0.8
