"""Write the report of a run: `report.md` and its figures, from computed numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexirec.reporting.content import (
    PROTOCOLS,
    Breakdown,
    LevelCensus,
    Listing,
    Protocol,
    ReportContent,
    Shopper,
    SystemResult,
    number,
    standings,
    summary,
)
from lexirec.reporting.published_rows import published_part
from lexirec.reporting.tables import best_values, in_words, metric_columns

_KS = (5, 10)


def write_report(folder: str | Path, content: ReportContent) -> Path:
    """Write `report.md` with its figures (PNG shown, SVG beside) into `folder` (created if absent).

    Empty parts of `content` are left out; equal content gives equal files.

    Returns:
        The path of `report.md`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = _draw(folder, content)
    parts = [
        f"# {plain(content.title)}",
        content.lead,
        *_metrics_part(content, figures),
        *published_part(content.published, plain),
        *_protocol_part(content.protocol),
        *_learning_part(content, figures),
        *_breakdown_parts(content.breakdowns, figures),
        *_listing_parts(content.listings),
        *_census_part(content.census, figures),
        *_shoppers_part(content.shoppers),
        *_next_part(content.next_steps),
    ]
    path = folder / "report.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return path


def _draw(folder: Path, content: ReportContent) -> dict[str, str]:
    """Draw every figure that has data; return part -> file name."""
    # matplotlib takes long to import, and terminal tables do not need it
    from lexirec.reporting import run_figures, style

    files = {}
    if content.systems:
        files["systems"] = style.save(run_figures.systems_figure(content.systems), folder, "systems")
    if content.learning and (content.learning.loss or content.learning.validation):
        files["learning"] = style.save(run_figures.learning_figure(content.learning), folder, "learning")
    for breakdown in content.breakdowns:
        figure = run_figures.breakdown_figure(breakdown, content.systems)
        files[breakdown.title] = style.save(figure, folder, f"by-{_slug(breakdown.title)}")
    if content.census:
        files["census"] = style.save(run_figures.census_figure(content.census), folder, "identifiers")
    return files


def _metrics_part(content: ReportContent, figures: Mapping[str, str]) -> Iterable[str]:
    if not content.systems:
        return
    yield "## Metrics"
    for protocol in PROTOCOLS:
        columns = [metric for each, metric in metric_columns(content.systems, _KS) if each == protocol]
        if columns:
            yield f"**{PROTOCOLS[protocol].capitalize()}**"
            yield _metrics_table(content.systems, protocol, columns)
    yield "\n".join(f"- {_stress(verdict, plain(sentence))}" for verdict, sentence in summary(content.systems))
    yield _image("Headline metrics by system", figures["systems"])


def _metrics_table(systems: Sequence[SystemResult], protocol: Protocol, columns: Sequence[str]) -> str:
    best = best_values(systems, [(protocol, metric) for metric in columns])
    verdicts = {s.system: s.verdict for s in standings(systems) if s.protocol == protocol}
    rows = []
    for system in systems:
        values = [system.metrics(protocol).get(metric) for metric in columns]
        shown = [
            f"**{number(value)}**" if value is not None and value == best[protocol, metric] else number(value)
            for metric, value in zip(columns, values, strict=True)
        ]
        against = (
            "reference" if system.floor else _stress(verdicts.get(system.name, ""), verdicts.get(system.name, "–"))
        )
        rows.append([f"**{plain(system.name)}**" if system.main else plain(system.name), *shown, against])
    return _table(
        ["system", *columns, "against the references, in these users"], rows, numeric=range(1, len(columns) + 1)
    )


def _stress(verdict: str | None, text: str) -> str:
    """Set verdicts short of the reference baselines in bold."""
    return f"**{text}**" if verdict in ("below", "mixed") else text


def _protocol_part(protocol: Mapping[str, Any]) -> Iterable[str]:
    if protocol:
        yield "## Protocol"
        rows = [[plain(name.replace("_", " ")), plain(in_words(value))] for name, value in protocol.items()]
        yield _table(["", "value"], rows)


def _learning_part(content: ReportContent, figures: Mapping[str, str]) -> Iterable[str]:
    if content.learning and "learning" in figures:
        yield "## Learning curve"
        if content.learning.best_step is not None:
            step, metric = content.learning.best_step, content.learning.metric
            yield f"Validation {metric} selected the checkpoint of step {step:,}."
        yield _image("Validation metric and training loss by step", figures["learning"])


def _breakdown_parts(breakdowns: Sequence[Breakdown], figures: Mapping[str, str]) -> Iterable[str]:
    for breakdown in breakdowns:
        heading = f"{breakdown.metric} by {breakdown.title}"
        yield f"## {heading[:1].upper()}{heading[1:]}"
        header = [breakdown.title, "cases", *(plain(system) for system in breakdown.values)]
        rows = [
            [plain(group), f"{cases:,}", *(number(row[i]) for row in breakdown.values.values())]
            for i, (group, cases) in enumerate(zip(breakdown.groups, breakdown.cases, strict=True))
        ]
        yield _table(header, rows, numeric=range(1, len(header)))
        yield plain(breakdown.note)
        yield _image(heading, figures[breakdown.title])


def _listing_parts(listings: Sequence[Listing]) -> Iterable[str]:
    for listing in listings:
        yield f"## {plain(listing.title)}"
        header = ["system", *map(plain, listing.columns)]
        rows = [[plain(system), *map(plain, row)] for system, row in listing.rows.items()]
        yield _table(header, rows, numeric=range(1, len(header)))
        yield plain(listing.note)


def _census_part(census: Sequence[LevelCensus], figures: Mapping[str, str]) -> Iterable[str]:
    if not census:
        return
    yield "## Identifiers"
    header = ["level", "distinct prefixes", "distinct tokens", "largest cell", "entropy (bits)", "single child"]
    rows = [
        [
            str(row.level),
            f"{row.cells:,}",
            f"{row.tokens:,}",
            f"{row.largest:,}",
            f"{row.entropy:.2f}",
            f"{row.single_child:.1%}",
        ]
        for row in census
    ]
    yield _table(header, rows, numeric=range(len(header)))
    yield _image("Identifiers by level", figures["census"])


def _shoppers_part(shoppers: Sequence[Shopper]) -> Iterable[str]:
    if shoppers:
        yield "## Example recommendations"
    for shopper in shoppers:
        yield f"### {plain(shopper.name)}"
        yield "Bought, oldest first:\n\n" + "\n".join(f"- {plain(title)}" for title in shopper.history)
        lines = [
            f"{place}. **{plain(each.title)}** ← bought next" if each.hit else f"{place}. {plain(each.title)}"
            for place, each in enumerate(shopper.suggestions, start=1)
        ]
        yield "Recommended:\n\n" + "\n".join(lines)
        if shopper.target is not None and not any(each.hit for each in shopper.suggestions):
            yield f"Bought next, not recommended: {plain(shopper.target)}"


def _next_part(steps: Sequence[str]) -> Iterable[str]:
    if steps:
        yield "## What to try next"
        yield "\n".join(f"- {step}" for step in steps)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    right = set(numeric)
    rule = ["---:" if column in right else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def _image(words: str, file: str) -> str:
    return f"![{words}]({file})"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def plain(text: str) -> str:
    """Escape text for a Markdown table or list: one line, no markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
