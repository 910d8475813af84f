"""Style of all figures of reports: the one palette, fonts, and saving as PNG and SVG.

The palette is distinguishable for colour-blind readers (Okabe and Ito, 2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

_OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "IPAexGothic",
    "Noto Sans",
)


def families() -> list[str]:
    """Return the font families: the default first, then installed fonts with the scripts that it lacks."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["sans-serif", *(name for name in _OTHER_SCRIPTS if name in installed)]


BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
GREY, PALE_GREY, DEEP_GREY = "#8C8C8C", "#C2C2C2", "#5A5A5A"
GREYS = (GREY, PALE_GREY, DEEP_GREY)
"""Of baselines."""
EXTENDED_CYCLE = (*CYCLE, GREY, DEEP_GREY, "#8B5A2B", "#B8860B")
"""For more than six systems; the last four are not colour-blind safe, so markers must differ, too."""
PLAIN, INK, EDGE, GRID, WHITE = SKY, "#303030", "#9A9A9A", "#E4E4E4", "#FFFFFF"

STYLE: Mapping[str, Any] = {
    "font.family": families(),
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "text.color": INK,
    "text.parse_math": False,  # names of items may hold dollar signs
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "svg.hashsalt": "lexirec",  # equal data give equal files
}


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write `name.png` and `name.svg` into the folder and return the PNG's file name."""
    with mpl.rc_context(dict(STYLE)):
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return f"{name}.png"
