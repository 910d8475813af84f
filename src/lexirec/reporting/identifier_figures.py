"""Figures of identifiers and of quantizers: cells, prefixes and tokens by level, code use and collisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from lexirec.reporting.style import BLUE, CYCLE, GREY, INK, ORANGE, STYLE, save

if TYPE_CHECKING:
    from lexirec.semantic_ids.identifiers.report import Census, LevelReport, NamingReport
    from lexirec.semantic_ids.quantizers.collisions import Collisions
    from lexirec.semantic_ids.quantizers.report import LevelUse, QuantizerReport

_STYLE = {**STYLE, "font.size": 9, "axes.titlesize": 10, "axes.grid": True, "axes.grid.axis": "y"}


def draw_identifiers(report: NamingReport, folder: Path, name: str = "identifiers") -> list[Path]:
    """Draw cells, identified items, tokens and single children into `name.png` and `name.svg`; return the paths."""
    with rc_context(_STYLE):
        panels = 4 if report.levels else 3
        figure = Figure(figsize=(9, 6.6) if panels == 4 else (11, 3.4), layout="constrained")
        axes = list(figure.subplots(2, 2).flat) if panels == 4 else list(figure.subplots(1, 3).flat)
        if report.levels:
            _draw_cells(axes.pop(0), report.levels)
        _draw_identified(axes[0], report.census)
        _draw_tokens(axes[1], report.census)
        _draw_single_children(axes[2], report.census)
        save(figure, folder, name)
    return [folder / f"{name}.png", folder / f"{name}.svg"]


def _draw_cells(axis: Any, levels: tuple[LevelReport, ...]) -> None:
    places = [level.level for level in levels]
    axis.plot(places, [level.largest for level in levels], "o-", color=BLUE, label="largest")
    axis.plot(places, [level.median for level in levels], "o-", color=ORANGE, label="median")
    _count_in_powers_of_ten(axis, 0.8, 2 * levels[0].largest)
    axis.margins(x=0.08)
    axis.set_xticks(places, [f"{level.level}\n{level.cells:,}" for level in levels])
    axis.set_title("Items per cell")
    axis.set_xlabel("level, and its number of cells")
    axis.legend(frameon=False)


def _draw_identified(axis: Any, census: Census) -> None:
    shares = [100 * depth.identified for depth in census.depths]
    _draw_bars(axis, shares, BLUE)
    axis.set_title("Items identified uniquely")
    axis.set_xlabel(f"number of leading tokens ({census.mean_shortest_unique:.2f} needed on average)")


def _draw_tokens(axis: Any, census: Census) -> None:
    places = [depth.depth for depth in census.depths]
    axis.plot(places, [depth.prefixes for depth in census.depths], "o-", color=BLUE, label="prefixes")
    axis.plot(places, [depth.tokens for depth in census.depths], "o-", color=ORANGE, label="tokens")
    axis.axhline(census.items, color=GREY, linewidth=1, linestyle="--")
    axis.text(places[0], 1.15 * census.items, f"{census.items:,} items", color=INK, fontsize=8)
    _count_in_powers_of_ten(axis, 0.8, 2.5 * census.items)
    axis.set_xticks(places)
    axis.set_title("Distinct prefixes and tokens")
    axis.set_xlabel("position in the identifier")
    axis.legend(frameon=False, loc="lower center")


def _draw_single_children(axis: Any, census: Census) -> None:
    _draw_bars(axis, [100 * depth.single_child_share for depth in census.depths], ORANGE)
    axis.set_title("Positions with a single child")
    axis.set_xlabel(f"position in the identifier (most children of a node: {census.max_children:,})")


def _count_in_powers_of_ten(axis: Any, lowest: float, highest: float) -> None:
    axis.set_yscale("log")
    axis.set_ylim(lowest, highest)
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.yaxis.set_minor_locator(NullLocator())


def _draw_bars(axis: Any, shares: list[float], color: str) -> None:
    places = list(range(1, len(shares) + 1))
    bars = axis.bar(places, shares, color=color, width=0.7)
    axis.bar_label(bars, [f"{share:.0f} %" for share in shares], padding=2, fontsize=8)
    axis.set_ylim(0, 112)
    axis.set_yticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
    axis.set_xticks(places)


# ----------------------------------------------------------------------------------------------------- quantizers


def draw_quantizer(report: QuantizerReport, folder: Path, name: str = "quantizer") -> list[Path]:
    """Draw code use, residual variance and collisions into `name.png` and `name.svg`; return the paths."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(9, 6.6), layout="constrained")
        axes = list(figure.subplots(2, 2).flat)
        _draw_use(axes[0], report.levels)
        _draw_evenness(axes[1], report.levels)
        _draw_residuals(axes[2], report)
        _draw_collisions(axes[3], report.collisions)
        save(figure, folder, name)
    return [folder / f"{name}.png", folder / f"{name}.svg"]


