"""Figures of studies: rows as bars with intervals, numbers as lines, learning curves, accuracy against cost, growth.

A row keeps its colour, line and mark through all figures of a study (`looks`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lexirec.report.content import number
from lexirec.report.plots import _BLUE, _CYCLE, _FLOOR, _INK, _PLAIN, _STYLE

Role = Literal["reference", "variant", "baseline"]
_LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_WIDTH = 7.6


@dataclass(frozen=True)
class Mark:
    """One row's value.

    Attributes:
        name: the row.
        value: mean over seeds.
        interval: around it.
        seeds: the value with each seed.
        role: what the row is in the study.
    """

    name: str
    value: float
    interval: tuple[float, float]
    seeds: Sequence[float]
    role: Role


@dataclass(frozen=True)
class Curve:
    """A line.

    Attributes:
        name: the row it belongs to.
        x: places along the axis.
        y: values.
        low: lower ends of their intervals, where known.
        high: upper ends.
        chance: what y would be by chance, where known.
        shown: what a legend calls it, if not by its name.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    chance: Sequence[float] = ()
    shown: str = ""


@dataclass(frozen=True)
class Look:
    """How a row is drawn in every figure."""

    colour: str
    line: Any
    mark: str


def looks(roles: Mapping[str, Role]) -> dict[str, Look]:
    """Give every row its colour, line and mark: the reference blue, baselines grey, the others each its own."""
    others, greys, found = 0, 0, {}
    for name, role in roles.items():
        if role == "reference":
            found[name] = Look(_BLUE, "-", "o")
        elif role == "baseline":
            found[name] = Look((_FLOOR, "#C2C2C2", "#5A5A5A")[greys % 3], (0, (4, 3)), _MARKS[-1 - greys % 3])
            greys += 1
        else:
            colours = _CYCLE[1:]
            found[name] = Look(
                colours[others % len(colours)], _LINES[others // len(colours) % 3], _MARKS[1 + others % 5]
            )
            others += 1
    return found


def rows_figure(panels: Mapping[str, Sequence[Mark]], *, level: float) -> Figure:
    """Draw every row as a bar with its interval, a panel a metric; dots are seeds, a dashed line the reference."""
    rows = next(iter(panels.values()))
    names = ["\n".join(textwrap.wrap(mark.name, 30)) for mark in rows]
    heights = [0.30 + 0.14 * name.count("\n") for name in names]
    with mpl.rc_context(dict(_STYLE)):
        figure = Figure(figsize=(_WIDTH, 1.3 + sum(heights)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for axis, (metric, marks) in zip(axes, panels.items(), strict=True):
            _bars(axis, marks, metric)
        axes[0].set_yticks(range(len(rows)), names, fontsize=9)
        for label, mark in zip(axes[0].get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if mark.role == "reference" else "normal")
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        told = f"{level:.0%} interval".replace("%", " %")
        entries = [Line2D([], [], color=_INK, marker="|", markersize=6, linewidth=1, label=told)]
        if any(len(mark.seeds) > 1 for mark in rows):
            entries.append(Line2D([], [], ls="none", marker="o", ms=4, mfc="#FFFFFF", mec=_INK, label="one seed"))
        figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), fontsize=9)
    return figure


def _bars(axis: Any, marks: Sequence[Mark], metric: str) -> None:
    colours = {"reference": _BLUE, "variant": _PLAIN, "baseline": "#C2C2C2"}
    for row, mark in enumerate(marks):
        axis.barh(row, mark.value, height=0.62, color=colours[mark.role])
        axis.plot(mark.interval, (row, row), color=_INK, linewidth=1, marker="|", markersize=6)
        if len(mark.seeds) > 1:
            axis.plot(mark.seeds, [row] * len(mark.seeds), "o", ms=4, mfc="#FFFFFF", mec=_INK, mew=0.8)
    reach = max([*(mark.interval[1] for mark in marks), *(seed for mark in marks for seed in mark.seeds), 1e-4])
    for row, mark in enumerate(marks):
        axis.text(1.29 * reach, row, number(mark.value), ha="right", va="center", fontsize=8.5)
    reference = next((mark.value for mark in marks if mark.role == "reference"), None)
    if reference is not None:
        axis.axvline(reference, color=_BLUE, linestyle=(0, (4, 3)), linewidth=1, zorder=0.5)
    axis.set_xlim(0, 1.31 * reach)
    axis.set_title(metric)
    axis.grid(axis="x")
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.2f}".replace("0.", ".", 1) if value else "0")
    )
    axis.tick_params(axis="y", length=0)


def lines_figure(
    panels: Mapping[str, Sequence[Curve]], *, label: str, lines: Mapping[str, Mapping[str, float]] | None = None
) -> Figure:
    """Draw metrics over a numeric axis, a panel for each metric; `lines` (metric -> name -> value) lie across."""
    with mpl.rc_context(dict(_STYLE)):
        figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels)))
        for axis, (metric, curves) in zip(axes, panels.items(), strict=True):
            for place, curve in enumerate(curves):
                colour = _CYCLE[place % len(_CYCLE)]
                axis.plot(
                    curve.x, curve.y, color=colour, marker=_MARKS[place % 7], ms=5, linewidth=1.6, label=curve.name
                )
                if curve.low:
                    axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)
            for place, (name, value) in enumerate((lines or {}).get(metric, {}).items()):
                style = {"color": (_FLOOR, "#C2C2C2", "#5A5A5A")[place % 3], "linestyle": _LINES[1 + place % 2]}
                axis.axhline(value, linewidth=1.3, label=name, **style)
            _number_axis(axis, label, [x for curve in curves for x in curve.x])
            axis.set_title(metric)
        _shared_legend(figure, axes)
    return figure


