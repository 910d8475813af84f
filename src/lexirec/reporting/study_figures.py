"""Figures of studies: bars with intervals, groups of cases, metrics over a numeric axis, learning curves, shares.

A row keeps its colour, line style and marker in all figures of a study (`looks`).
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

from lexirec.reporting.content import number
from lexirec.reporting.style import BLUE, CYCLE, GREYS, INK, PALE_GREY, PLAIN, STYLE, WHITE

Role = Literal["reference", "variant", "baseline"]
_LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_BARS: Mapping[Role, str] = {"reference": BLUE, "variant": PLAIN, "baseline": PALE_GREY}
WIDTH = 7.6


@dataclass(frozen=True)
class Mark:
    """One row's metric.

    Attributes:
        name: the row.
        value: mean over seeds.
        interval: confidence interval of `value`.
        seeds: value of each seed.
        role: role of the row in the study.
    """

    name: str
    value: float
    interval: tuple[float, float]
    seeds: Sequence[float]
    role: Role


@dataclass(frozen=True)
class Curve:
    """One line of a figure.

    Attributes:
        name: the row it belongs to.
        x: positions on the axis.
        y: values.
        low: lower ends of the intervals, where known.
        high: upper ends.
        chance: expected y by chance, where known.
        shown: label in the legend; by default the name.
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
    """Colour, line style and marker of a row in every figure."""

    colour: str
    line: Any
    mark: str


def looks(roles: Mapping[str, Role]) -> dict[str, Look]:
    """Assign colour, line style and marker to every row: reference blue, baselines grey, each variant its own."""
    others, greys, by_row = 0, 0, {}
    for name, role in roles.items():
        if role == "reference":
            by_row[name] = Look(BLUE, "-", "o")
        elif role == "baseline":
            by_row[name] = Look(GREYS[greys % 3], (0, (4, 3)), _MARKS[-1 - greys % 5])
            greys += 1
        else:
            colours = CYCLE[1:]
            turn = others // len(colours)
            by_row[name] = Look(colours[others % len(colours)], _LINES[turn % 3], _MARKS[1 + (others + turn) % 5])
            others += 1
    return by_row


def rows_figure(panels: Mapping[str, Sequence[Mark]], *, level: float) -> Figure:
    """Draw every row as a bar with its interval, a panel per metric; dots are seeds, a dashed line the reference."""
    rows = next(iter(panels.values()))
    names = ["\n".join(textwrap.wrap(mark.name, 30)) for mark in rows]
    heights = [0.30 + 0.14 * name.count("\n") for name in names]
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(WIDTH, 1.3 + sum(heights)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for axis, (metric, marks) in zip(axes, panels.items(), strict=True):
            _bars(axis, marks, metric)
        axes[0].set_yticks(range(len(rows)), names, fontsize=9)
        for label, mark in zip(axes[0].get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if mark.role == "reference" else "normal")
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        interval = f"{level:.0%} interval".replace("%", " %")
        entries = [Line2D([], [], color=INK, marker="|", markersize=6, linewidth=1, label=interval)]
        if any(len(mark.seeds) > 1 for mark in rows):
            entries.append(Line2D([], [], ls="none", marker="o", ms=4, mfc=WHITE, mec=INK, label="one seed"))
        figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), fontsize=9)
    return figure


