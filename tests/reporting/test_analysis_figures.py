import pytest

from lexirec.evaluation.beyond_accuracy import MEASURES
from lexirec.reporting.analysis_figures import beyond_figure, calibration_figure, draw, slices_figure
from tests.reporting.test_tables import calibrations, sliced


def test_slices_have_a_mark_and_an_interval_for_every_system_and_group():
    figure = slices_figure(sliced())
    recall, ndcg = figure.axes
    assert (recall.get_ylabel(), ndcg.get_ylabel()) == ("recall@5", "NDCG@5")
    assert [label.get_text() for label in ndcg.get_xticklabels()] == ["many\n9 cases", "one\n1 case"]
    for axis in figure.axes:
        assert len(axis.containers) == 2
        assert axis.get_ylim()[0] < 0 < axis.get_ylim()[1]
    low, high = sliced().values["good"]["recall"][0].interval
    drawn = recall.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert drawn.tolist() == pytest.approx([low, high])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["good", "bad"]


def test_a_panel_for_every_measure_that_somebody_has():
    values = dict.fromkeys(MEASURES, 0.5) | {"lift": -0.2, "miscalibration": None}
    figure = beyond_figure({"a": values, "b": values | {"gini": 0.9}}, 10)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == len(MEASURES) - 1
    gini = next(axis for axis in shown if axis.get_title(loc="left") == "Gini ↓")
    assert [bar.get_width() for bar in gini.patches] == [0.5, 0.9]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]


def test_reliability_is_drawn_beside_the_diagonal_and_recall_beside_what_was_expected():
    found = calibrations()
    first, listed, lengths = calibration_figure(found).axes
    assert (first.get_xscale(), listed.get_xscale()) == ("linear", "log")
    found_line, expected = lengths.get_lines()
    assert expected.get_ydata()[-1] == pytest.approx(0.9)
    assert found_line.get_ydata().tolist() == pytest.approx(list(found["model"].recall))
    assert first.containers[0].lines[0].get_ydata().tolist() == [each.observed for each in found["model"].top.bins]


def test_figures_are_written_twice(tmp_path):
    paths = draw(tmp_path / "figures", [sliced()], ({}, 10), {})
    assert [path.name for path in paths] == ["by-kind.png"]
    assert all(path.is_file() and path.with_suffix(".svg").is_file() for path in paths)
