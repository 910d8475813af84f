"""Published figures beside an experiment's own, as Markdown for reports and as a terminal table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lexirec.evaluation.published_figures import PublishedFigures
from lexirec.reporting.content import PROTOCOLS, SystemResult, number, short


@dataclass(frozen=True)
class PublishedRow:
    """A published row, and what the recommender that it stands beside has reached under the same treatment.

    Attributes:
        name: of the row, as it was called in the source.
        figures: its figures and their source.
        ours: metric -> the recommender's value; metrics that were not measured are absent, and all of them where it
            stands beside none.
    """

    name: str
    figures: PublishedFigures
    ours: Mapping[str, float]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the published metrics."""
        return tuple(self.figures.metrics)

    def ratio(self, metric: str) -> float | None:
        """Return the recommender's value over the published one; None where there is no such ratio."""
        published, ours = self.figures.metrics.get(metric), self.ours.get(metric)
        return ours / published if published and ours is not None else None


def published_rows(
    figures: Mapping[str, PublishedFigures], systems: Sequence[SystemResult], unequal: Mapping[str, str] | None = None
) -> list[PublishedRow]:
    """Pair published figures with the recommenders that they stand beside; `unequal` holds for all of them."""
    by_name = {system.name: system for system in systems}
    rows = []
    for name, row in figures.items():
        each = row.model_copy(update={"unequal": {**(unequal or {}), **row.unequal}})
        system = by_name.get(each.beside or "")
        measured = system.metrics(each.seen) if system is not None else {}
        rows.append(
            PublishedRow(name, each, {metric: measured[metric] for metric in each.metrics if metric in measured})
        )
    return rows


UNTESTED = (
    "A published figure comes without its cases, so a difference from it is not tested; nothing here says which of two "
    "systems is better."
)
"""What a comparison with published figures leaves out."""


def table_cells(rows: Sequence[PublishedRow]) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of a table: each published row, and below it ours with its share of the published value."""
    metrics = list(dict.fromkeys(metric for row in rows for metric in row.metrics))
    cells = []
    for row in rows:
        published = [number(row.figures.metrics.get(metric)) for metric in metrics]
        cells.append([row.name, f"published, {PROTOCOLS[row.figures.seen]}", *published])
        if row.figures.beside is not None:
            cells.append([f"  {row.figures.beside}", "here", *(_beside(row, metric) for metric in metrics)])
    return ["", "", *map(short, metrics)], cells


def _beside(row: PublishedRow, metric: str) -> str:
    ratio = row.ratio(metric)
    return number(row.ours.get(metric)) + (f" ({ratio:.0%})" if ratio is not None else "")


def remarks(rows: Sequence[PublishedRow]) -> list[str]:
    """Return the source of every row, and what is not equal; equal remarks once."""
    lines = [f"{row.name}: {row.figures.source}." for row in rows]
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for subject, words in row.figures.unequal.items():
            reasons.setdefault(f"{subject}: {words}", []).append(row.name)
    everything = len(rows)
    for words, names in reasons.items():
        whose = "" if len(names) == everything else f" ({', '.join(names)})"
        lines.append(f"Not equal, {words}{whose}.")
    return [*lines, UNTESTED]


def published_part(rows: Sequence[PublishedRow], plain: Callable[[str], str]) -> Iterable[str]:
    """Yield the paragraphs of a report; `plain` escapes text for Markdown."""
    if not rows:
        return
    head, cells = table_cells(rows)
    yield "## Published figures"
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *([plain(cell) for cell in line] for line in cells)]
    yield "\n".join("| " + " | ".join(line) + " |" for line in lines)
    yield "\n".join(f"- {plain(line)}" for line in remarks(rows))


def published_table(rows: Sequence[PublishedRow]) -> RenderableType:
    """Return the terminal table, with sources and what is not equal below it."""
    head, cells = table_cells(rows)
    table = Table(title="published figures", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(head):
        table.add_column(name, justify="left" if place < 2 else "right", overflow="fold")
    for line in cells:
        table.add_row(*(Text(cell) for cell in line), style="" if line[1] == "here" else "dim")
    return Group(table, *(Text(line, "dim") for line in remarks(rows)))
