"""What `evaluate-online` and `simulate` print."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lexirec.cli.output import new_table, put

if TYPE_CHECKING:
    from lexirec.serving.schemas.evaluation import DifferenceFigure, EvaluationAnswer, Figure, Figures


def print_online(found: EvaluationAnswer) -> None:
    """Print figures by variant and day, differences with what they show, and remarks."""
    put(f"lists from {_time(found.since)} until {_time(found.until)}, first {found.k} places, 95 % intervals by users")
    if found.variants:
        put(_figures(found))
    for each in found.differences or ():
        put(_told(each))
    for remark in found.remarks:
        put(f"note: {remark}")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _figures(found: EvaluationAnswer) -> Any:
    kinds = sorted({kind for variant in found.variants for kind in variant.conversions})
    names = ["variant", "day", "lists", "users", f"CTR@{found.k}", "MRR", *kinds, "coverage", "new items", "fallback"]
    table = new_table(*names)
    for variant in found.variants:
        table.add_row(*_row(variant.variant, "all", variant, kinds))
        for day in variant.days:
            table.add_row(*_row("", day.day.isoformat(), day, kinds))
    return table


def _row(variant: str, day: str, figures: Figures, kinds: list[str]) -> list[str]:
    conversions = [_shown(figures.conversions.get(kind)) for kind in kinds]
    return [
        variant,
        day,
        f"{figures.impressions:,}",
        f"{figures.users:,}",
        _shown(figures.ctr),
        _shown(figures.mrr),
        *conversions,
        f"{figures.coverage:.3f}",
        _shown(figures.new_item_share),
        _shown(figures.fallback_share),
    ]


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.4f}"
    return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"


def _told(each: DifferenceFigure) -> str:
    relative = f", {each.relative:+.1%}" if each.relative is not None else ""
    head = f"{each.metric}: candidate − active {each.value:+.4f} [{each.low:+.4f}, {each.high:+.4f}]{relative}: "
    if each.smallest_difference is None or each.detectable_difference is None:
        return f"{head}no verdict with so few users"
    verdict = {"above": "the candidate is better", "below": "the candidate is worse", "open": "no winner"}
    return (
        f"{head}{verdict[each.verdict]}; at any number of looks {each.smallest_difference:.4f} counts, and a true "
        f"difference of {each.detectable_difference:.4f} is found in four of five such samples"
    )


def print_simulation(done: Mapping[str, Any]) -> None:
    """Print what shoppers did by week and variant, and what the service should find."""
    weeks = new_table("week", "variant", "shoppers", "returned", "visits", "clicks", "bought", "types", "new items")
    for row in done["weeks"]:
        names = ("week", "variant", "shoppers", "returned", "visits", "clicks", "bought", "types", "new_items")
        weeks.add_row(*(str(row[name]) for name in names))
    put(weeks)
    for name, truth in done["truth"].items():
        put(f"{name}: {truth['visits']:,} lists, expected CTR {truth['ctr']:.4f}, found {truth['clicked']:.4f}")