def _number_axis(axis: Any, label: str, given: Sequence[float]) -> None:
    """Put a tick at every value that was run, on a logarithmic axis where they grow by factors."""
    values = sorted(set(given))
    positive = [value for value in values if value > 0]
    if len(positive) > 2 and positive[-1] / positive[0] >= 8:
        axis.set_xscale("symlog" if values[0] <= 0 else "log", **({"linthresh": positive[0]} if values[0] <= 0 else {}))
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.minorticks_off()
    axis.set_xlabel(label)
    axis.grid(axis="y")
    axis.yaxis.set_major_locator(MaxNLocator(5))


def _shared_legend(figure: Figure, axes: Any) -> None:
    """Put one legend below all panels, without names that occur twice."""
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    if len(found) > 1:
        columns = max(1, min(len(found), int(_WIDTH * 12 / (max(map(len, found)) + 7))))
        figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns, fontsize=8.5)


def curves_figure(curves: Mapping[str, Sequence[Curve]], look: Mapping[str, Look], *, metric: str) -> Figure:
    """Draw learning curves: each row's seeds as lines of one colour, over epochs."""
    with mpl.rc_context(dict(_STYLE)):
        figure = Figure(figsize=(_WIDTH, 3.6 + 0.16 * ((len(curves) + 1) // 2)), layout="constrained")
        axis = figure.subplots()
        for name, members in curves.items():
            for place, curve in enumerate(members):
                style = look[name]
                label = name if place == 0 else None
                axis.plot(
                    curve.x,
                    curve.y,
                    color=style.colour,
                    linestyle=style.line,
                    marker=style.mark,
                    ms=4,
                    lw=1.4,
                    label=label,
                )
        axis.set_xlabel("epoch")
        axis.set_ylabel(metric)
        axis.set_ylim(bottom=0)
        axis.grid(axis="y")
        _shared_legend(figure, [axis])
    return figure


def cost_figure(
    panels: Mapping[str, Mapping[str, tuple[float, float]]], look: Mapping[str, Look], *, metric: str
) -> Figure:
    """Draw accuracy against cost: a panel for each kind of cost, a mark for each row at (cost, metric)."""
    with mpl.rc_context(dict(_STYLE)):
        rows = max(len(points) for points in panels.values())
        figure = Figure(figsize=(_WIDTH, 3.3 + 0.16 * ((rows + 1) // 2)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for axis, (cost, points) in zip(axes, panels.items(), strict=True):
            for name, (x, y) in points.items():
                style = look[name]
                axis.plot(x, y, style.mark, color=style.colour, ms=7, mec="#FFFFFF", mew=0.6, label=name)
            positive = [x for x, _ in points.values() if x > 0]
            if positive and max(positive) / min(positive) > 8:
                axis.set_xscale("log")
            else:
                axis.set_xlim(left=0)
                axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.set_xlabel(cost)
            axis.grid()
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        axes[0].set_ylabel(metric)
        _shared_legend(figure, axes)
    return figure


def growth_figure(panels: Mapping[str, Curve], *, label: str) -> Figure:
    """Draw how costs grow with one setting: small panels from 0 up."""
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    with mpl.rc_context(dict(_STYLE)):
        figure = Figure(figsize=(_WIDTH, 0.4 + 2.15 * lines), layout="constrained")
        axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
        for axis, (name, curve) in zip(axes, panels.items(), strict=False):
            axis.plot(curve.x, curve.y, color=_BLUE, marker="o", ms=4.5, linewidth=1.5)
            axis.set_ylim(0, 1.12 * max([*curve.y, 1e-12]))
            _number_axis(axis, label, curve.x)
            axis.set_title(name, fontsize=9)
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
            axis.tick_params(labelsize=8)
            axis.xaxis.label.set_size(8.5)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
    return figure


def places_figure(panels: Mapping[str, Sequence[Curve]], look: Mapping[str, Look], *, label: str) -> Figure:
    """Draw shares by place (token, level, number of neighbours), a panel for each measure; thin dashes are chance."""
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    with mpl.rc_context(dict(_STYLE)):
        rows = max(len(curves) for curves in panels.values())
        figure = Figure(figsize=(_WIDTH, 0.6 + 2.5 * lines + 0.17 * ((rows + 1) // 2)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
        for axis, (measure, curves) in zip(axes, panels.items(), strict=False):
            for curve in curves:
                style = look[curve.name]
                drawn = {"color": style.colour, "marker": style.mark, "ms": 4.5, "label": curve.shown or curve.name}
                axis.plot(curve.x, curve.y, linestyle=style.line, linewidth=1.5, **drawn)
                if curve.chance:
                    axis.plot(curve.x, curve.chance, color=style.colour, linestyle=(0, (2, 2)), linewidth=0.9)
            _share_axis(axis, curves)
            axis.set_title(measure, fontsize=9)
            axis.set_xlabel(label, fontsize=8.5)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        _shared_legend(figure, axes[: len(panels)])
    return figure


def _share_axis(axis: Any, curves: Sequence[Curve]) -> None:
    """Show shares from 0 up, to 100 % where they come near it, with a tick at every place."""
    top = max(value for curve in curves for value in (*curve.y, *curve.chance))
    digits = 0 if top >= 0.1 else 1
    axis.set_ylim(0, 1.04 if top > 0.8 else 1.1 * max(top, 1e-9))
    axis.set_xticks(sorted({x for curve in curves for x in curve.x}))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.{digits}f} %"))
    axis.grid(axis="y")
    axis.tick_params(labelsize=8)


def short_number(value: float) -> str:
    """Write a number of any size in a few signs: 1.2 k, 3.4 M, 0.05."""
    for limit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {sign}"
    return f"{value:.3g}"
