"""Figures of what rows of a study cost: accuracy against cost, and how cost grows."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lexirec.reporting.study_figures import WIDTH, Curve, Look, number_axis, shared_legend
from lexirec.reporting.style import BLUE, STYLE


def cost_figure(
    panels: Mapping[str, Mapping[str, tuple[float, float]]], look: Mapping[str, Look], *, metric: str
) -> Figure:
    """Draw accuracy against cost: a panel for each kind of cost, a mark for each row at (cost, metric)."""
    with mpl.rc_context(dict(STYLE)):
        rows = max(len(points) for points in panels.values())
        figure = Figure(figsize=(WIDTH, 3.3 + 0.16 * ((rows + 1) // 2)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for axis, (cost, points) in zip(axes, panels.items(), strict=True):
            for name, (x, y) in points.items():
                style = look[name]
                axis.plot(x, y, style.mark, color=style.colour, ms=7, mec="#FFFFFF", mew=0.6, label=name)
            positive = [x for x, _ in points.values() if x > 0]
            axis.margins(x=0.12, y=0.12)
            if positive and max(positive) / min(positive) > 8:
                axis.set_xscale("log")
                axis.minorticks_off()
            else:
                axis.set_xlim(0, 1.15 * max([*positive, 1e-9]))
                axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.set_xlabel(cost)
            axis.grid()
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        axes[0].set_ylabel(metric)
        shared_legend(figure, axes)
    return figure


def growth_figure(panels: Mapping[str, Curve], *, label: str) -> Figure:
    """Draw how costs grow with one setting: small panels from 0 up."""
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(WIDTH, 0.4 + 2.15 * lines), layout="constrained")
        axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
        for axis, (name, curve) in zip(axes, panels.items(), strict=False):
            axis.plot(curve.x, curve.y, color=BLUE, marker="o", ms=4.5, linewidth=1.5)
            axis.set_ylim(0, 1.12 * max([*curve.y, 1e-12]))
            number_axis(axis, label, curve.x)
            axis.set_title(name, fontsize=9)
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
            axis.tick_params(labelsize=8)
            axis.xaxis.label.set_size(8.5)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
    return figure


def short_number(value: float) -> str:
    """Write a number of any size in a few signs: 1.2 k, 3.4 M, 0.05."""
    for limit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {sign}"
    return f"{value:.3g}"
