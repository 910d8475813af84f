"""Systems beside a baseline: who is better beyond chance, by how much, and what this test set could have shown.

Figures stand beside each other only where they were made alike: the same catalogue, cases and treatment of seen items.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lexirec.core.errors import ArtifactError, SettingsError, did_you_mean
from lexirec.evaluation.bootstrap import STANDARD, Bootstrap, Interval
from lexirec.evaluation.evaluator import Report
from lexirec.evaluation.significance import Difference, Estimate, compare_ranks, estimate_ranks, holm
from lexirec.pipeline.results import not_alike, told_apart
from lexirec.reporting.content import number, seen_in_words
from lexirec.reporting.forest import Effect, Side, forest_figure, signed
from lexirec.reporting.style import save

Systems = Mapping[str, Sequence[Report]]
"""Name -> reports of one system, one for every seed it was trained with."""
ONE_SEED = "one seed: what is learned with another seed may differ by more than the interval says; run several"
"""What is said where a system has one seed: users were drawn anew, trainings were not."""
STYLES: Mapping[Side, str] = {"above": "green", "below": "red", "open": ""}
"""Colours of a terminal for what was shown."""


@dataclass(frozen=True)
class Comparison:
    """Systems beside a baseline.

    Attributes:
        metric: such as `ndcg@10`.
        baseline: the system that the others are compared with.
        systems: every system's metric, in the order given.
        differences: how far each of the others is above the baseline.
        adjusted: their p-values, adjusted for being many (Holm).
        seen: whether items of the history could be recommended: `excluded`, `included`.
        bootstrap: how intervals were made.
    """

    metric: str
    baseline: str
    systems: dict[str, Estimate]
    differences: dict[str, Difference]
    adjusted: dict[str, float]
    seen: str
    bootstrap: Bootstrap

    @property
    def one_seed(self) -> bool:
        """Whether there is a system with one seed only."""
        return any(len(found.seeds) == 1 for found in self.systems.values())

    def side(self, name: str) -> Side:
        """Return whether a system was shown to be above or below the baseline, with Holm's correction; else `open`."""
        if self.adjusted[name] >= 1 - self.bootstrap.level:
            return "open"
        return "above" if self.differences[name].value > 0 else "below"

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row per system; the baseline's has no difference (None)."""
        return [self._row(name) for name in self.systems]

    def as_json(self) -> dict[str, Any]:
        """Return rows and how they were made, as plain JSON values."""
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
            "systems": [{name: _plain(value) for name, value in row.items()} for row in self.rows()],
        }

    def table(self) -> Table:
        """Lay the comparison out for a terminal, two lines a system; green is shown above, red shown below."""
        title = f"{self.metric} beside {self.baseline}, {seen_in_words(self.seen)}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        level = f"{self.bootstrap.level:.0%} interval".replace("%", " %")
        heads = (
            f"{self.metric}\n{level}",
            "seeds\n±",
            f"difference\n{level}",
            "p\nHolm",
            "d",
            "better\nworse",
            "finds",
        )
        table.add_column("system", overflow="fold")
        for head in heads:
            table.add_column(head, justify="right", overflow="fold")
        table.add_column("shown", overflow="fold")
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
            Effect(system, found.value, found.interval, self.side(system), self._note(system))
            for system, found in self.differences.items()
        ]
        legend: dict[Side, str] = {"above": "above", "below": "below", "open": "no difference shown"}
        figure = forest_figure(
            effects,
            title=f"{self.metric} beside {self.baseline}",
            label=f"difference of {self.metric} with {self.bootstrap.level:.0%} interval, p after Holm; "
            f"{self._any.users:,} users, {seen_in_words(self.seen)}",
            legend=legend,
        )
        return Path(folder) / save(figure, Path(folder), name)

    @property
    def _any(self) -> Difference:
        return next(iter(self.differences.values()))

    def _row(self, name: str) -> dict[str, Any]:
        system, found = self.systems[name], self.differences.get(name)
        row: dict[str, Any] = {
            "system": name,
            "value": system.value,
            "interval": system.interval,
            "seeds": system.seeds,
            "spread": system.spread,
        }
        names = ("relative", "corrected", "effect", "better", "worse")
        return {
            **row,
            "difference": found and found.value,
            "difference_interval": found and found.interval,
            "p": found and found.p_value,
            "p_holm": found and self.adjusted[name],
            **{each: found and getattr(found, each) for each in names},
            "detectable": found and found.detectable(comparisons=len(self.differences)),
            "shown": found and self.side(name),
        }

    def _cells(self, name: str) -> list[Text]:
        row = self._row(name)
        spread = "" if row["spread"] is None else number(row["spread"])
        own = [_two(number(row["value"]), _between(row["interval"], number, "–")), _two(str(len(row["seeds"])), spread)]
        if row["difference"] is None:
            return [*own, Text("baseline")]
        difference = f"{signed(row['difference'])} ({_percent(row['relative'], '+')})"
        style = STYLES[row["shown"]]
        return [
            *own,
            _two(difference, _between(row["difference_interval"], signed, " … "), style),
            _two(number(row["p"]), number(row["p_holm"])),
            Text(f"{row['effect']:+.2f}".replace("-", "−")),
            _two(_percent(row["better"]), _percent(row["worse"])),
            Text(number(row["detectable"])),
            Text(row["shown"], style),
        ]

    def _note(self, name: str) -> str:
        found = self.differences[name]
        return f"{signed(found.value)} ({_percent(found.relative, '+')}), p {number(self.adjusted[name])}"

    def _words(self) -> str:
        count, users = len(self.differences), self._any.users
        return (
            f"paired over {self._any.cases:,} cases; {self.bootstrap.replicates:,} resamples of {users:,} users with "
            f"all their cases; Holm over {count} {'comparison' if count == 1 else 'comparisons'}\n"
            "d: Cohen's d over users; better, worse: users who gain, who lose; finds: the smallest difference "
            "found with 80 % power after Holm; open: no difference shown, which does not show that there is none"
            + ("\n" + ONE_SEED if self.one_seed else "")
        )


