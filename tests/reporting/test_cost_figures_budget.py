from lexirec.reporting.cost_figures import Spending, budget_figure

SEARCHES = [
    Spending("model", [None, 0.2, 0.1, 0.4], [1, 2, 3, 4]),
    Spending("memory", [0.3, 0.25], [0.1, 0.1]),
]


def test_the_best_so_far_never_falls_and_starts_with_the_first_success():
    assert SEARCHES[0].best_so_far == [None, 0.2, 0.2, 0.4]
    assert SEARCHES[1].best_so_far == [0.3, 0.3]


def test_lines_stand_beside_trials_and_minutes():
    figure = budget_figure(SEARCHES, title="title", metric="ndcg@10")
    trials, minutes = figure.axes
    lines = [line for line in trials.lines if line.get_label() in ("model", "memory")]
    assert [list(line.get_xdata()) for line in lines] == [[2, 3, 4], [1, 2]]
    lines = [line for line in minutes.lines if line.get_label() in ("model", "memory")]
    assert [list(line.get_xdata()) for line in lines] == [[3, 6, 10], [0.1, 0.2]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model", "memory"]
