"""Figures of cost: accuracy against cost, growth of cost, search budgets and the weights of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter

from lexirec.reporting.study_figures import WIDTH, Curve, Look, number_axis, shared_legend
from lexirec.reporting.style import BLUE, CYCLE, INK, STYLE


def cost_figure(
    panels: Mapping[str, Mapping[str, tuple[float, float]]], look: Mapping[str, Look], *, metric: str
) -> Figure:
    """Draw accuracy against cost: a panel per kind of cost, a marker per row at (cost, metric)."""
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
    """Draw costs against one setting, a small panel per kind of cost, axes from 0."""
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
    """Format a number of any size briefly: 1.2 k, 3.4 M, 0.05."""
    for limit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {sign}"
    return f"{value:.3g}"


# -------------------------------------------------------------------------------------------------- search budgets


@dataclass(frozen=True)
class Spending:
    """Trials of one system's hyperparameter search.

    Attributes:
        name: the system.
        values: metric of each trial, in order; None where it failed.
        minutes: duration of each trial.
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
    """Draw the best value so far by trials and by minutes, a line per system; dots are single trials."""
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(10.4, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for search, colour in zip(searches, cycle(CYCLE)):
            _line(left, search, range(1, len(search.values) + 1), colour)
            _line(right, search, list(accumulate(search.minutes)), colour)
        left.set_xlabel("trials")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set_xlabel("minutes")
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


# ------------------------------------------------------------------------------------------- weights of ensembles


@dataclass(frozen=True)
class WeightCurve:
    """Validation metric of an ensemble by the weight of one part.

    Attributes:
        part: the part.
        option: value of the other parameter, such as "floor 0.001" (the smoothing floor of a product).
        points: (weight, metric), by weight.
        chosen: the chosen weights, one for each bin of cases; empty where another option was chosen.
    """

    part: str
    option: str
    points: Sequence[tuple[float, float]]
    chosen: Sequence[float] = ()


def weights_figure(curves: Sequence[WeightCurve], *, title: str, metric: str) -> Figure:
    """Draw a panel per part: the metric by weight, a line per option, chosen weights marked."""
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
