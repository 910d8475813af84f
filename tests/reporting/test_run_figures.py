"""Figures show the numbers they were given; the files are real and repeatable."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexirec.reporting.content import Breakdown, LearningCurve, LevelCensus, SystemResult
from lexirec.reporting.run_figures import breakdown_figure, census_figure, learning_figure, systems_figure
from lexirec.reporting.style import save

SYSTEMS = [
    SystemResult("transitions", {"recall@10": 0.2, "ndcg@10": 0.1}, {"recall@10": 0.18, "ndcg@10": 0.09}, floor=True),
    SystemResult("EASE", {"recall@10": 0.15, "ndcg@10": 0.09}),
    SystemResult("GRAM", {"recall@10": 0.3, "ndcg@10": 0.2}, main=True, margins={"recall@10": 0.02}),
]


def test_bars_are_as_long_as_the_metrics_and_the_best_reference_is_drawn() -> None:
    figure = systems_figure(SYSTEMS)
    for axis, values in zip(figure.axes, ([0.2, 0.15, 0.3], [0.1, 0.09, 0.2]), strict=True):
        bars = sorted((bar for bar in axis.patches), key=lambda bar: bar.get_y())
        assert [bar.get_width() for bar in bars] == pytest.approx(values)
        dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
        assert [line.get_xdata()[0] for line in dashed] == [values[0]]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["transitions", "EASE", "GRAM"]


def test_reference_main_and_other_systems_have_colours_of_their_own() -> None:
    bars = systems_figure(SYSTEMS).axes[0].patches
    assert len({bar.get_facecolor() for bar in bars}) == 3


def test_systems_measured_only_with_seen_items_kept_are_drawn_as_such() -> None:
    figure = systems_figure([SystemResult("a", None, {"recall@10": 0.4})])
    assert figure.axes[0].get_xlabel() == "seen items kept"
    assert figure.axes[0].patches[0].get_width() == pytest.approx(0.4)
    assert "not measured" in [text.get_text() for text in figure.axes[1].texts]


def test_the_kept_checkpoint_is_marked() -> None:
    figure = learning_figure(LearningCurve([(1, 5.0), (2, 4.0)], [(1, 0.1), (2, 0.2)], best_step=2))
    top, bottom = figure.axes
    assert top.lines[0].get_ydata().tolist() == [0.1, 0.2]
    assert bottom.lines[0].get_ydata().tolist() == [5.0, 4.0]
    assert top.texts[0].get_text() == "selected: .2000"
    assert (top.get_ylabel(), bottom.get_xlabel()) == ("validation ndcg@10", "training step")


def test_a_curve_without_validation_is_still_drawn() -> None:
    assert len(learning_figure(LearningCurve([(1, 5.0)], [])).axes) == 2


def test_a_breakdown_has_one_bar_a_system_and_group_and_says_how_many_cases() -> None:
    values = {"GRAM": [0.3, 0.1], "transitions": [0.2, 0.05], "EASE": [0.1, 0.0]}
    axis = breakdown_figure(Breakdown("popularity", "recall@10", ["head", "tail"], [1200, 80], values), SYSTEMS).axes[0]
    assert [bar.get_height() for bar in axis.patches] == pytest.approx([0.3, 0.1, 0.2, 0.05, 0.1, 0.0])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["head\n1,200 cases", "tail\n80 cases"]
    assert len({bar.get_facecolor() for bar in axis.patches}) == 3


def test_the_census_shows_counts_and_shares() -> None:
    left, right = census_figure(
        [LevelCensus(1, 4, 4, 10, 2.0, 0.0), LevelCensus(2, 16, 9, 1, 4.0, 1.0)],
    ).axes
    assert {line.get_label(): line.get_ydata()[-1] for line in left.lines} == {
        "distinct prefixes": 16,
        "distinct tokens": 9,
        "items in the largest cell": 1,
    }
    assert right.lines[0].get_ydata().tolist() == [1.0, 1.0]


def test_files_are_images_and_equal_for_equal_numbers(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        assert save(systems_figure(SYSTEMS), tmp_path / folder, "systems") == "systems.png"
    assert (tmp_path / "first" / "systems.png").read_bytes().startswith(b"\x89PNG")
    for name in ("systems.png", "systems.svg"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
