import pytest

from lexirec.reporting.cost_figures import cost_figure, growth_figure, short_number
from lexirec.reporting.study_figures import Curve, looks


def test_costs_that_differ_by_factors_are_drawn_on_logarithmic_axes():
    points = {"full": (10.0, 0.2), "memory": (0.1, 0.1)}
    look = looks({"full": "reference", "memory": "baseline"})
    drawn = cost_figure({"seconds": points, "weights": {"full": (1000.0, 0.2)}}, look, metric="ndcg@10")
    assert [axis.get_xscale() for axis in drawn.axes] == ["log", "linear"]
    for axis, reach in zip(drawn.axes, (10.0, 1000.0)):
        assert axis.get_xlim()[1] > reach, "no mark lies on the edge"


def test_growth_is_drawn_from_zero():
    drawn = growth_figure({f"panel {n}": Curve("", [1, 2, 4], [1, 2, 4]) for n in range(4)}, label="width")
    assert sum(axis.get_visible() for axis in drawn.axes) == 4
    assert all(axis.get_ylim()[0] == 0 for axis in drawn.axes)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.0123, "0.0123"), (1234, "1.23 k"), (5.6e9, "5.6 G")])
def test_numbers_are_short(value, text):
    assert short_number(value) == text