def compare_systems(
    systems: Systems,
    *,
    baseline: str | None = None,
    metric: str = "ndcg@10",
    bootstrap: Bootstrap = STANDARD,
) -> Comparison:
    """Compare systems, each measured on the same cases with one seed or several, with one of them.

    Args:
        systems: name -> its reports, one a seed; two or more.
        baseline: the one the others are compared with; the first by default.
        metric: `recall@k`, `ndcg@k` or `mrr@k`.
        bootstrap: replicates, level and seed of the intervals.

    Raises:
        ArtifactError: they were not measured alike; the message names what differs.
        SettingsError: there are fewer than two systems, no such baseline or metric, or lists are shorter than k.
    """
    baseline = _known(baseline, systems)
    name, k = _metric(metric, systems)
    users = check_alike(systems)
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
    seen = _seen(systems[baseline][0])
    return Comparison(
        metric, baseline, estimates, differences, dict(zip(differences, adjusted, strict=True)), seen, bootstrap
    )


def check_alike(systems: Systems) -> NDArray[np.int64]:
    """Return whose the cases are, after a look at whether all reports are of the same ones and were made alike.

    Raises:
        ArtifactError: they were not; the message names what differs.
    """
    (first, here), *others = [(name, report) for name, reports in systems.items() for report in reports]
    if "user" not in here.cases:
        raise ArtifactError(f"{first}: its report does not say whose cases these are; evaluate again")
    for name, there in others:
        told = _told_apart(here, there)
        if told is not None:
            raise not_alike(first, name if name != first else f"another seed of {name}", told)
    return np.asarray(here.cases["user"], dtype=np.int64)


def _told_apart(here: Report, there: Report) -> str | None:
    if _seen(here) != _seen(there):
        return f"seen items {_seen(here)} and {_seen(there)}"
    told = told_apart(here.protocol, there.protocol)
    if told is not None:
        return told
    if len(here.ranks) != len(there.ranks):
        return f"cases {len(here.ranks):,} and {len(there.ranks):,}"
    differing = [name for name in here.cases if not np.array_equal(here.cases[name], there.cases.get(name, []))]
    return f"cases of other {' and '.join(f'{name}s' for name in differing)}" if differing else None


def _known(baseline: str | None, systems: Systems) -> str:
    if len(systems) < 2 or not all(systems.values()):
        raise SettingsError(f"compare: {', '.join(systems) or 'nothing'} is given; give two systems or more")
    if baseline is None:
        return next(iter(systems))
    if baseline not in systems:
        hint = did_you_mean(baseline, systems)
        raise SettingsError(f"compare: there is no baseline '{baseline}' among {', '.join(systems)}.{hint}")
    return baseline


def _metric(metric: str, systems: Systems) -> tuple[str, int]:
    name, _, places = metric.partition("@")
    if not places.isdecimal():
        raise SettingsError(f"metric '{metric}': it should be such as ndcg@10, recall@5 or mrr@20")
    lengths = [report.protocol.get("list_length", int(places)) for reports in systems.values() for report in reports]
    if int(places) > min(lengths):
        raise SettingsError(f"metric '{metric}': lists are {min(lengths)} long; take @{min(lengths)} or less")
    return name, int(places)


def _seen(report: Report) -> str:
    return "excluded" if report.protocol.get("exclude_seen") else "included"


def _two(upper: str, lower: str, style: str = "") -> Text:
    return Text.assemble((upper, style), "\n", (lower, "dim"))


def _between(interval: Interval, write: Callable[[float], str], between: str) -> str:
    return between.join(map(write, interval))


def _percent(share: float, sign: str = "") -> str:
    return "–" if np.isnan(share) else f"{share:{sign}.1%}".replace("-", "−").replace("%", " %")


def _plain(value: Any) -> Any:
    """JSON knows neither tuples nor NaN."""
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and np.isnan(value) else value
