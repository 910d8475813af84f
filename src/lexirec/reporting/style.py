"""One look for all figures of reports: colours, fonts, files.

Colours stay apart for colour-blind eyes (Okabe and Ito, 2008).
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
    """Return the fonts of names, the usual one first; the others, where they are installed, have letters it lacks."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["sans-serif", *(name for name in _OTHER_SCRIPTS if name in installed)]


BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
GREY, PLAIN, INK = "#8C8C8C", SKY, "#303030"

STYLE: Mapping[str, Any] = {
    "font.family": families(),
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9A9A9A",
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "text.color": INK,
    "text.parse_math": False,  # names are the users', dollars included
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "svg.hashsalt": "lexirec",  # equal numbers give equal files
}


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write `name.png` and `name.svg` into the folder and return the PNG's file name."""
    with mpl.rc_context(dict(STYLE)):
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return f"{name}.png"
