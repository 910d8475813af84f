"""The curve on which a fusion's weights were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from lexirec.reporting.style import CYCLE, INK, STYLE


@dataclass(frozen=True)
class WeightCurve:
    """What one part's weight is worth.

    Attributes:
        part: whose weight it is.
        option: what else was tried, such as "floor 0.001".
        points: (weight, metric), by weight.
        chosen: the weights that were taken, one for each bin of cases; empty where another option won.
    """

    part: str
    option: str
    points: Sequence[tuple[float, float]]
    chosen: Sequence[float] = ()


def weights_figure(curves: Sequence[WeightCurve], *, title: str, metric: str) -> Figure:
    """Draw a panel for every part: the metric along the weight, a line for every option, the chosen weights marked."""
    parts = list(dict.fromkeys(curve.part for curve in curves))
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(1.2 + 5.2 * len(parts), 3.9), layout="constrained")
        panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for axis, part in zip(panels, parts, strict=True):
            _panel(axis, [curve for curve in curves if curve.part == part])
            axis.set_xlabel(f"weight of {part}")
        panels[0].set_ylabel(f"{metric}, validation")
        panels[0].legend(fontsize=8)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def _panel(axis: Any, curves: Sequence[WeightCurve]) -> None:
    for curve, colour in zip(curves, cycle(CYCLE)):
        axis.plot(*zip(*curve.points, strict=True), "o-", color=colour, markersize=3.5, label=curve.option)
        for weight in dict.fromkeys(curve.chosen):
            axis.axvline(weight, color=INK, linewidth=1, linestyle=":", zorder=1.9)
        if curve.chosen:
            value = dict(curve.points)
            axis.plot(
                curve.chosen,
                [value[weight] for weight in curve.chosen],
                "D",
                color=colour,
                markeredgecolor=INK,
                markersize=7,
            )
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:.4f}"))
    axis.grid(axis="y")
