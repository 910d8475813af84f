"""Terminal tables of analyses and reports, as `rich` renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lexirec.evaluation.beyond_accuracy import MEASURES
from lexirec.evaluation.bootstrap import Interval
from lexirec.evaluation.calibration import Bin, Calibration
from lexirec.evaluation.slice_metrics import METRICS, Measured, Sliced
from lexirec.reporting.content import PROTOCOLS, Protocol, Shopper, SystemResult, check_systems, number, short, summary


def slices_table(sliced: Sliced) -> RenderableType:
    """Table of systems × groups: recall and NDCG, below them half the widths of their intervals; the best is bold."""
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
    return _with_note(table, sliced.description)


def beyond_table(measures: Mapping[str, Mapping[str, float | None]], k: int) -> RenderableType:
    """Table of systems × beyond-accuracy measures; measures that no system has are left out."""
    table = _table(f"beyond accuracy of the top {k}")
    shown = [name for name in MEASURES if any(values[name] is not None for values in measures.values())]
    for name in shown:
        head = MEASURES[name].title.replace(", ", "\n")
        table.add_column(f"{head} {MEASURES[name].aim}".rstrip(), justify="right", overflow="fold")
    for system, values in measures.items():
        table.add_row(Text(system), *(measure_text(name, values[name]) for name in shown))
    note = "; ".join(f"{MEASURES[name].title}: {MEASURES[name].description}" for name in shown)
    return _with_note(table, note)


def measure_text(name: str, value: float | None) -> str:
    """Format a measure: bits with two decimals, lifts as signed per cents, shares with four decimals."""
    if value is None or name in ("coverage", "gini", "unexpectedness", "serendipity"):
        return number(value)
    if name == "lift":
        return f"{value:+.0%}".replace("-", "−").replace("%", " %")
    return f"{value:.2f}" if name == "novelty" else f"{value:.3f}"


def calibration_table(calibrations: Mapping[str, Calibration]) -> RenderableType:
    """Table of calibration by system: first items, all listed items, whole lists."""
    table = _table("calibration of item probabilities, seen items kept")
    some = next(iter(calibrations.values()))
    longest = some.places[-1]
    lengths = [place for place, k in enumerate(some.places) if k in (5, 10, longest)]
    heads = ["first item\npredicted → observed", "error,\nfirst", "error,\nlisted"]
    heads += [f"recall@{some.places[place]}\nexpected → measured" for place in lengths]
    for head in (*heads, f"probability of top {longest}\nmedian [10 %, 90 %]"):
        table.add_column(head, justify="right", overflow="fold")
    for system, each in calibrations.items():
        cells = [
            f"{number(each.mass[0])} → {number(each.recall[0])}",
            number(each.top.error),
            f"{each.listed.error:.2g}",
            *(f"{number(each.mass[place])} → {number(each.recall[place])}" for place in lengths),
            f"{each.covered[1]:.2f} [{each.covered[0]:.2f}, {each.covered[2]:.2f}]",
        ]
        table.add_row(Text(system), *cells)
    return _with_note(
        table,
        "error: expected calibration error, Σ n_b / N |observed_b − predicted_b|, in ten bins with equally many first "
        "items, or with equal shares of all listed probability; expected recall@k: mean probability of the top k",
    )


def reliability_table(calibrations: Mapping[str, Calibration]) -> RenderableType:
    """Table of the reliability bins of first items, a column per system."""
    table = _table("probability of the first item", "cases")
    for system in calibrations:
        table.add_column(f"{system}\npredicted → observed", justify="right", overflow="fold")
    longest = max(len(each.top.bins) for each in calibrations.values())
    for place in range(longest):
        which = {0: "least certain", longest - 1: "most certain"}.get(place, "")
        table.add_row(
            which or f"{place + 1}", *(_bin(each.top.bins[place : place + 1]) for each in calibrations.values())
        )
    return _with_note(table, "in brackets the 95 % interval of the observed share, users resampled")


def counted(cases: int) -> str:
    """Format a number of cases."""
    return "1 case" if cases == 1 else f"{cases:,} cases"


def _table(title: str, first: str = "system") -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    return table


def _with_note(table: Table, words: str) -> RenderableType:
    """Put a note below a table, wrapped at the width of the terminal."""
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
    first = bins[0]
    between = "" if first.interval is None else f" [{number(first.interval[0])}, {number(first.interval[1])}]"
    return Text.assemble(f"{number(first.predicted)} → {number(first.observed)}", (between, "dim"))


def metrics_table(systems: Sequence[SystemResult], *, ks: Sequence[int] = (5, 10), title: str | None = None) -> Table:
    """Table of systems × metrics, a block of columns per measured protocol; the best of a column is bold.

    Reference baselines are marked; the caption compares the main system with the best of them and names the systems
    that lose to it.
    """
    check_systems(systems)
    columns = metric_columns(systems, ks)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption_justify="left")
    table.add_column("system", overflow="fold")
    for protocol, metric in columns:
        table.add_column(
            f"{short(metric)}\n{'excl.' if protocol == 'excluded' else 'kept'}", justify="right", overflow="fold"
        )
    best = best_values(systems, columns)
    for system in systems:
        style = "bold cyan" if system.main else "dim" if system.floor else ""
        cells = [
            _best_cell(system.metrics(protocol).get(metric), best[protocol, metric]) for protocol, metric in columns
        ]
        table.add_row(Text(f"{system.name}, reference" if system.floor else system.name), *cells, style=style)
    table.caption = _caption(systems, columns)
    return table


def metric_columns(systems: Sequence[SystemResult], ks: Sequence[int]) -> list[tuple[Protocol, str]]:
    """Return the columns of a metrics table: recall and NDCG at each k, for every measured protocol."""
    measured = [protocol for protocol in PROTOCOLS if any(system.metrics(protocol) for system in systems)]
    return [(protocol, f"{metric}@{k}") for protocol in measured for k in ks for metric in ("recall", "ndcg")]


def best_values(
    systems: Sequence[SystemResult], columns: Sequence[tuple[Protocol, str]]
) -> dict[tuple[Protocol, str], float | None]:
    """Return the best value of each column; None for an empty one."""
    return {
        (protocol, metric): max(
            (s.metrics(protocol)[metric] for s in systems if metric in s.metrics(protocol)), default=None
        )
        for protocol, metric in columns
    }


def _caption(systems: Sequence[SystemResult], columns: Sequence[tuple[Protocol, str]]) -> Text:
    """Explain the second line of the column headings; summarise the standings."""
    words = {"excluded": "excl. = seen items excluded", "included": "kept = seen items kept"}
    lines = [", ".join(words[protocol] for protocol in dict.fromkeys(protocol for protocol, _ in columns))]
    lines.extend(sentence for _, sentence in summary(systems))
    return Text("\n".join(lines))


def protocol_table(protocol: Mapping[str, Any]) -> Table:
    """Table of the protocol card, a row per field."""
    table = Table(title="protocol", title_justify="left", box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in protocol.items():
        table.add_row(Text(name.replace("_", " ")), Text(in_words(value)))
    return table


def in_words(value: Any) -> str:
    """Format a protocol field: yes and no, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {in_words(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(in_words(each) for each in value)
    return str(value)


def shopper_panel(shopper: Shopper) -> Panel:
    """Panel with a history (oldest first), its recommendations and the item actually bought next."""
    lines = [Text("bought, oldest first", style="dim")]
    lines += [Text(f"  {title}") for title in shopper.history]
    lines.append(Text("recommended", style="dim"))
    for place, suggestion in enumerate(shopper.suggestions, start=1):
        mark = "  ← bought next" if suggestion.hit else ""
        lines.append(Text(f"{place:3d}  {suggestion.title}{mark}", style="bold green" if suggestion.hit else ""))
    if shopper.target is not None and not any(suggestion.hit for suggestion in shopper.suggestions):
        lines.append(Text(f"bought next, not recommended: {shopper.target}", style="dim"))
    return Panel(Group(*lines), title=Text(shopper.name), title_align="left", box=box.ROUNDED)


def _best_cell(value: float | None, best: float | None) -> Text:
    return Text(number(value), style="bold" if value is not None and value == best else "")