def _draw_use(axis: Any, levels: tuple[LevelUse, ...]) -> None:
    for level in levels:
        counts = level.counts[: level.used]
        axis.plot(range(1, len(counts) + 1), counts, color=_colour(level), label=f"level {level.level}")
    even = levels[0].counts.sum() / len(levels[0].counts)
    axis.axhline(even, color=GREY, linewidth=1, linestyle="--", label="uniform use")
    axis.set_yscale("log")
    axis.set_ylim(0.8, 2.5 * max(10, *(level.counts[0] for level in levels)))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_title("Items per code")
    axis.set_xlabel("codes of a level, the largest first")
    axis.legend(frameon=False)


def _draw_evenness(axis: Any, levels: tuple[LevelUse, ...]) -> None:
    places = [level.level for level in levels]
    sizes = [len(level.counts) for level in levels]
    axis.bar(places, sizes, width=0.72, color=STYLE["grid.color"], label="codes")
    used = axis.bar([place - 0.17 for place in places], [level.used for level in levels], width=0.34, color=CYCLE[0])
    alike = axis.bar([place + 0.17 for place in places], [lv.perplexity for lv in levels], width=0.34, color=CYCLE[1])
    axis.bar_label(used, fmt="{:,.0f}", padding=2, fontsize=8)
    axis.bar_label(alike, fmt="{:,.0f}", padding=2, fontsize=8)
    used.set_label("used")
    alike.set_label("perplexity")
    axis.set_ylim(0, 1.32 * max(sizes))
    axis.set_xticks(places, [f"{level.level}\nGini {level.gini:.2f}" for level in levels])
    axis.set_title("Codes in use")
    axis.set_xlabel("level")
    axis.legend(frameon=False, loc="upper center", ncols=3, fontsize=8)


def _draw_residuals(axis: Any, report: QuantizerReport) -> None:
    places = [level.level for level in report.levels]
    shares = [100 * level.residual for level in report.levels]
    bars = axis.bar(places, shares, color=[_colour(level) for level in report.levels], width=0.6)
    axis.bar_label(bars, [f"{share:.0f} %" for share in shares], padding=2, fontsize=8)
    axis.set_ylim(0, 1.15 * max([*shares, 1]))
    axis.yaxis.set_major_formatter("{x:.0f} %")
    axis.set_xticks(places)
    axis.set_title("Residual variance")
    axis.set_xlabel(f"after level (reconstruction error {report.reconstruction_error:.1%})")


def _draw_collisions(axis: Any, collisions: Collisions) -> None:
    names = ["initial", f"after moving\n({collisions.moved:,} moved)", "final"]
    counts = [count.items for count in (collisions.before, collisions.repaired, collisions.after)]
    bars = axis.bar(names, counts, color=[CYCLE[1], CYCLE[1], CYCLE[0]], width=0.6)
    axis.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=8)
    axis.set_ylim(0, 1.15 * max([*counts, 1]))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_title("Items that share all their codes")
    axis.set_xlabel(f"rule '{collisions.rule}'; {collisions.numbered:,} resolved by a further level")


def _colour(level: LevelUse) -> str:
    return CYCLE[(level.level - 1) % len(CYCLE)]
