import numpy as np
import pytest

from lexirec.reporting.forest import Effect, Standing, forest_figure, p_text, signed, standings_figure
from lexirec.reporting.style import save

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


def standings(*values: float) -> list[Standing]:
    own = Standing("base", 0.05, (0.04, 0.06), "open")
    others = [Standing(f"s{at}", each, (each - 0.01, each + 0.01), "above") for at, each in enumerate(values)]
    return [own, *others, Standing("many", 0.03, (0.02, 0.04), "below", (0.029, 0.03, 0.031))]


def test_systems_stand_side_by_side_with_a_line_where_the_baseline_does():
    panels = {"left": standings(0.07), "right": standings(0.08)}
    legend = {"above": "up", "below": "down", "open": "?"}
    figure = standings_figure(panels, baseline="base", title="title", label="label", legend=legend)
    for axis, (heading, expected) in zip(figure.axes, panels.items(), strict=True):
        assert axis.get_title(loc="left") == heading
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["base", "s0", "many"]
        assert [text.get_text() for text in axis.texts] == [".0500", f"{expected[1].value:.4f}"[1:], ".0300"]
        drawn = {tuple(np.round(line.get_xdata(), 6).tolist()) for line in axis.lines if len(line.get_xdata()) == 2}
        assert drawn == {tuple(np.round(each.interval, 6).tolist()) for each in expected} | {(0.05, 0.05)}
        strokes = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "|"]
        assert strokes == [0.029, 0.03, 0.031], "a stroke per seed where there are several"
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim(), "panels share their axis"
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["up", "down"], "the baseline is compared with nothing"


def test_only_sides_that_occur_are_in_the_legend():
    figure = forest_figure(EFFECTS, title="title", label="label", legend={"above": "up", "below": "down", "open": "?"})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["up", "?"]


def test_dollars_in_names_are_no_formulas(tmp_path):
    effects = [Effect("from $5_{ to $10", 0.01, (0.004, 0.016), "above", "$note$")]
    figure = forest_figure(effects, title="$5 to $10", label="label", legend={"above": "up"})
    assert (tmp_path / save(figure, tmp_path, "forest")).is_file()
    assert "from $5_{ to $10" in (tmp_path / "forest.svg").read_text(encoding="utf-8")
