"""What an analysis found as tables for a terminal, as `rich` renderables."""

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


# ------------------------------------------------------------------------------------------------------------- terminal
# The report's tables for a terminal, as `rich` renderables.


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


def metrics_table(systems: Sequence[SystemResult], *, ks: Sequence[int] = (5, 10), title: str | None = None) -> Table:
    """Lay out systems × metrics, one block of columns a protocol that was measured; the best of a column is bold.

    Floors are marked; under the table stands how the main system compares with the best floor, and who loses to it.
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
        table.add_row(Text(f"{system.name}, floor" if system.floor else system.name), *cells, style=style)
    table.caption = _caption(systems, columns)
    return table


def metric_columns(systems: Sequence[SystemResult], ks: Sequence[int]) -> list[tuple[Protocol, str]]:
    """List the columns of a metrics table: recall and NDCG at each k, for every protocol that was measured."""
    measured = [protocol for protocol in PROTOCOLS if any(system.metrics(protocol) for system in systems)]
    return [(protocol, f"{metric}@{k}") for protocol in measured for k in ks for metric in ("recall", "ndcg")]


def best_values(
    systems: Sequence[SystemResult], columns: Sequence[tuple[Protocol, str]]
) -> dict[tuple[Protocol, str], float | None]:
    """Find the best value of each column; None where nobody has one."""
    return {
        (protocol, metric): max(
            (s.metrics(protocol)[metric] for s in systems if metric in s.metrics(protocol)), default=None
        )
        for protocol, metric in columns
    }


def _caption(systems: Sequence[SystemResult], columns: Sequence[tuple[Protocol, str]]) -> Text:
    """Explain the columns' second line and say plainly who loses to the floor."""
    words = {"excluded": "excl. = seen items excluded", "included": "kept = seen items kept"}
    lines = [", ".join(words[protocol] for protocol in dict.fromkeys(protocol for protocol, _ in columns))]
    lines.extend(sentence for _, sentence in summary(systems))
    return Text("\n".join(lines))


def protocol_table(protocol: Mapping[str, Any]) -> Table:
    """Lay out the protocol card, one line a field."""
    table = Table(title="protocol", title_justify="left", box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in protocol.items():
        table.add_row(Text(name.replace("_", " ")), Text(in_words(value)))
    return table


def in_words(value: Any) -> str:
    """Write a protocol field for people: yes and no, lists with commas."""
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
    """Show a history (oldest first), what is recommended, and what was really bought next."""
    lines = [Text("bought, oldest first", style="dim")]
    lines += [Text(f"  {title}") for title in shopper.history]
    lines.append(Text("recommended", style="dim"))
    for place, suggestion in enumerate(shopper.suggestions, start=1):
        mark = "  ← bought next" if suggestion.hit else ""
        lines.append(Text(f"{place:3d}  {suggestion.title}{mark}", style="bold green" if suggestion.hit else ""))
    if shopper.target is not None and not any(suggestion.hit for suggestion in shopper.suggestions):
        lines.append(Text(f"bought next (not among them): {shopper.target}", style="dim"))
    return Panel(Group(*lines), title=Text(shopper.name), title_align="left", box=box.ROUNDED)


def _best_cell(value: float | None, best: float | None) -> Text:
    return Text(number(value), style="bold" if value is not None and value == best else "")
