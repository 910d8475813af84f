"""The report's tables for a terminal, as `rich` renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lexirec.reporting.content import (
    PROTOCOLS,
    Protocol,
    Shopper,
    SystemResult,
    check_systems,
    number,
    short,
    summary,
)


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
        cells = [_cell(system.metrics(protocol).get(metric), best[protocol, metric]) for protocol, metric in columns]
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


def _cell(value: float | None, best: float | None) -> Text:
    return Text(number(value), style="bold" if value is not None and value == best else "")


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