def groups_figure(panels: Mapping[str, Sequence[Mark]], *, metric: str) -> Figure:
    """Draw every row as a bar by groups of cases, a panel per group, all on one scale."""
    columns = min(3, len(panels))
    lines, rows = -(-len(panels) // columns), next(iter(panels.values()))
    names = ["\n".join(textwrap.wrap(mark.name, 30)) for mark in rows]
    height = sum(0.27 + 0.13 * name.count("\n") for name in names)
    top = max([*(mark.value for marks in panels.values() for mark in marks), 1e-4])
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(WIDTH, 0.3 + lines * (0.75 + height)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(lines, columns, sharex=True, sharey=True)).ravel()
        for axis, (group, marks) in zip(axes, panels.items(), strict=False):
            for row, mark in enumerate(marks):
                axis.barh(row, mark.value, height=0.62, color=_BARS[mark.role])
                axis.text(mark.value + 0.02 * top, row, number(mark.value), va="center", fontsize=8)
            axis.set_title("\n".join(textwrap.wrap(group, 22)), fontsize=9)
            axis.set_xlim(0, 1.22 * top)
            axis.set_ylim(len(rows) - 0.4, -0.6)
            axis.set_yticks(range(len(rows)), names, fontsize=8.5)
            axis.tick_params(axis="y", length=0)
            axis.tick_params(axis="x", labelsize=8)
            axis.xaxis.set_major_locator(MaxNLocator(3))
            axis.grid(axis="x")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        figure.supxlabel(metric, fontsize=9)
    return figure


def _bars(axis: Any, marks: Sequence[Mark], metric: str) -> None:
    for row, mark in enumerate(marks):
        axis.barh(row, mark.value, height=0.62, color=_BARS[mark.role])
        axis.plot(mark.interval, (row, row), color=INK, linewidth=1, marker="|", markersize=6)
        if len(mark.seeds) > 1:
            axis.plot(mark.seeds, [row] * len(mark.seeds), "o", ms=4, mfc=WHITE, mec=INK, mew=0.8)
    reach = max([*(mark.interval[1] for mark in marks), *(seed for mark in marks for seed in mark.seeds), 1e-4])
    for row, mark in enumerate(marks):
        axis.text(1.29 * reach, row, number(mark.value), ha="right", va="center", fontsize=8.5)
    reference = next((mark.value for mark in marks if mark.role == "reference"), None)
    if reference is not None:
        axis.axvline(reference, color=BLUE, linestyle=(0, (4, 3)), linewidth=1, zorder=0.5)
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
    """Draw metrics over a numeric axis, a panel per metric; `lines` (metric -> name -> value) are horizontal."""
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels)))
        for axis, (metric, curves) in zip(axes, panels.items(), strict=True):
            for place, curve in enumerate(curves):
                colour = CYCLE[place % len(CYCLE)]
                axis.plot(
                    curve.x, curve.y, color=colour, marker=_MARKS[place % 7], ms=5, linewidth=1.6, label=curve.name
                )
                if curve.low:
                    axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)
            for place, (name, value) in enumerate((lines or {}).get(metric, {}).items()):
                style = {"color": GREYS[place % 3], "linestyle": _LINES[1 + place % 2]}
                axis.axhline(value, linewidth=1.3, label=name, **style)
            number_axis(axis, label, [x for curve in curves for x in curve.x])
            axis.set_title(metric)
        shared_legend(figure, axes)
    return figure


def number_axis(axis: Any, label: str, values_run: Sequence[float]) -> None:
    """Set a tick at every values_run value; logarithmic where the values span a factor of 8 or more."""
    values = sorted(set(values_run))
    positive = [value for value in values if value > 0]
    if len(positive) > 2 and positive[-1] / positive[0] >= 8:
        axis.set_xscale("symlog" if values[0] <= 0 else "log", **({"linthresh": positive[0]} if values[0] <= 0 else {}))
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.minorticks_off()
    if len(values) > 1:
        # matplotlib computes margins for a linear axis: too wide on the left of 0, none on the right
        scale = axis.xaxis.get_transform()
        first, last = (float(end) for end in scale.transform(np.array([values[0], values[-1]], dtype=float)))
        margin = 0.04 * (last - first)
        axis.set_xlim(*scale.inverted().transform(np.array([first - margin, last + margin])))
    axis.set_xlabel(label)
    axis.grid(axis="y")
    axis.yaxis.set_major_locator(MaxNLocator(5))


def shared_legend(figure: Figure, axes: Any) -> None:
    """Draw one legend below all panels, each name once."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if len(handles) > 1:
        columns = max(1, min(len(handles), int(WIDTH * 14.5 / (max(map(len, handles)) + 7))))
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns, fontsize=8.5)


def curves_figure(curves: Mapping[str, Sequence[Curve]], look: Mapping[str, Look], *, metric: str) -> Figure:
    """Draw learning curves over the training steps, the seeds of a row in one colour."""
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(WIDTH, 3.6 + 0.16 * ((len(curves) + 1) // 2)), layout="constrained")
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
        axis.set_xlabel("training step")
        axis.set_ylabel(metric)
        axis.set_ylim(bottom=0)
        axis.grid(axis="y")
        shared_legend(figure, [axis])
    return figure


def places_figure(panels: Mapping[str, Sequence[Curve]], look: Mapping[str, Look], *, label: str) -> Figure:
    """Draw shares by position (token, level, number of neighbours), a panel per measure; thin dashes are chance."""
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    with mpl.rc_context(dict(STYLE)):
        rows = max(len(curves) for curves in panels.values())
        figure = Figure(figsize=(WIDTH, 0.6 + 2.5 * lines + 0.17 * ((rows + 1) // 2)), layout="constrained")
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
        shared_legend(figure, axes[: len(panels)])
    return figure


def _share_axis(axis: Any, curves: Sequence[Curve]) -> None:
    """Format an axis of shares: from 0, up to 100 % where values come near it, a tick at every position."""
    top = max(value for curve in curves for value in (*curve.y, *curve.chance))
    digits = 0 if top >= 0.1 else 1
    axis.set_ylim(0, 1.04 if top > 0.8 else 1.1 * max(top, 1e-9))
    axis.set_xticks(sorted({x for curve in curves for x in curve.x}))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.{digits}f} %"))
    axis.grid(axis="y")
    axis.tick_params(labelsize=8)
