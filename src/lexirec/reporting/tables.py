"""What an analysis found as tables for a terminal, as `rich` renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lexirec.evaluation.beyond_accuracy import MEASURES
from lexirec.evaluation.bootstrap import Interval
from lexirec.evaluation.calibration import Bin, Calibration
from lexirec.evaluation.slice_metrics import METRICS, Measured, Sliced
from lexirec.reporting.content import number


def slices_table(sliced: Sliced) -> RenderableType:
    """Lay out systems × groups: recall and NDCG, below them half the widths of their intervals; the best is bold."""
    table = _table(f"recall@{sliced.k}/NDCG@{sliced.k} by {sliced.kind}")
    for name, cases in zip(sliced.names, sliced.cases, strict=True):
        table.add_column(f"{name}\n{counted(cases)}", justify="right", overflow="fold")
    best = [
        max(values[METRICS[1]][place].value for values in sliced.values.values()) for place in range(len(sliced.names))
    ]
    for system, values in sliced.values.items():
        cells = [
            _cell(
                [values[metric][place] for metric in METRICS], bold=values[METRICS[1]][place].value == best[place] > 0
            )
            for place in range(len(sliced.names))
        ]
        table.add_row(Text(system), *cells)
    return _told(table, sliced.told)


def beyond_table(found: Mapping[str, Mapping[str, float | None]], k: int) -> RenderableType:
    """Lay out systems × measures of their lists; measures that nobody has are left out."""
    table = _table(f"beyond accuracy, the first {k} of every list")
    shown = [name for name in MEASURES if any(values[name] is not None for values in found.values())]
    for name in shown:
        head = MEASURES[name].title.replace(", ", "\n")
        table.add_column(f"{head} {MEASURES[name].aim}".rstrip(), justify="right", overflow="fold")
    for system, values in found.items():
        table.add_row(Text(system), *(measure_text(name, values[name]) for name in shown))
    told = "; ".join(f"{MEASURES[name].title}: {MEASURES[name].told}" for name in shown)
    return _told(table, told)


def measure_text(name: str, value: float | None) -> str:
    """Write a measure as tables do: bits with two decimals, lifts as signed per cents, shares with four decimals."""
    if value is None or name in ("coverage", "gini", "unexpectedness", "serendipity"):
        return number(value)
    if name == "lift":
        return f"{value:+.0%}".replace("-", "−").replace("%", " %")
    return f"{value:.2f}" if name == "novelty" else f"{value:.3f}"


def calibration_table(found: Mapping[str, Calibration]) -> RenderableType:
    """Lay out what systems' probabilities are worth: of first items, of all listed ones, of whole lists."""
    table = _table("a model's own probabilities, seen items kept")
    some = next(iter(found.values()))
    longest = some.places[-1]
    lengths = [place for place, k in enumerate(some.places) if k in (5, 10, longest)]
    heads = ["first item\npredicted → true", "error,\nfirst", "error,\nlisted"]
    heads += [f"recall@{some.places[place]}\nexpected → found" for place in lengths]
    for head in (*heads, f"first {longest} hold\nmedian [10 %, 90 %]"):
        table.add_column(head, justify="right", overflow="fold")
    for system, each in found.items():
        cells = [
            f"{number(each.mass[0])} → {number(each.recall[0])}",
            number(each.top.error),
            f"{each.listed.error:.2g}",
            *(f"{number(each.mass[place])} → {number(each.recall[place])}" for place in lengths),
            f"{each.covered[1]:.2f} [{each.covered[0]:.2f}, {each.covered[2]:.2f}]",
        ]
        table.add_row(Text(system), *cells)
    return _told(
        table,
        "error: expected calibration error, Σ n_b / N |true_b − predicted_b|, ten bins of equally many first items, "
        "or of equal shares of all listed probability; recall expected: the mean probability that the places hold",
    )


def reliability_table(found: Mapping[str, Calibration]) -> RenderableType:
    """Lay out the bins of first items, systems side by side."""
    table = _table("probability of the first item", "cases")
    for system in found:
        table.add_column(f"{system}\npredicted → true", justify="right", overflow="fold")
    longest = max(len(each.top.bins) for each in found.values())
    for place in range(longest):
        which = {0: "least certain", longest - 1: "most certain"}.get(place, "")
        table.add_row(which or f"{place + 1}", *(_bin(each.top.bins[place : place + 1]) for each in found.values()))
    return _told(table, "in brackets the 95 % interval of what came true, users resampled")


def counted(cases: int) -> str:
    """Write a number of cases."""
    return "1 case" if cases == 1 else f"{cases:,} cases"


def _table(title: str, first: str = "system") -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    return table


def _told(table: Table, words: str) -> RenderableType:
    """Put words below a table, in the terminal's width and not in the table's."""
    return Group(table, Text(f"{words}\n", "dim"))


def _cell(measured: Sequence[Measured], *, bold: bool) -> Text:
    values = "/".join(number(each.value) for each in measured)
    spreads = [each.interval for each in measured]
    below = "±" + "/".join(number(_half(spread)) for spread in spreads if spread) if all(spreads) else "one user"
    return Text.assemble((values, "bold" if bold else ""), "\n", (below, "dim"))


def _half(interval: Interval) -> float:
    return float(np.diff(interval)[0]) / 2


def _bin(bins: Sequence[Bin]) -> Text:
    if not bins:
        return Text("")
    found = bins[0]
    between = "" if found.interval is None else f" [{number(found.interval[0])}, {number(found.interval[1])}]"
    return Text.assemble(f"{number(found.predicted)} → {number(found.observed)}", (between, "dim"))
