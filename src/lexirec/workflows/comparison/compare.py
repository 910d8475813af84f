"""Compare systems with a baseline: paired differences, intervals, Holm-corrected tests, minimum detectable difference.

Only evaluations of the same catalogue, cases and treatment of seen items can be compared (`comparability`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.evaluation.bootstrap import STANDARD, Bootstrap, Interval
from lexirec.evaluation.significance import Difference, Estimate, compare_ranks, estimate_ranks, holm
from lexirec.evaluation.verdicts import FEW_SEEDS, SEEDS_NEEDED, Verdict, enough, training_seeds, verdict
from lexirec.reporting.content import number, seen_in_words
from lexirec.reporting.forest import LEGEND, Effect, forest_figure, signed
from lexirec.reporting.style import save
from lexirec.workflows.comparison.comparability import Systems, check_comparable, seen_items

STYLES: Mapping[Verdict, str] = {"above": "green", "below": "red"}
"""Terminal colours of what is shown."""


@dataclass(frozen=True)
class Comparison:
    """Systems compared with a baseline.

    Attributes:
        metric: such as `ndcg@10`.
        baseline: the system that the others are compared with.
        systems: every system's metric, in the order given.
        differences: difference of each other system from the baseline.
        adjusted: their p-values after Holm's correction.
        seeds: every system's number of training seeds; None where its results depend on no seed.
        seen: treatment of seen items: `excluded`, `included`.
        bootstrap: settings of the intervals.
    """

    metric: str
    baseline: str
    systems: dict[str, Estimate]
    differences: dict[str, Difference]
    adjusted: dict[str, float]
    seeds: dict[str, int | None]
    seen: str
    bootstrap: Bootstrap

    @property
    def few_seeds(self) -> bool:
        """Whether a system depends on seeds and has too few of them for a shown difference."""
        return not enough(tuple(self.seeds.values()))

    def verdict(self, name: str) -> Verdict:
        """Return the verdict on a system's difference from the baseline, p-values after Holm's correction."""
        sides = (self.seeds[name], self.seeds[self.baseline])
        return verdict(self.differences[name].value, self.adjusted[name], self.bootstrap.level, sides)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row per system; the baseline's has None for the difference."""
        return [self._row(name) for name in self.systems]

    def as_json(self) -> dict[str, Any]:
        """Return rows and settings as plain JSON values."""
        return {
            "metric": self.metric,
            "baseline": self.baseline,
            "seen": self.seen,
            "users": self._any.users,
            "cases": self._any.cases,
            "comparisons": len(self.differences),
            "replicates": self.bootstrap.replicates,
            "level": self.bootstrap.level,
            "bootstrap_seed": self.bootstrap.seed,
            "seeds_needed": SEEDS_NEEDED,
            "baseline_seeds": self.seeds[self.baseline],
            "systems": [{name: _plain(value) for name, value in row.items()} for row in self.rows()],
        }

    def table(self) -> Table:
        """Return the terminal table, two lines per system; green is shown to be above, red below."""
        title = f"{self.metric} compared with {self.baseline}, {seen_in_words(self.seen)}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        level = f"{self.bootstrap.level:.0%} interval".replace("%", " %")
        heads = (
            f"{self.metric}\n{level}",
            "seeds\n±",
            f"difference\n{level}",
            "p\nHolm",
            "d",
            "better\nworse",
            "detectable",
        )
        table.add_column("system", overflow="fold")
        for head in heads:
            table.add_column(head, justify="right", overflow="fold")
        table.add_column("outcome", overflow="fold")
        for name in self.systems:
            table.add_row(Text(name), *self._cells(name))
        table.caption, table.caption_justify = Text(self._words()), "left"
        return table

    def text(self) -> str:
        """Return the table as text."""
        console = Console(file=io.StringIO(), width=160, color_system=None)
        console.print(self.table())
        written: str = console.file.getvalue()  # type: ignore[attr-defined]
        return written.rstrip()

    def draw(self, folder: str | Path, name: str = "comparison") -> Path:
        """Draw the differences with their intervals into `name.png` and `name.svg`; return the PNG's path."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        effects = [
            Effect(system, difference.value, difference.interval, self.verdict(system), self._note(system))
            for system, difference in self.differences.items()
        ]
        figure = forest_figure(
            effects,
            title=f"{self.metric} compared with {self.baseline}",
            label=f"difference of {self.metric} with {self.bootstrap.level:.0%} interval, p after Holm; "
            f"{self._any.users:,} users, {seen_in_words(self.seen)}",
            legend=LEGEND,
        )
        return Path(folder) / save(figure, Path(folder), name)

    @property
    def _any(self) -> Difference:
        return next(iter(self.differences.values()))

    def _row(self, name: str) -> dict[str, Any]:
        system, difference = self.systems[name], self.differences.get(name)
        row: dict[str, Any] = {
            "system": name,
            "value": system.value,
            "interval": system.interval,
            "seeds": system.seeds,
            "training_seeds": self.seeds[name],
            "spread": system.spread,
        }
        names = ("relative", "corrected", "effect", "better", "worse")
        return {
            **row,
            "difference": difference and difference.value,
            "difference_interval": difference and difference.interval,
            "p": difference and difference.p_value,
            "p_holm": difference and self.adjusted[name],
            **{each: difference and getattr(difference, each) for each in names},
            "detectable": difference and difference.detectable(comparisons=len(self.differences)),
            "verdict": difference and self.verdict(name),
            "shown": difference and self._shown(name),
        }

    def _shown(self, name: str) -> Verdict:
        """Return the verdict, `open` where it holds in these users only."""
        found = self.verdict(name)
        return found if found in STYLES else "open"

    def _cells(self, name: str) -> list[Text]:
        row = self._row(name)
        spread = "" if row["spread"] is None else number(row["spread"])
        own = [_two(number(row["value"]), _between(row["interval"], number, "–")), _two(str(len(row["seeds"])), spread)]
        if row["difference"] is None:
            return [*own, Text("baseline")]
        difference = f"{signed(row['difference'])} ({_percent(row['relative'], '+')})"
        style = STYLES.get(row["verdict"], "")
        side, _, restriction = row["verdict"].partition(" ")
        return [
            *own,
            _two(difference, _between(row["difference_interval"], signed, " … "), style),
            _two(number(row["p"]), number(row["p_holm"])),
            Text(f"{row['effect']:+.2f}".replace("-", "−")),
            _two(_percent(row["better"]), _percent(row["worse"])),
            Text(number(row["detectable"])),
            _two(side, restriction, style),
        ]

    def _note(self, name: str) -> str:
        difference = self.differences[name]
        return f"{signed(difference.value)} ({_percent(difference.relative, '+')}), p {number(self.adjusted[name])}"

    def _words(self) -> str:
        count, users = len(self.differences), self._any.users
        return (
            f"paired over {self._any.cases:,} cases; {self.bootstrap.replicates:,} resamples of {users:,} users with "
            f"all their cases; Holm over {count} {'comparison' if count == 1 else 'comparisons'}\n"
            "d: Cohen's d over users; better, worse: share of users who gain, who lose; detectable: minimum difference "
            "found with 80 % power after Holm; open: no difference shown, which does not show equality"
            + ("\n" + FEW_SEEDS if self.few_seeds else "")
        )


def compare_systems(
    systems: Systems,
    *,
    baseline: str | None = None,
    metric: str = "ndcg@10",
    bootstrap: Bootstrap = STANDARD,
) -> Comparison:
    """Compare systems, evaluated on the same cases with one or several seeds, with a baseline among them.

    Args:
        systems: name -> its reports, one per seed; two systems or more.
        baseline: name of the baseline; the first by default.
        metric: `recall@k`, `ndcg@k` or `mrr@k`.
        bootstrap: replicates, level and seed of the intervals.

    Raises:
        ArtifactError: their protocols or cases differ; the message names the difference.
        SettingsError: fewer than two systems, an unknown baseline or metric, or lists shorter than k.
    """
    baseline = _known(baseline, systems)
    name, k = _metric(metric, systems)
    users = check_comparable(systems)
    ranks = {system: np.stack([report.ranks for report in reports]) for system, reports in systems.items()}
    estimates = {
        system: estimate_ranks(rows, users, metric=name, k=k, bootstrap=bootstrap) for system, rows in ranks.items()
    }
    differences = {
        system: compare_ranks(rows, ranks[baseline], users, metric=name, k=k, bootstrap=bootstrap)
        for system, rows in ranks.items()
        if system != baseline
    }
    adjusted = holm([difference.p_value for difference in differences.values()]).tolist()
    seen = seen_items(systems[baseline][0])
    return Comparison(
        metric,
        baseline,
        estimates,
        differences,
        dict(zip(differences, adjusted, strict=True)),
        {system: training_seeds(reports) for system, reports in systems.items()},
        seen,
        bootstrap,
    )


def _known(baseline: str | None, systems: Systems) -> str:
    if len(systems) < 2 or not all(systems.values()):
        raise SettingsError(f"compare: got {', '.join(systems) or 'no system'}; give two systems or more")
    if baseline is None:
        return next(iter(systems))
    if baseline not in systems:
        hint = did_you_mean(baseline, systems)
        raise SettingsError(f"compare: baseline '{baseline}' is not among {', '.join(systems)}.{hint}")
    return baseline


def _metric(metric: str, systems: Systems) -> tuple[str, int]:
    name, _, places = metric.partition("@")
    if not places.isdecimal():
        raise SettingsError(f"metric '{metric}': must have the form ndcg@10, recall@5 or mrr@20")
    lengths = [report.protocol.get("list_length", int(places)) for reports in systems.values() for report in reports]
    if int(places) > min(lengths):
        raise SettingsError(f"metric '{metric}': the lists hold {min(lengths)} items; use @{min(lengths)} or less")
    return name, int(places)


def _two(upper: str, lower: str, style: str = "") -> Text:
    return Text.assemble((upper, style), "\n", (lower, "dim"))


def _between(interval: Interval, write: Callable[[float], str], between: str) -> str:
    return between.join(map(write, interval))


def _percent(share: float, sign: str = "") -> str:
    return "–" if np.isnan(share) else f"{share:{sign}.1%}".replace("-", "−").replace("%", " %")


def _plain(value: Any) -> Any:
    """Convert tuples and NaN, which JSON lacks."""
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and np.isnan(value) else value
