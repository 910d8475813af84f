import numpy as np
import pytest
from numpy.testing import assert_allclose

from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.significance import estimate_ranks
from lexirec.evaluation.slice_metrics import measure_slices
from lexirec.evaluation.slices import Slicing

QUICK = Bootstrap(replicates=200)
USERS = np.repeat(np.arange(30), 2)
RANKS = np.arange(60) % 4
SLICING = Slicing("half", ("first", "empty", "second", "one"), np.array([0] * 38 + [2] * 20 + [3] * 2), "halves")


def test_slices_are_the_metrics_of_their_cases_alone():
    found = measure_slices(SLICING, {"a": RANKS, "b": np.stack([RANKS, RANKS * 0])}, USERS, k=2, bootstrap=QUICK)
    assert found.names == ("first", "second", "one")
    assert (found.cases, found.users) == ((38, 20, 2), (19, 10, 1))
    for place, rows in enumerate((slice(0, 38), slice(38, 58))):
        alone = estimate_ranks(RANKS[rows], USERS[rows], metric="ndcg", k=2, bootstrap=QUICK)
        measured = found.values["a"]["ndcg"][place]
        assert (measured.value, measured.interval) == (alone.value, alone.interval)
        assert_allclose(found.values["b"]["ndcg"][place].value, alone.value / 2)


def test_a_single_users_slice_has_a_value_and_no_interval():
    measured = measure_slices(SLICING, {"a": RANKS}, USERS, k=3, bootstrap=QUICK).values["a"]
    assert measured["recall"][2].interval is None
    assert measured["recall"][2].value == pytest.approx(np.mean(RANKS[58:] > 0))


def test_rows_are_flat_and_plain():
    found = measure_slices(SLICING, {"a": RANKS, "b": RANKS}, USERS, k=2, bootstrap=QUICK)
    rows = found.rows()
    assert len(rows) == 6
    assert rows[0]["slice"] == "first"
    assert set(rows[0]) == {
        "slice",
        "cases",
        "users",
        "system",
        "recall@2",
        "recall@2_interval",
        "ndcg@2",
        "ndcg@2_interval",
    }
    assert rows[-1]["ndcg@2_interval"] is None
