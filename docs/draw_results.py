"""Draw the tables of results.md: a figure per data set, all systems with their intervals.

Run `python docs/draw_results.py` after a table has changed; it writes the figures to `docs/figures/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lexirec.reporting.content import number
from lexirec.reporting.forest import lay_out, mark
from lexirec.reporting.style import BLUE, GREEN, GREY, INK, ORANGE, PINK, STYLE

HERE = Path(__file__).parent
FAMILIES = {
    "counting and linear baselines": (GREY, r"memory|transitions|popularity|recency|item-kNN|EASE|implicit ALS"),
    "networks that score items": (ORANGE, r"SASRec|eSASRec|GRU4Rec|HSTU"),
    "generative baselines": (PINK, r"TIGER|LETTER|LC-Rec|P5|IDGenRec|plain"),
    "ours": (BLUE, r"GRAM|TS-Rec|TS-Align|SA-Init"),
    "ours or SASRec with the memory": (GREEN, r".* × |.* by reciprocal rank"),
}
"""Family of systems -> its colour, and a pattern of their names; the last match counts."""
CELL = re.compile(r"(\.\d+)(?: [▲▼△▽])? \[(\.\d+), (\.\d+)\]")


class Row(NamedTuple):
    """One system: mean NDCG@10 over its seeds, the interval, and the number of seeds."""

    name: str
    value: float
    interval: tuple[float, float]
    seeds: int


def sections(text: str) -> Iterator[tuple[str, list[Row]]]:
    """Yield every data set and the rows of its tables, seen items excluded; of repeated systems the first."""
    for section in text.split("\n## ")[1:]:
        head, _, body = section.partition("\n")
        rows: dict[str, Row] = {}
        kept = False
        for line in body.splitlines():
            kept = line == "**Seen items kept**" or (kept and not line.startswith("### "))
            row = None if kept else row_of(line)
            if row is not None:
                rows.setdefault(row.name, row)
        if rows:
            yield head, list(rows.values())


def row_of(line: str) -> Row | None:
    """Parse one line of a table; None if it holds no system."""
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    found = CELL.fullmatch(cells[4]) if len(cells) == 7 else None
    if found is None:
        return None
    value, low, high = map(float, found.groups())
    return Row(cells[0], value, (low, high), int(cells[5].split()[0]))


def colour(name: str) -> str:
    """Return the colour of a system's family."""
    shades = [shade for shade, names in FAMILIES.values() if re.match(names, name)]
    if not shades:
        raise SystemExit(f"docs/results.md: '{name}' belongs to no family; add a pattern of its name to FAMILIES")
    return shades[-1]


def draw(title: str, rows: list[Row]) -> Figure:
    """Draw the systems, best first, with a line at the memory's value."""
    rows = sorted(rows, key=lambda row: -row.value)
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(9.6, 1.6 + 0.23 * len(rows)), layout="constrained")
        axis = figure.subplots()
        for place, row in enumerate(rows):
            shade = colour(row.name)
            mark(axis, place, row.value, row.interval, (shade, "o" if row.seeds > 1 else "D"))
            axis.text(1.02, place, number(row.value), transform=axis.get_yaxis_transform(), va="center", fontsize=8)
            if row.name == "memory M2":
                axis.axvline(row.value, color=INK, linewidth=0.8, zorder=1.9)
        axis.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        label = "NDCG@10 with 95 % interval, seen items excluded; the line is memory M2; ○ several seeds, ◇ one"
        lay_out(axis, title, label, number, ticks=8)
        used = {colour(row.name) for row in rows}
        handles = [
            Line2D([], [], color=shade, linewidth=3, label=name)
            for name, (shade, _) in FAMILIES.items()
            if shade in used
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
    return figure


def written(rows: list[Row]) -> str:
    """Return the values of a figure, a line per system; they are stored in the PNG's metadata."""
    return "\n".join(
        f"{row.name}: {row.value} {row.interval[0]} {row.interval[1]} {row.seeds}"
        for row in sorted(rows, key=lambda row: -row.value)
    )


def path(title: str) -> Path:
    """Return the path of a data set's figure."""
    return HERE / "figures" / f"{'-'.join(title.lower().split()[1:-1])}.png"


def main() -> None:
    """Draw all data sets."""
    (HERE / "figures").mkdir(exist_ok=True)
    for title, rows in sections((HERE / "results.md").read_text(encoding="utf-8")):
        with mpl.rc_context(dict(STYLE)):
            draw(title, rows).savefig(path(title), dpi=110, metadata={"Software": None, "Description": written(rows)})


if __name__ == "__main__":
    main()
