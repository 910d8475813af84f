"""Figures of `lexirec analyze`: metrics by slice, beyond-accuracy measures, reliability curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from lexirec.evaluation.beyond_accuracy import MEASURES
from lexirec.evaluation.calibration import Bin, Calibration
from lexirec.evaluation.slice_metrics import METRICS, Measured, Sliced
from lexirec.reporting.style import EXTENDED_CYCLE, GRID, INK, STYLE, save
from lexirec.reporting.tables import counted, measure_text

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")


def slices_figure(sliced: Sliced) -> Figure:
    """Draw recall and NDCG of every system in every group, with intervals and the number of cases."""
    groups, systems = len(sliced.names), list(sliced.values)
    with mpl.rc_context(dict(STYLE)):
        name = max(map(len, sliced.names)) / 11  # inches, at about 11 letters per inch
        wide = max(7.2, 1.6 + groups * max(0.5 + 0.17 * len(systems), name))
        figure = Figure(figsize=(wide, 5.6 + 0.2 * _rows(systems, wide)), layout="constrained")
        axes = figure.subplots(len(METRICS), 1, sharex=True)
        for axis, metric in zip(axes, METRICS, strict=True):
            _clusters(axis, [values[metric] for values in sliced.values.values()])
            axis.set_ylabel(f"{'NDCG' if metric == 'ndcg' else metric}@{sliced.k}")
        names = [f"{name}\n{counted(cases)}" for name, cases in zip(sliced.names, sliced.cases, strict=True)]
        axes[-1].set_xticks(range(groups), names)
        axes[-1].set_xlim(-0.5, groups - 0.5)
        axes[0].set_title(f"By {sliced.kind}, with 95 % intervals over users")
        _legend(figure, systems)
    return figure


def _clusters(axis: Any, systems: Sequence[Sequence[Measured]]) -> None:
    width = 0.8 / max(len(systems), 1)
    for place, measured in enumerate(systems):
        at = np.arange(len(measured)) + (place - (len(systems) - 1) / 2) * width
        values = np.array([each.value for each in measured])
        ends = np.array([each.interval or (each.value, each.value) for each in measured])
        away = np.abs(ends - values[:, None]).T
        axis.errorbar(at, values, yerr=away, linestyle="none", capsize=2, linewidth=1.2, **_look(place))
    for edge in range(1, len(systems[0]) if systems else 0):
        axis.axvline(edge - 0.5, color=GRID, linewidth=0.8, zorder=0.5)
    top = axis.get_ylim()[1]
    axis.set_ylim(-0.02 * top, top)  # markers at 0 are not cut off
    axis.grid(axis="y")
    axis.tick_params(axis="x", length=0)
    axis.yaxis.set_major_locator(MaxNLocator(5))


def beyond_figure(measures: Mapping[str, Mapping[str, float | None]], k: int) -> Figure:
    """Draw a panel of bars for every beyond-accuracy measure that any system has."""
    shown = [name for name in MEASURES if any(values[name] is not None for values in measures.values())]
    columns, systems = min(len(shown), 3), list(measures)
    rows = -(-len(shown) // columns)
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(10.4, 0.5 + rows * (0.85 + 0.24 * len(systems))), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, sharey=True, squeeze=False)).ravel()
        for axis, name in zip(axes, shown, strict=False):
            _panel(axis, name, [values[name] for values in measures.values()])
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        axes[0].set_yticks(range(len(systems)), systems)
        axes[0].set_ylim(len(systems) - 0.4, -0.6)
        figure.suptitle(f"Beyond accuracy of the top {k}", fontsize=12, fontweight="bold", x=0.01, ha="left")
    return figure


def _panel(axis: Any, name: str, values: Sequence[float | None]) -> None:
    lengths = [value or 0.0 for value in values]
    low, high = min(0.0, *lengths), max(1e-9, *lengths)
    for place, (value, drawn) in enumerate(zip(values, lengths, strict=True)):
        axis.barh(place, drawn, height=0.66, color=_look(place)["color"])
        beyond = max(drawn, 0.0) + 0.025 * (high - low)
        axis.text(beyond, place, measure_text(name, value), va="center", fontsize=8.5)
    if low < 0:
        axis.axvline(0, color=INK, linewidth=0.8)
    way = MEASURES[name].aim
    axis.set_title(f"{MEASURES[name].title} {way}".rstrip(), fontsize=10)
    axis.set_xlim(low * 1.08, high + 0.28 * (high - low))
    axis.xaxis.set_major_locator(MaxNLocator(3 if name == "lift" else 4))
    if name == "lift":
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: measure_text("lift", value)))
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x")


def calibration_figure(calibrations: Mapping[str, Calibration]) -> Figure:
    """Draw reliability curves of first and of all listed items, and expected beside measured recall@k."""
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(13.2, 4.6), layout="constrained")
        first, listed, lengths = figure.subplots(1, 3)
        for place, each in enumerate(calibrations.values()):
            _reliability(first, each.top.bins, place)
            _reliability(listed, each.listed.bins, place)
            look = _look(place)
            lengths.plot(each.places, each.recall, linewidth=1.6, **look)
            lengths.plot(each.places, each.mass, linewidth=1.4, linestyle=(0, (4, 2)), color=look["color"])
        _diagonal(first, [each.top.bins for each in calibrations.values()], "linear")
        _diagonal(listed, [each.listed.bins for each in calibrations.values()], "log")
        first.set_title("First item of each list")
        listed.set_title("All listed items (both axes logarithmic)")
        lengths.set_title("Recall@k: solid measured, dashed expected")
        lengths.set_xscale("log")
        ticks = next(iter(calibrations.values())).places
        lengths.set_xticks(ticks, [str(k) for k in ticks])
        lengths.set_xticks([], minor=True)
        lengths.set_xlabel("list length k")
        lengths.set_ylabel("recall@k, mean probability of the top k")
        lengths.set_ylim(bottom=0)
        lengths.grid(axis="both")
        _legend(figure, list(calibrations))
    return figure


def _reliability(axis: Any, bins: Sequence[Bin], place: int) -> None:
    predicted, observed = (np.array([getattr(each, name) for each in bins]) for name in ("predicted", "observed"))
    ends = np.array([each.interval or (each.observed, each.observed) for each in bins])
    away = np.abs(ends - observed[:, None]).T
    axis.errorbar(predicted, observed, yerr=away, linewidth=1.4, elinewidth=1, capsize=2, **_look(place))


def _diagonal(axis: Any, systems: Sequence[Sequence[Bin]], scale: str) -> None:
    values = [value for bins in systems for each in bins for value in (each.predicted, each.observed) if value > 0]
    low, high = (
        (min(values, default=0.1), max(values, default=1.0)) if scale == "log" else (0.0, max(values, default=1))
    )
    axis.plot((low, high), (low, high), color=INK, linestyle=(0, (4, 3)), linewidth=1, zorder=1.5)
    axis.annotate("as predicted", (high, high), (-4, 6), textcoords="offset points", ha="right", fontsize=8.5)
    axis.set_xscale(scale)
    axis.set_yscale(scale)
    axis.set_xlabel("predicted probability")
    axis.set_ylabel("observed share, 95 % interval")
    axis.grid(axis="both")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(FuncFormatter(_share))
        if scale == "log":
            each.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=12))
            each.set_minor_formatter(NullFormatter())
    if scale == "linear":
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)


def _share(value: float, _: Any) -> str:
    return (
        f"{value:.4g}".replace("0.", ".", 1) if value >= 1e-4 else f"{value:.0e}".replace("e-0", "e−") if value else "0"
    )


def _look(place: int) -> dict[str, Any]:
    """Return colour and marker of the system with this index."""
    return {
        "color": EXTENDED_CYCLE[place % len(EXTENDED_CYCLE)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 4.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
    }


def _legend(figure: Figure, systems: Sequence[str]) -> None:
    handles = [Line2D([], [], label=system, **_look(place)) for place, system in enumerate(systems)]
    columns = _columns(systems, figure.get_figwidth())
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9)


def _columns(systems: Sequence[str], inches: float) -> int:
    """Return the number of legend columns that fit (about 11 letters per inch)."""
    entry = (max(map(len, systems), default=0) + 7) / 11
    return max(1, min(len(systems), int(inches / entry)))


def _rows(systems: Sequence[str], inches: float) -> int:
    return -(-len(systems) // _columns(systems, inches))


def draw(
    folder: Path,
    slices: Sequence[Sliced],
    beyond: tuple[Mapping[str, Mapping[str, float | None]], int],
    calibrations: Mapping[str, Calibration],
) -> list[Path]:
    """Write every figure as PNG and SVG into a folder (created if absent); return the paths of the PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {f"by-{sliced.kind.partition(' ')[0]}": slices_figure(sliced) for sliced in slices}
    if beyond[0]:
        figures["beyond-accuracy"] = beyond_figure(*beyond)
    if calibrations:
        figures["calibration"] = calibration_figure(calibrations)
    return [folder / save(figure, folder, name) for name, figure in figures.items()]
