"""The naming report as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

if TYPE_CHECKING:
    from lexirec.semantic_ids.identifiers.report import Census, LevelReport, NamingReport

_MAIN, _SECOND, _QUIET = "#2a6f97", "#d1762b", "#8a8f98"
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _QUIET,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e5e7ea",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "svg.hashsalt": "lexirec",
    "text.parse_math": False,
}


def draw_identifiers(report: NamingReport, folder: Path, name: str = "identifiers") -> list[Path]:
    """Draw cells, told-apart items, tokens and single children into `name.png` and `name.svg`; return the paths."""
    with rc_context(_STYLE):
        panels = 4 if report.levels else 3
        figure = Figure(figsize=(9, 6.6) if panels == 4 else (11, 3.4), layout="constrained")
        axes = list(figure.subplots(2, 2).flat) if panels == 4 else list(figure.subplots(1, 3).flat)
        if report.levels:
            _draw_cells(axes.pop(0), report.levels)
        _draw_identified(axes[0], report.census)
        _draw_tokens(axes[1], report.census)
        _draw_single_children(axes[2], report.census)
        paths = [folder / f"{name}.png", folder / f"{name}.svg"]
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _draw_cells(axis: Any, levels: tuple[LevelReport, ...]) -> None:
    places = [level.level for level in levels]
    axis.plot(places, [level.largest for level in levels], "o-", color=_MAIN, label="largest")
    axis.plot(places, [level.median for level in levels], "o-", color=_SECOND, label="median")
    _count_in_powers_of_ten(axis, 0.8, 2 * levels[0].largest)
    axis.margins(x=0.08)
    axis.set_xticks(places, [f"{level.level}\n{level.cells:,}" for level in levels])
    axis.set_title("Items per cell")
    axis.set_xlabel("level, and its number of cells")
    axis.legend(frameon=False)


def _draw_identified(axis: Any, census: Census) -> None:
    shares = [100 * depth.identified for depth in census.depths]
    _draw_bars(axis, shares, _MAIN)
    axis.set_title("Items told from all others")
    axis.set_xlabel(f"first tokens read ({census.mean_shortest_unique:.2f} needed on average)")


def _draw_tokens(axis: Any, census: Census) -> None:
    places = [depth.depth for depth in census.depths]
    axis.plot(places, [depth.prefixes for depth in census.depths], "o-", color=_MAIN, label="prefixes")
    axis.plot(places, [depth.tokens for depth in census.depths], "o-", color=_SECOND, label="tokens")
    axis.axhline(census.items, color=_QUIET, linewidth=1, linestyle="--")
    axis.text(places[0], 1.15 * census.items, f"{census.items:,} items", color="#444444", fontsize=8)
    _count_in_powers_of_ten(axis, 0.8, 2.5 * census.items)
    axis.set_xticks(places)
    axis.set_title("Distinct prefixes and tokens")
    axis.set_xlabel("place in the identifier")
    axis.legend(frameon=False, loc="lower center")


def _draw_single_children(axis: Any, census: Census) -> None:
    _draw_bars(axis, [100 * depth.single_child_share for depth in census.depths], _SECOND)
    axis.set_title("Steps without a choice")
    axis.set_xlabel(f"token chosen (most choices at one node: {census.max_children:,})")


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
