"""Many systems in one table: every metric with its interval, seeds, and which differences from a baseline are shown.

Rows are systems, in the order given; columns are metrics, once for each treatment of seen items. What is shown is
corrected for all systems of the table at once, metric by metric (Holm).
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
from lexirec.reporting.content import number, seen_in_words, short
from lexirec.reporting.forest import Side, Standing, standings_figure
from lexirec.reporting.style import save
from lexirec.workflows.comparison.compare import ONE_SEED, STYLES, Comparison, compare_systems
from lexirec.workflows.comparison.systems import stored_systems, usual_baseline

METRICS = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")
"""What a table tells by default."""
_MARKS: Mapping[Side, str] = {"above": " ▲", "below": " ▼", "open": ""}


@dataclass(frozen=True)
class ResultsTable:
    """Systems beside a baseline in several metrics.

    Attributes:
        comparisons: treatment of seen items (`excluded`, `included`) -> metric -> comparison; all of the same systems.
        runs: system -> the stored runs it stands for, as `compare` takes them.
    """

    comparisons: Mapping[str, Mapping[str, Comparison]]
    runs: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return every comparison as plain JSON values: treatment of seen items -> metric -> comparison."""
        return {
            seen: {metric: found.as_json() for metric, found in by_metric.items()}
            for seen, by_metric in self.comparisons.items()
        }

    def tables(self) -> list[Table]:
        """Lay the results out for a terminal: a table for each treatment of seen items, two lines a system."""
        return [self._table(seen) for seen in self.comparisons]

    def markdown(self) -> str:
        """Write the results as Markdown: a table for each treatment of seen items, and what the marks mean."""
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

        The headline metric is the last one's, by default NDCG@10; treatments of seen items stand side by side.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        found = self._headline(next(iter(self.comparisons)))
        panels = {seen_in_words(seen).capitalize(): self._standings(seen) for seen in self.comparisons}
        above, below = (f"shown to be {side} {found.baseline}" for side in ("above", "below"))
        figure = standings_figure(
            panels,
            baseline=found.baseline,
            title=f"{found.metric}; the line is {found.baseline}",
            label=f"{found.metric} with {found.bootstrap.level:.0%} interval",
            legend={"above": above, "below": below, "open": "no difference shown"},
        )
        return Path(folder) / save(figure, Path(folder), name)

    def _standings(self, seen: str) -> list[Standing]:
        found = self._headline(seen)
        return [
            Standing(name, each.value, each.interval, _side(found, name), each.seeds)
            for name, each in found.systems.items()
        ]

    def _rows(self, seen: str) -> Iterator[list[str]]:
        """Write one row of cells per system, each metric with its interval and mark."""
        by_metric = self.comparisons[seen]
        for name in next(iter(by_metric.values())).systems:
            cells = [_cell(found, name) for found in by_metric.values()]
            seeds = self._headline(seen).systems[name]
            yield [name, *cells, _seeds(seeds), _best(seeds)]

    def _table(self, seen: str) -> Table:
        by_metric, title = self.comparisons[seen], seen_in_words(seen)
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("system", overflow="fold")
        for head in (*(short(metric) for metric in by_metric), "seeds\n±", "best"):
            table.add_column(head, justify="right", overflow="fold")
        for name in next(iter(by_metric.values())).systems:
            cells = [_two_lines(found, name) for found in by_metric.values()]
            seeds = self._headline(seen).systems[name]
            spread = "" if seeds.spread is None else number(seeds.spread)
            table.add_row(Text(name), *cells, f"{len(seeds.seeds)}\n{spread}", _best(seeds))
        table.caption, table.caption_justify = self._words(), "left"
        return table

    def _headline(self, seen: str) -> Comparison:
        """Return the comparison whose seeds are told: the last metric's, by default NDCG@10."""
        return list(self.comparisons[seen].values())[-1]

    def _words(self) -> str:
        found = self._headline(next(iter(self.comparisons)))
        any_difference = next(iter(found.differences.values()))
        level = f"{found.bootstrap.level:.0%}".replace("%", " %")
        return (
            f"Means over seeds with {level} intervals ({found.bootstrap.replicates:,} resamples of "
            f"{any_difference.users:,} users with all their {any_difference.cases:,} cases, and of seeds). ▲ ▼: shown "
            f"to be above or below {found.baseline}, p < {1 - found.bootstrap.level:.2f} after Holm over "
            f"{len(found.differences)}. Seeds and the best of them by {short(found.metric)}."
            + (f" Rows with {ONE_SEED}." if found.one_seed else "")
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
    """Put stored evaluations of several systems into one table.

    Args:
        store: where the experiments are.
        names: systems, as `named_systems.compare_named` takes them.
        baseline: what the others are compared with, by its label or as it stands in `names`; by default the first, and
            where one experiment's recommenders are told, the best of its baselines.
        metrics: such as `ndcg@10`.
        seen: treatments of seen items; each is a table.
        bootstrap: replicates, level and seed of the intervals.

    Raises:
        ArtifactError: something has not finished or was not measured, or systems were not measured alike.
        SettingsError: a name, the baseline or a metric cannot be understood, or there is none.
    """
    if not metrics or not seen:
        raise SettingsError("a results table needs a metric and a treatment of seen items; such as ndcg@10, excluded")
    comparisons: dict[str, dict[str, Comparison]] = {}
    labels: dict[str, str] = {}
    for protocol in seen:
        systems, labels = stored_systems(store, names, seen=protocol)
        # one for all columns: the hardest to beat in the last metric under the first treatment
        baseline = labels.get(baseline, baseline) if baseline else usual_baseline(store, names, systems, metrics[-1])
        comparisons[protocol] = {
            metric: compare_systems(systems, baseline=baseline, metric=metric, bootstrap=bootstrap)
            for metric in metrics
        }
    return ResultsTable(comparisons, {label: given.rpartition("=")[2] for given, label in labels.items()})


def _cell(found: Comparison, name: str) -> str:
    low, high = found.systems[name].interval
    return f"{number(found.systems[name].value)}{_MARKS[_side(found, name)]} [{number(low)}, {number(high)}]"


def _two_lines(found: Comparison, name: str) -> Text:
    low, high = found.systems[name].interval
    side = _side(found, name)
    above = f"{_MARKS[side]} {number(found.systems[name].value)}".strip()
    return Text.assemble((above, STYLES[side]), "\n", (f"{number(low)}–{number(high)}", "dim"))


def _side(found: Comparison, name: str) -> Side:
    return found.side(name) if name in found.differences else "open"


def _seeds(found: Estimate) -> str:
    return "1" if found.spread is None else f"{len(found.seeds)} ± {number(found.spread)}"


def _best(found: Estimate) -> str:
    return number(max(found.seeds))


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
