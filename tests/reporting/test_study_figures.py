import numpy as np
import pytest
from numpy.testing import assert_allclose

from lexirec.reporting import study_figures
from lexirec.reporting.study_figures import Curve, Mark, looks
from lexirec.reporting.style import BLUE, GREY

ROLES = {"full": "reference", "memory": "baseline", **{f"variant {n}": "variant" for n in range(14)}}


def test_rows_look_apart_in_every_figure():
    found = looks(ROLES)
    assert (found["full"].colour, found["memory"].colour) == (BLUE, GREY)
    assert len({(look.colour, str(look.line), look.mark) for look in found.values()}) == len(found)
    assert len({(look.colour, look.mark) for look in found.values()}) == len(found), "points have no lines"


def test_bars_end_at_their_values_and_the_reference_lies_across():
    marks = [Mark("a", 0.2, (0.1, 0.3), (0.15, 0.25), "reference"), Mark("b " * 40, 0.1, (0.0, 0.2), (0.1,), "variant")]
    figure = study_figures.rows_figure({"ndcg@10": marks, "recall@10": marks}, level=0.95)
    for axis in figure.axes:
        assert [round(bar.get_width(), 6) for bar in axis.patches] == [0.2, 0.1]
        assert any(list(line.get_xdata()) == [0.2, 0.2] for line in axis.lines)
        assert axis.get_xlim()[1] > 0.3
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "\n" in labels[1], "long names are broken"


def test_groups_share_one_scale():
    panels = {
        f"group {n}": [Mark("a", n / 10, (0, 0), (), "variant"), Mark("b", 0.1, (0, 0), (), "baseline")]
        for n in range(4)
    }
    figure = study_figures.groups_figure(panels, metric="recall@10")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 4
    assert len({axis.get_xlim() for axis in shown}) == 1
    assert [round(bar.get_width(), 6) for bar in shown[3].patches] == [0.3, 0.1]


def test_lines_have_a_tick_at_every_value_that_was_run():
    curves = [Curve("model", [1, 5, 20], [0.1, 0.2, 0.3], [0.05, 0.1, 0.2], [0.2, 0.3, 0.4])]
    figure = study_figures.lines_figure({"ndcg@10": curves}, label="history", lines={"ndcg@10": {"memory": 0.15}})
    axis = figure.axes[0]
    assert axis.get_xticks().tolist() == [1, 5, 20]
    assert axis.get_xscale() == "log"
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["model", "memory"]
    zero = study_figures.lines_figure({"ndcg@10": [Curve("model", [0, 8, 16, 64], [1, 2, 3, 4])]}, label="tokens")
    assert zero.axes[0].get_xscale() == "symlog"
    assert not zero.legends, "one line needs no legend"


@pytest.mark.parametrize("values", [(0, 1, 5, 20), (1, 4, 64), (5, 10, 20)], ids=["from zero", "factors", "steps"])
def test_points_stand_as_far_from_both_edges(values):
    figure = study_figures.lines_figure({"ndcg@10": [Curve("model", values, [0.1] * len(values))]}, label="prompts")
    axis = figure.axes[0]
    scale = axis.xaxis.get_transform()
    left, first, last, right = scale.transform(
        np.array([axis.get_xlim()[0], values[0], values[-1], axis.get_xlim()[1]])
    )
    assert left < first < last < right
    assert_allclose(first - left, right - last, rtol=1e-6)


def test_chance_is_drawn_thin_beside_its_row():
    curves = [Curve("full", [1, 2], [0.4, 0.9], chance=[0.1, 0.5])]
    figure = study_figures.places_figure({"purity": curves, "next": curves}, looks(ROLES), label="tokens")
    told, thin = figure.axes[0].lines
    assert told.get_color() == thin.get_color()
    assert told.get_linewidth() > thin.get_linewidth()


def test_every_seed_has_its_learning_curve():
    look = looks(ROLES)
    members = [Curve("full", [1, 2], [0.1, 0.2]), Curve("full", [1, 2], [0.11, 0.19])]
    learned = study_figures.curves_figure({"full": members, "variant 1": members[:1]}, look, metric="ndcg")
    assert len(learned.axes[0].lines) == 3


def test_no_two_baselines_look_alike():
    found = looks(dict.fromkeys(("popularity", "transitions", "memory", "ease", "sasrec", "als"), "baseline"))
    assert len({(look.colour, look.mark) for look in found.values()}) == 6


def test_long_names_of_groups_are_broken():
    marks = [Mark("a", 0.1, (0.1, 0.1), (), "variant")]
    figure = study_figures.groups_figure({"rare (bought ≤ 4×) (1,152)": marks, "head": marks}, metric="recall@5")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["rare (bought ≤ 4×)\n(1,152)", "head"]
