"""The quantiser's report as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from lexirec.reporting.identifier_figures import _STYLE as STYLE  # the one look of this room's pictures

if TYPE_CHECKING:
    from lexirec.semantic_ids.quantizers.collisions import Collisions
    from lexirec.semantic_ids.quantizers.report import LevelUse, QuantizerReport

_QUIET = "#8a8f98"
_COLORS = ("#2a6f97", "#d1762b", "#5b8c5a", "#8d5a97", "#b5485d")


def draw_quantizer(report: QuantizerReport, folder: Path, name: str = "quantizer") -> list[Path]:
    """Draw the use of codes, what the levels leave, and collisions into `name.png` and `name.svg`; return the paths."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 6.6), layout="constrained")
        axes = list(figure.subplots(2, 2).flat)
        _draw_use(axes[0], report.levels)
        _draw_evenness(axes[1], report.levels)
        _draw_residuals(axes[2], report)
        _draw_collisions(axes[3], report.collisions)
        paths = [folder / f"{name}.png", folder / f"{name}.svg"]
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _draw_use(axis: Any, levels: tuple[LevelUse, ...]) -> None:
    for level in levels:
        counts = level.counts[: level.used]
        axis.plot(range(1, len(counts) + 1), counts, color=_color(level), label=f"level {level.level}")
    even = levels[0].counts.sum() / len(levels[0].counts)
    axis.axhline(even, color=_QUIET, linewidth=1, linestyle="--", label="all codes alike")
    axis.set_yscale("log")
    axis.set_ylim(0.8, 2.5 * max(10, *(level.counts[0] for level in levels)))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_title("Items per code")
    axis.set_xlabel("codes of a level, the fullest first")
    axis.legend(frameon=False)


def _draw_evenness(axis: Any, levels: tuple[LevelUse, ...]) -> None:
    places = [level.level for level in levels]
    sizes = [len(level.counts) for level in levels]
    axis.bar(places, sizes, width=0.72, color="#e5e7ea", label="there are")
    used = axis.bar([place - 0.17 for place in places], [level.used for level in levels], width=0.34, color=_COLORS[0])
    alike = axis.bar([place + 0.17 for place in places], [lv.perplexity for lv in levels], width=0.34, color=_COLORS[1])
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
    bars = axis.bar(places, shares, color=[_color(level) for level in report.levels], width=0.6)
    axis.bar_label(bars, [f"{share:.0f} %" for share in shares], padding=2, fontsize=8)
    axis.set_ylim(0, 1.15 * max([*shares, 1]))
    axis.yaxis.set_major_formatter("{x:.0f} %")
    axis.set_xticks(places)
    axis.set_title("Variance the codes have not yet told")
    axis.set_xlabel(f"after level (restored vectors lose {report.reconstruction_error:.1%})")


def _draw_collisions(axis: Any, collisions: Collisions) -> None:
    names = ["at first", f"after moving\n({collisions.moved:,} moved)", "in the end"]
    counts = [count.items for count in (collisions.before, collisions.repaired, collisions.after)]
    bars = axis.bar(names, counts, color=[_COLORS[1], _COLORS[1], _COLORS[0]], width=0.6)
    axis.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=8)
    axis.set_ylim(0, 1.15 * max([*counts, 1]))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_title("Items that share all their codes")
    axis.set_xlabel(f"rule '{collisions.rule}'; {collisions.numbered:,} told apart by a further level")


def _color(level: LevelUse) -> str:
    return _COLORS[(level.level - 1) % len(_COLORS)]
