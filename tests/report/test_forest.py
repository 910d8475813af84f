import numpy as np
import pytest

from lexirec.report.forest import Effect, forest_figure, p_text, signed
from lexirec.report.style import save

EFFECTS = [
    Effect("one", 0.01, (0.004, 0.016), "above", "note of one"),
    Effect("two", -0.002, (-0.005, 0.001), "open"),
]


@pytest.mark.parametrize(
    ("value", "expected"), [(0.00421, "+.0042"), (-0.031, "−.0310"), (0.0, "0"), (-0.00001, "0"), (1.5, "+1.5000")]
)
def test_differences_carry_their_sign(value, expected):
    assert signed(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.936, ".936"), (0.0009, "< .001"), (0.001, ".001"), (1.0, "1.000")])
def test_small_p_values_are_bounds(value, expected):
    assert p_text(value) == expected


def test_every_effect_has_a_row_with_its_interval_and_note():
    figure = forest_figure(EFFECTS, title="title", label="label", legend={"above": "up", "below": "down", "open": "?"})
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["one", "two"]
    intervals = [
        line.get_xdata() for line in axis.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] in (0, 1)
    ]
    np.testing.assert_allclose([each for each in intervals if list(each) != [0, 0]], [(0.004, 0.016), (-0.005, 0.001)])
    assert [text.get_text() for text in axis.texts] == ["note of one", ""]
    assert axis.get_ylim()[0] > axis.get_ylim()[1], "the first stands at the top"


def test_only_sides_that_occur_are_in_the_legend():
    figure = forest_figure(EFFECTS, title="title", label="label", legend={"above": "up", "below": "down", "open": "?"})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["up", "?"]


def test_dollars_in_names_are_no_formulas(tmp_path):
    effects = [Effect("from $5_{ to $10", 0.01, (0.004, 0.016), "above", "$note$")]
    figure = forest_figure(effects, title="$5 to $10", label="label", legend={"above": "up"})
    assert (tmp_path / save(figure, tmp_path, "forest")).is_file()
    assert "from $5_{ to $10" in (tmp_path / "forest.svg").read_text(encoding="utf-8")
