"""How fast the rows of a study learn: their best validation, and the steps to a share of the reference's best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lexirec.reporting.content import number
from lexirec.reporting.page import Cell, Grid
from lexirec.training.arguments import METRIC
from lexirec.workflows.studies.findings import Finding

SHARE = 0.9
"""Share of the reference's best validation by which speeds are compared."""
Points = list[tuple[float, float]]


def validations(curve: Sequence[dict[str, float]]) -> Points:
    """Return the validations (step, metric) of a learning curve."""
    return [(row["step"], row[METRIC]) for row in curve if METRIC in row]


def steps_to(points: Points, goal: float) -> float | None:
    """Return the steps after which validations reach a goal, interpolated between two of them; None if they do not.

    Before the first validation the metric counts as rising from 0 at step 0.
    """
    before = (0.0, 0.0)
    for step, value in points:
        if value >= goal:
            rise = value - before[1]
            return step if rise <= 0 else before[0] + (step - before[0]) * (goal - before[1]) / rise
        before = (step, value)
    return None


def learning_table(here: Sequence[Finding]) -> Grid | None:
    """Table of best validations, and of steps to `SHARE` of the reference's best; None without learning curves.

    Args:
        here: findings of one data set; a reference without curves is no goal, and its column stays empty.
    """
    all_curves = [(each, [validations(member.curve) for member in each.members]) for each in here]
    curves = [(each, kept) for each, some in all_curves if (kept := [points for points in some if points])]
    if not curves:
        return None
    reference = next((some for each, some in curves if each.reference), None)
    goal = None if reference is None else SHARE * _mean([max(value for _, value in points) for points in reference])
    rows = [_row(each, some, goal) for each, some in curves]
    share = f"{SHARE:.0%}".replace("%", " %")
    header = ["", f"best {METRIC.replace('_', ' ')}", "step of the best", f"steps to {share} of the reference's best"]
    return Grid(header, rows, "Means over seeds; below, the values of the seeds.")


def _row(finding: Finding, curves: Sequence[Points], goal: float | None) -> list[Cell | str]:
    best = [max(points, key=lambda point: point[1]) for points in curves]
    cells = [
        _cell([value for _, value in best], number),
        _cell([step for step, _ in best], _whole),
    ]
    reached = [] if goal is None else [steps_to(points, goal) for points in curves]
    if not reached:
        last = Cell("–")
    elif any(steps is None for steps in reached):
        never = sum(steps is None for steps in reached)
        last = Cell("not reached" if never == len(reached) else f"not reached by {never} of {len(reached)} seeds")
    else:
        last = _cell([steps for steps in reached if steps is not None], _whole)
    return [Cell(finding.label, "reference" if finding.reference else ""), *cells, last]


def _cell(values: Sequence[float], shown: Callable[[float], str]) -> Cell:
    below = " · ".join(shown(value) for value in values) if len(values) > 1 else ""
    return Cell(shown(_mean(values)), below)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
