"""The best value so far beside what was spent on it: one line for each system that was tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from lexirec.reporting.style import CYCLE, STYLE


@dataclass(frozen=True)
class Spending:
    """How a system's search went.

    Attributes:
        name: the system.
        values: of its trials, in order; None where one failed.
        minutes: of each trial.
    """

    name: str
    values: Sequence[float | None]
    minutes: Sequence[float]

    @property
    def best_so_far(self) -> list[float | None]:
        """The best value after each trial; None before the first that succeeded."""
        best = accumulate((-1.0 if value is None else value for value in self.values), max)
        return [None if value < 0 else value for value in best]


def budget_figure(searches: Sequence[Spending], *, title: str, metric: str) -> Figure:
    """Draw the best value so far by trials and by minutes; single trials are dots."""
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(10.4, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for search, colour in zip(searches, cycle(CYCLE)):
            _line(left, search, range(1, len(search.values) + 1), colour)
            _line(right, search, list(accumulate(search.minutes)), colour)
        left.set_xlabel("trials")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set_xlabel("minutes of work")
        left.set_ylabel(f"{metric}, validation")
        left.yaxis.set_major_formatter(StrMethodFormatter("{x:.3f}"))
        for axis in (left, right):
            axis.grid(axis="y")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _line(axis: Any, search: Spending, places: Sequence[float], colour: str) -> None:
    best = search.best_so_far
    there = [number for number, value in enumerate(best) if value is not None]
    axis.step([places[n] for n in there], [best[n] for n in there], where="post", color=colour, label=search.name)
    tried = [number for number, value in enumerate(search.values) if value is not None]
    axis.plot([places[n] for n in tried], [search.values[n] for n in tried], ".", color=colour, alpha=0.45)
