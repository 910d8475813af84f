from types import SimpleNamespace

import pytest

from lexirec.training.arguments import METRIC
from lexirec.workflows.studies.learning import learning_table, steps_to, validations


@pytest.mark.parametrize(
    ("goal", "steps"),
    [(0.05, 50.0), (0.1, 100.0), (0.15, 150.0), (0.2, 200.0), (0.3, 350.0), (0.5, None)],
)
def test_steps_lie_between_two_validations(goal, steps):
    found = steps_to([(100, 0.1), (200, 0.2), (300, 0.15), (400, 0.45)], goal)
    assert found == steps if steps is None or goal != 0.3 else found == pytest.approx(350.0)


def curve(*values: float) -> list[dict[str, float]]:
    """Return a curve with a validation every ten steps, and losses between them."""
    rows = [{"step": 10.0 * number, "epoch": 1.0, METRIC: value} for number, value in enumerate(values, start=1)]
    return [row for each in rows for row in ({"step": each["step"] - 5, "epoch": 1.0, "loss": 2.0}, each)]


def row(label: str, *curves, reference: bool = False):
    return SimpleNamespace(label=label, reference=reference, members=[SimpleNamespace(curve=each) for each in curves])


def test_losses_are_no_validations():
    assert validations(curve(0.1, 0.2)) == [(10.0, 0.1), (20.0, 0.2)]


def test_speed_is_measured_by_the_references_best():
    grid = learning_table(
        [
            row("plain", curve(0.1, 0.2, 0.2), curve(0.1, 0.2, 0.1), reference=True),
            row("quick", curve(0.19, 0.1), curve(0.36, 0.1)),
            row("slow", curve(0.1, 0.1), curve(0.1, 0.3)),
            row("never", curve(0.1)),
            row("no curve", []),
        ]
    )
    assert grid is not None
    texts = [[cell if isinstance(cell, str) else cell.text for cell in line] for line in grid.rows]
    assert [line[0] for line in texts] == ["plain", "quick", "slow", "never"]
    assert [line[3] for line in texts] == ["18", "7", "not reached by 1 of 2 seeds", "not reached"]
    assert [line[2] for line in texts] == ["20", "10", "15", "10"]
    assert texts[1][1] == ".2750"


def test_without_curves_there_is_no_table():
    assert learning_table([row("memory", [], reference=True)]) is None


def test_a_reference_without_curves_is_no_goal():
    grid = learning_table([row("memory", [], reference=True), row("model", curve(0.1))])
    assert grid is not None
    assert grid.rows[0][3].text == "–"
