from lexirec.reporting.cost_figures import WeightCurve, weights_figure

CURVES = [
    WeightCurve("memory", "floor 0.001", [(0, 0.1), (1, 0.3), (2, 0.2)], [1, 2, 1]),
    WeightCurve("memory", "floor 0.01", [(0, 0.1), (1, 0.2), (2, 0.1)]),
    WeightCurve("ease", "floor 0.001", [(0, 0.3), (1, 0.2), (2, 0.1)], [0]),
]


def test_every_part_has_a_panel_with_a_line_for_each_option():
    figure = weights_figure(CURVES, title="title", metric="ndcg@10")
    assert [axis.get_xlabel() for axis in figure.axes] == ["weight of memory", "weight of ease"]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["floor 0.001", "floor 0.01"]


def test_chosen_weights_are_marked_on_the_curve_that_won():
    memory, ease = weights_figure(CURVES, title="title", metric="ndcg@10").axes
    marked = [line for line in memory.lines if line.get_marker() == "D"]
    assert [list(line.get_xydata().ravel()) for line in marked] == [[1, 0.3, 2, 0.2, 1, 0.3]]
    assert [list(line.get_xdata()) for line in ease.lines if line.get_marker() == "D"] == [[0]]
