"""Results table of several systems: metrics with intervals, seeds, and verdicts on the differences from a baseline.

Rows are systems, in the order given; columns are metrics, a table per treatment of seen items. P-values are corrected
over all systems of the table, metric by metric (Holm).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.evaluation.bootstrap import STANDARD, Bootstrap
from lexirec.evaluation.significance import Estimate
from lexirec.evaluation.verdicts import FEW_SEEDS, Verdict
from lexirec.reporting.content import number, seen_in_words, short
from lexirec.reporting.forest import LEGEND, Standing, standings_figure
from lexirec.reporting.style import save
from lexirec.workflows.comparison.compare import STYLES, Comparison, compare_systems
from lexirec.workflows.comparison.systems import stored_systems, usual_baseline

METRICS = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")
"""Default columns."""
_MARKS: Mapping[Verdict, str] = {
    "above": " ▲",
    "below": " ▼",
    "above in these users": " △",
    "below in these users": " ▽",
    "open": "",
}


@dataclass(frozen=True)
class ResultsTable:
    """Systems compared with a baseline in several metrics.

    Attributes:
        comparisons: treatment of seen items (`excluded`, `included`) -> metric -> comparison; all of the same systems.
        runs: system -> its stored runs, in the notation of `compare`.
    """

    comparisons: Mapping[str, Mapping[str, Comparison]]
    runs: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return every comparison as plain JSON values: treatment of seen items -> metric -> comparison."""
        return {
            seen: {metric: comparison.as_json() for metric, comparison in by_metric.items()}
            for seen, by_metric in self.comparisons.items()
        }

    def tables(self) -> list[Table]:
        """Return terminal tables, one per treatment of seen items, two lines per system."""
        return [self._table(seen) for seen in self.comparisons]

    def markdown(self) -> str:
        """Return the results as Markdown: a table per treatment of seen items, and a legend of the marks."""
        parts = []
        for seen, by_metric in self.comparisons.items():
            heads = ["system", *(short(metric) for metric in by_metric), "seeds", "best seed"]
            rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *self._rows(seen)]
            lines = ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows]
            title = seen_in_words(seen).capitalize()
            parts.append("\n".join([f"**{title}**", "", *lines]))
        runs = [f"- {name}: `{run}`" for name, run in self.runs.items()]
        return "\n\n".join([*parts, self._words(), "\n".join(["Stored runs:", "", *runs])]) + "\n"

    def draw(self, folder: str | Path, name: str = "table") -> Path:
        """Draw all systems in the headline metric into `name.png` and `name.svg`; return the PNG's path.

        The headline metric is the last one, by default NDCG@10; a panel per treatment of seen items.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        comparison = self._headline(next(iter(self.comparisons)))
        panels = {seen_in_words(seen).capitalize(): self._standings(seen) for seen in self.comparisons}
        figure = standings_figure(
            panels,
            baseline=comparison.baseline,
            title=f"{comparison.metric}; the line is {comparison.baseline}",
            label=f"{comparison.metric} with {comparison.bootstrap.level:.0%} interval",
            legend={side: words.replace(side, f"{side} {comparison.baseline}", 1) for side, words in LEGEND.items()},
        )
        return Path(folder) / save(figure, Path(folder), name)

    def _standings(self, seen: str) -> list[Standing]:
        comparison = self._headline(seen)
        return [
            Standing(name, each.value, each.interval, _side(comparison, name), each.seeds)
            for name, each in comparison.systems.items()
        ]

    def _rows(self, seen: str) -> Iterator[list[str]]:
        """Yield a row of cells per system, each metric with its interval and mark."""
        by_metric = self.comparisons[seen]
        for name in next(iter(by_metric.values())).systems:
            cells = [_cell(comparison, name) for comparison in by_metric.values()]
            seeds = self._headline(seen).systems[name]
            yield [name, *cells, _seeds(seeds), _best(seeds)]

    def _table(self, seen: str) -> Table:
        by_metric, title = self.comparisons[seen], seen_in_words(seen)
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("system", overflow="fold")
        for head in (*(short(metric) for metric in by_metric), "seeds\n±", "best"):
            table.add_column(head, justify="right", overflow="fold")
        for name in next(iter(by_metric.values())).systems:
            cells = [_two_lines(comparison, name) for comparison in by_metric.values()]
            seeds = self._headline(seen).systems[name]
            spread = "" if seeds.spread is None else number(seeds.spread)
            table.add_row(Text(name), *cells, f"{len(seeds.seeds)}\n{spread}", _best(seeds))
        table.caption, table.caption_justify = self._words(), "left"
        return table

    def _headline(self, seen: str) -> Comparison:
        """Return the comparison in the headline metric: the last one, by default NDCG@10."""
        return list(self.comparisons[seen].values())[-1]

    def _words(self) -> str:
        comparison = self._headline(next(iter(self.comparisons)))
        any_difference = next(iter(comparison.differences.values()))
        level = f"{comparison.bootstrap.level:.0%}".replace("%", " %")
        return (
            f"Means over seeds with {level} intervals ({comparison.bootstrap.replicates:,} resamples of "
            f"{any_difference.users:,} users with all their {any_difference.cases:,} cases, and of seeds). ▲ ▼: "
            f"shown to be above or below {comparison.baseline}, p < {1 - comparison.bootstrap.level:.2f} after Holm "
            f"over {len(comparison.differences)}. Seeds and the best of them by {short(comparison.metric)}."
            + (f" △ ▽, {FEW_SEEDS}." if comparison.few_seeds else "")
        )


def results_table(
    store: Store,
    names: Sequence[str],
    *,
    baseline: str | None = None,
    metrics: Sequence[str] = METRICS,
    seen: Sequence[str] = ("excluded", "included"),
    bootstrap: Bootstrap = STANDARD,
) -> ResultsTable:
    """Build the results table of several systems from stored evaluations.

    Args:
        store: where the experiments are.
        names: systems, as in `systems.compare_named`.
        baseline: label or name (as in `names`) of the baseline; by default the first, and the best baseline where one
            experiment's recommenders are compared.
        metrics: such as `ndcg@10`.
        seen: treatments of seen items, a table each.
        bootstrap: replicates, level and seed of the intervals.

    Raises:
        ArtifactError: a run has not finished, an evaluation is missing, or protocols differ.
        SettingsError: a name, the baseline or a metric is invalid, or there is none.
    """
    if not metrics or not seen:
        raise SettingsError("results table: give a metric and a treatment of seen items, such as ndcg@10, excluded")
    comparisons: dict[str, dict[str, Comparison]] = {}
    labels: dict[str, str] = {}
    for protocol in seen:
        systems, labels = stored_systems(store, names, seen=protocol)
        # one baseline for all columns: the best in the last metric under the first treatment
        baseline = labels.get(baseline, baseline) if baseline else usual_baseline(store, names, systems, metrics[-1])
        comparisons[protocol] = {
            metric: compare_systems(systems, baseline=baseline, metric=metric, bootstrap=bootstrap)
            for metric in metrics
        }
    return ResultsTable(comparisons, {label: given.rpartition("=")[2] for given, label in labels.items()})


def _cell(comparison: Comparison, name: str) -> str:
    low, high = comparison.systems[name].interval
    return f"{number(comparison.systems[name].value)}{_MARKS[_side(comparison, name)]} [{number(low)}, {number(high)}]"


def _two_lines(comparison: Comparison, name: str) -> Text:
    low, high = comparison.systems[name].interval
    side = _side(comparison, name)
    above = f"{_MARKS[side]} {number(comparison.systems[name].value)}".strip()
    return Text.assemble((above, STYLES.get(side, "")), "\n", (f"{number(low)}–{number(high)}", "dim"))


def _side(comparison: Comparison, name: str) -> Verdict:
    return comparison.verdict(name) if name in comparison.differences else "open"


def _seeds(estimate: Estimate) -> str:
    return "1" if estimate.spread is None else f"{len(estimate.seeds)} ± {number(estimate.spread)}"


def _best(estimate: Estimate) -> str:
    return number(max(estimate.seeds))


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
