"""Forest plots: differences from a baseline with their intervals, or the metrics of all systems side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lexirec.evaluation.verdicts import Verdict
from lexirec.reporting.content import number
from lexirec.reporting.style import BLUE, GREY, INK, RED, STYLE

_LOOK: Mapping[Verdict, tuple[str, str]] = {
    "above": (BLUE, "o"),
    "below": (RED, "s"),
    "above in these users": (BLUE, "^"),
    "below in these users": (RED, "v"),
    "open": (GREY, "D"),
}
LEGEND: Mapping[Verdict, str] = {
    "above": "above",
    "below": "below",
    "above in these users": "above in these users: fewer than three seeds",
    "below in these users": "below in these users: fewer than three seeds",
    "open": "no difference shown",
}
"""Legend of differences; figures leave out what does not occur."""


@dataclass(frozen=True)
class Effect:
    """One system's difference from the baseline.

    Attributes:
        name: the system.
        value: the difference, positive where the system is better.
        interval: confidence interval of `value`.
        side: verdict on it.
        note: text beside the row, such as the p-value.
    """

    name: str
    value: float
    interval: tuple[float, float]
    side: Verdict
    note: str = ""


def forest_figure(effects: Sequence[Effect], *, title: str, label: str, legend: Mapping[Verdict, str]) -> Figure:
    """Draw a row per difference: a marker with its interval and note; a line at 0.

    Args:
        effects: the differences, from top to bottom.
        title: heading.
        label: label of the axis.
        legend: side -> label; sides that do not occur are left out.
    """
    rows = range(len(effects))
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(9.6, 1.7 + 0.36 * len(effects)), layout="constrained")
        axis = figure.subplots()
        axis.axvline(0, color=INK, linewidth=1, zorder=1.9)
        for row, effect in zip(rows, effects, strict=True):
            mark(axis, row, effect.value, effect.interval, _LOOK[effect.side])
        axis.set_yticks(rows, [effect.name for effect in effects])
        axis.set_ylim(len(effects) - 0.4, -0.6)
        lay_out(axis, title, label, signed, ticks=7)
        _notes(axis, rows, effects)
        sides = [side for side in legend if any(effect.side == side for effect in effects)]
        figure.legend(handles=[_entry(side, legend[side]) for side in sides], loc="outside lower center", ncols=3)
    return figure


@dataclass(frozen=True)
class Standing:
    """One system's metric with the outcome of its test against the baseline.

    Attributes:
        name: the system.
        value: its metric, the mean over its seeds.
        interval: confidence interval of `value`.
        side: verdict on its difference from the baseline.
        seeds: metric of each seed.
    """

    name: str
    value: float
    interval: tuple[float, float]
    side: Verdict
    seeds: Sequence[float] = ()


def standings_figure(
    panels: Mapping[str, Sequence[Standing]], *, baseline: str, title: str, label: str, legend: Mapping[Verdict, str]
) -> Figure:
    """Draw a row per system and a panel per treatment of seen items: a marker with its interval and value.

    Strokes behind the marker are single seeds, where there are several; a line marks the value of the baseline.

    Args:
        panels: title -> the systems from top to bottom, the same in all.
        baseline: the system whose value the line marks.
        title: heading.
        label: label of the axes.
        legend: side -> label; sides that do not occur are left out.
    """
    names = [each.name for each in next(iter(panels.values()))]
    with mpl.rc_context(dict(STYLE)):
        size = (4.2 + 4.6 * len(panels), 1.7 + 0.3 * len(names))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for axis, (heading, standings) in zip(axes, panels.items(), strict=True):
            for row, each in enumerate(standings):
                look = (INK, "o") if each.name == baseline else _LOOK[each.side]
                if each.name == baseline:
                    axis.axvline(each.value, color=INK, linewidth=1, zorder=1.9)
                for value in each.seeds if len(each.seeds) > 1 else ():
                    axis.plot(value, row, "|", color=look[0], markersize=9, alpha=0.7)
                mark(axis, row, each.value, each.interval, look)
            _values(axis, standings)
            lay_out(axis, heading, label, number, ticks=6)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        others = [each.side for panel in panels.values() for each in panel if each.name != baseline]
        sides = [side for side in legend if side in others]
        figure.legend(handles=[_entry(side, legend[side]) for side in sides], loc="outside lower center", ncols=3)
    return figure


def _values(axis: Any, standings: Sequence[Standing]) -> None:
    """Write the values in a column right of the axis."""
    for row, each in enumerate(standings):
        weight = "bold" if each.side in ("above", "below") else "normal"
        place = axis.get_yaxis_transform()
        axis.text(1.02, row, number(each.value), transform=place, va="center", fontsize=9, fontweight=weight)


def signed(value: float) -> str:
    """Format a difference of metrics: +.0042, −.0310, 0."""
    text = f"{abs(value):.4f}".removeprefix("0")
    sign = "+" if value > 0 else "−"
    return sign + text if text.strip(".0") else "0"


def p_text(value: float) -> str:
    """Format a p-value: .936, < .001."""
    return "< .001" if value < 0.001 else f"{value:.3f}".replace("0.", ".", 1)


def lay_out(axis: Any, title: str, label: str, write: Callable[[float], str], *, ticks: int) -> None:
    """Lay out an axis with named rows: no left spine, numbers below formatted as in tables.

    Args:
        axis: matplotlib axis.
        title: heading.
        label: label of the numbers.
        write: number -> text.
        ticks: largest number of ticks.
    """
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(ticks))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_xlabel(label)
    axis.set_title(title)
    axis.grid(axis="x")


def mark(axis: Any, row: int, value: float, interval: tuple[float, float], look: tuple[str, str]) -> None:
    """Draw a value and its interval in a row; `look` is colour and marker."""
    colour, marker = look
    axis.plot(interval, (row, row), color=colour, linewidth=2.2, solid_capstyle="butt")
    axis.plot(value, row, marker, color=colour, markersize=6.5, markeredgecolor="white")


def _notes(axis: Any, rows: Sequence[int], effects: Sequence[Effect]) -> None:
    """Write the notes in a column right of the axis."""
    place = axis.get_yaxis_transform()
    for row, effect in zip(rows, effects, strict=True):
        weight = "bold" if effect.side in ("above", "below") else "normal"
        axis.text(1.02, row, effect.note, transform=place, va="center", fontsize=9, fontweight=weight)


def _entry(side: Verdict, label: str) -> Line2D:
    colour, marker = _LOOK[side]
    return Line2D(
        [], [], color=colour, marker=marker, markersize=6.5, markeredgecolor="white", linewidth=2.2, label=label
    )
