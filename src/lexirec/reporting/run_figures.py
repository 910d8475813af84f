"""Figures of a run's report: headline metrics, learning curve, breakdowns, identifier census.

Figures are created without pyplot: no global state, no window system, thread-safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from lexirec.reporting.content import (
    HEADLINE,
    PROTOCOLS,
    Breakdown,
    LearningCurve,
    LevelCensus,
    SystemResult,
    number,
)
from lexirec.reporting.style import BLUE, CYCLE, GREEN, GREY, GREYS, INK, ORANGE, PLAIN, RED, STYLE


def systems_figure(systems: Sequence[SystemResult]) -> Figure:
    """Draw the headline metrics of every system as bars; a dashed line marks the best reference baseline.

    Bars show metrics with seen items excluded where any system has them, else with seen items kept; where both are
    known, a ring shows the value with seen items kept.
    """
    protocol = "excluded" if any(system.excluded for system in systems) else "included"
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(9.6, 1.5 + 0.36 * len(systems)), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, metric in zip(axes, HEADLINE, strict=True):
            _bars(axis, systems, metric, protocol)
        rows = np.arange(len(systems))
        axes[0].set_yticks(rows, [system.name for system in systems])
        for label, system in zip(axes[0].get_yticklabels(), systems, strict=True):
            label.set_fontweight("bold" if system.main else "normal")
        axes[0].set_ylim(len(systems) - 0.4, -0.6)
        _key(figure, systems, protocol)
    return figure


def _bars(axis: Any, systems: Sequence[SystemResult], metric: str, protocol: Any) -> None:
    values = [system.metrics(protocol).get(metric, 0.0) for system in systems]
    rings = [system.metrics("included").get(metric) if protocol == "excluded" else None for system in systems]
    reach = max([*values, *(ring or 0.0 for ring in rings), 1e-4])
    for row, (system, value, ring) in enumerate(zip(systems, values, rings, strict=True)):
        axis.barh(row, value, height=0.66, color=_colour(system))
        margin = system.margins.get(metric, 0.0) if protocol == "excluded" else 0.0
        if margin:
            axis.errorbar(value, row, xerr=margin, color=INK, capsize=2.5, linewidth=1)
        if ring is not None:
            axis.plot(ring, row, "o", markersize=5.5, markerfacecolor="white", markeredgecolor=INK)
        end = max(value + margin, ring or 0.0)
        text = number(value) if metric in system.metrics(protocol) else "not measured"
        weight, behind = "bold" if system.main else "normal", {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axis.text(end + 0.025 * reach, row, text, va="center", fontsize=9, fontweight=weight, bbox=behind)
    references = [value for system, value in zip(systems, values, strict=True) if system.floor]
    if references:
        axis.axvline(max(references), color=INK, linestyle=(0, (4, 3)), linewidth=1, zorder=0.5)
    axis.set_xlim(0, 1.26 * reach)
    axis.set_title(metric)
    axis.set_xlabel(PROTOCOLS[protocol])
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _colour(system: SystemResult) -> str:
    return GREY if system.floor else BLUE if system.main else PLAIN


def _key(figure: Figure, systems: Sequence[SystemResult], protocol: str) -> None:
    entries: list[Any] = []
    if any(system.main for system in systems):
        entries.append(Patch(color=BLUE, label="this system"))
    if any(not system.main and not system.floor for system in systems):
        entries.append(Patch(color=PLAIN, label="other systems"))
    if any(system.floor for system in systems):
        entries.append(Patch(color=GREY, label="reference baselines"))
        entries.append(Line2D([], [], color=INK, linestyle=(0, (4, 3)), linewidth=1, label="best reference"))
    if protocol == "excluded" and any(system.included for system in systems):
        label = PROTOCOLS["included"]
        entries.append(Line2D([], [], ls="none", marker="o", mfc="white", mec=INK, label=label))
    if protocol == "excluded" and any(system.margins for system in systems):
        entries.append(Line2D([], [], color=INK, marker="|", markersize=6, linewidth=1, label="95 % interval"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), fontsize=9)


def learning_figure(curve: LearningCurve) -> Figure:
    """Draw validation metric and training loss over the training steps; the selected checkpoint is marked."""
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        _line(top, curve.validation, BLUE, marker="o")
        _line(bottom, curve.loss, RED)
        top.set_ylabel(f"validation {curve.metric}")
        bottom.set_ylabel("training loss")
        bottom.set_xlabel("training step")
        top.set_title("Learning curve")
        top.set_ylim(bottom=0)
        kept = dict(curve.validation).get(curve.best_step) if curve.best_step is not None else None
        if kept is not None:
            for axis in (top, bottom):
                axis.axvline(curve.best_step, color=INK, linestyle=(0, (4, 3)), linewidth=1, zorder=0.5)
            label = f"selected: {number(kept)}"
            early = curve.best_step < np.mean(top.get_xlim())
            side: dict[str, Any] = {"xytext": (5, 6), "ha": "left"} if early else {"xytext": (-5, 6), "ha": "right"}
            top.annotate(label, (curve.best_step, 0), textcoords="offset points", **side)
    return figure


def _line(axis: Any, points: Sequence[tuple[int, float]], colour: str, marker: str | None = None) -> None:
    if points:
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, color=colour, marker=marker, markersize=4, linewidth=1.6)
    axis.grid(axis="y")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def breakdown_figure(breakdown: Breakdown, systems: Sequence[SystemResult] = ()) -> Figure:
    """Draw one metric by groups as clusters of bars, a bar per system, with the number of cases of each group.

    Reference baselines are grey and the main system is blue, as in `systems_figure`.
    """
    colours = _colours(list(breakdown.values), systems)
    with mpl.rc_context(dict(STYLE)):
        group = max(1.35, max(map(len, breakdown.groups), default=0) / 11)  # inches, at about 11 letters per inch
        figure = Figure(figsize=(max(6.4, 1.4 + group * len(breakdown.groups)), 3.6), layout="constrained")
        axis = figure.subplots()
        centres, width = np.arange(len(breakdown.groups)), 0.8 / max(len(breakdown.values), 1)
        for place, (system, values) in enumerate(breakdown.values.items()):
            shift = (place - (len(breakdown.values) - 1) / 2) * width
            axis.bar(centres + shift, values, width * 0.92, label=system, color=colours[place])
        names = [f"{name}\n{cases:,} cases" for name, cases in zip(breakdown.groups, breakdown.cases, strict=True)]
        axis.set_xticks(centres, names)
        axis.tick_params(axis="x", length=0)
        axis.set_ylabel(breakdown.metric)
        axis.set_title(f"{breakdown.metric} by {breakdown.title}")
        axis.grid(axis="y")
        figure.legend(loc="outside lower center", ncols=_legend_columns(figure, list(breakdown.values)), fontsize=9)
    return figure


def _legend_columns(figure: Figure, names: Sequence[str]) -> int:
    """Return the number of legend columns that fit (about 11 letters per inch)."""
    entry = (max(map(len, names), default=0) + 7) / 11
    return max(1, min(len(names), int(figure.get_figwidth() / entry)))


def _colours(names: Sequence[str], systems: Sequence[SystemResult]) -> list[str]:
    references = {system.name for system in systems if system.floor}
    main = {system.name for system in systems if system.main}
    greys, others = cycle(GREYS), cycle(CYCLE[1:] if main else CYCLE)
    return [BLUE if name in main else next(greys) if name in references else next(others) for name in names]


def census_figure(census: Sequence[LevelCensus]) -> Figure:
    """Draw the identifiers by level: numbers of cells and tokens, evenness, and the share of single children."""
    levels = [row.level for row in census]
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for label, colour, marker in (("cells", BLUE, "o"), ("tokens", ORANGE, "s"), ("largest", GREEN, "^")):
            names = {"cells": "distinct prefixes", "tokens": "distinct tokens", "largest": "items in the largest cell"}
            values = [getattr(row, label) for row in census]
            left.plot(levels, values, color=colour, marker=marker, markersize=5, label=names[label])
        left.set_yscale("log")
        left.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        left.set_ylabel("count (logarithmic)")
        left.set_title("Cells of the identifier tree")
        evenness = [row.entropy / np.log2(row.cells) if row.cells > 1 else 1.0 for row in census]
        right.plot(levels, evenness, color=BLUE, marker="o", markersize=5, label="evenness of the cells")
        single = [row.single_child for row in census]
        right.plot(
            levels, single, color=RED, marker="D", markersize=5, clip_on=False, label="cells with a single child"
        )
        right.set_ylim(0, 1.04)
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        right.set_ylabel("share")
        right.set_title("Balance")
        for axis in (left, right):
            axis.set_xlabel("level (position in the identifier)")
            axis.set_xticks(levels)
            axis.grid(axis="y")
            axis.legend(fontsize=9, loc="best")
    return figure
