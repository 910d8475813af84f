"""Compare systems with a baseline within slices of the cases: where a difference comes from, and where it is a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from lexirec.core.errors import ArtifactError
from lexirec.core.runs import find_run
from lexirec.core.store import Store
from lexirec.evaluation.context import EvaluationContext, divided
from lexirec.evaluation.significance import Difference, compare_ranks, gains_by_rank, holm
from lexirec.evaluation.slice_metrics import QUICK
from lexirec.evaluation.slices import Slicing
from lexirec.reporting.content import number
from lexirec.reporting.forest import signed
from lexirec.workflows.comparison.analyze import context_of
from lexirec.workflows.comparison.comparability import Systems, check_comparable
from lexirec.workflows.comparison.compare import Comparison
from lexirec.workflows.comparison.systems import read_name, stored_systems


@dataclass(frozen=True, eq=False)
class SlicedComparison:
    """Differences from the baseline in the non-empty groups of a slicing.

    Attributes:
        metric: such as `ndcg@10`.
        baseline: the system that the others are compared with.
        kind: kind of the slicing.
        description: definition of the groups.
        names: names of the groups.
        cases: number of cases of each group.
        values: system -> its metric in each group.
        differences: system -> its difference in each group; None for a group of a single user.
        adjusted: system -> p-values after Holm's correction over all groups and systems, likewise.
    """

    metric: str
    baseline: str
    kind: str
    description: str
    names: tuple[str, ...]
    cases: tuple[int, ...]
    values: dict[str, list[float]]
    differences: dict[str, list[Difference | None]]
    adjusted: dict[str, list[float | None]]

    def as_json(self) -> dict[str, Any]:
        """Return one row per group and system, as plain JSON values."""
        rows = [
            {
                "slice": name,
                "cases": self.cases[group],
                "system": system,
                "value": self.values[system][group],
                "baseline_value": self.values[self.baseline][group],
                "difference": each and each.value,
                "difference_interval": each and list(each.interval),
                "p_holm": self.adjusted[system][group],
            }
            for group, name in enumerate(self.names)
            for system, found in self.differences.items()
            for each in (found[group],)
        ]
        return {"kind": self.kind, "told": self.description, "rows": rows}

    def table(self) -> Table:
        """Return the terminal table, three lines per group: value and difference, interval, p-value."""
        table = Table(
            title=f"{self.metric} by {self.kind}, compared with {self.baseline}",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        table.add_column("system", overflow="fold")
        for name, count in zip(self.names, self.cases, strict=True):
            table.add_column(f"{name}\n{count:,} cases", justify="right", overflow="fold")
        table.add_row(Text(self.baseline), *(Text(number(value)) for value in self.values[self.baseline]))
        for system in self.differences:
            table.add_row(Text(system), *(self._cell(system, group) for group in range(len(self.names))))
        table.caption, table.caption_justify = Text(f"{self.description}; p after Holm over this table"), "left"
        return table

    def _cell(self, system: str, group: int) -> Text:
        value, base = self.values[system][group], self.values[self.baseline][group]
        difference, p_value = self.differences[system][group], self.adjusted[system][group]
        share = f" ({value / base - 1:+.0%})".replace("-", "−").replace("%", " %") if base else ""
        if difference is None or p_value is None:
            return Text(f"{number(value)}{share}")
        style = ("green" if difference.value > 0 else "red") if p_value < 1 - QUICK.level else ""
        low, high = difference.interval
        cell = Text.assemble((f"{number(value)}{share}", style), "\n", (f"{signed(low)} … {signed(high)}", "dim"))
        return cell.append(f"\np {number(p_value)}", "dim")


def compare_slices_named(
    store: Store, names: Sequence[str], comparison: Comparison, by: Sequence[str], *, of: str | None = None
) -> list[SlicedComparison]:
    """Compare stored evaluations within slices.

    Args:
        store: where the experiments are.
        names: as for `compare_named`, which made the comparison.
        comparison: its metric, baseline and treatment of seen items are used.
        by: `KIND` or `KIND=VALUE` of `evaluation.context.KINDS`.
        of: default recommender of names without one.

    Raises:
        ArtifactError: the evaluations do not match the first experiment's cases.
        SettingsError: there is no such kind of slice.
    """
    systems, _ = stored_systems(store, names, of=of, seen=comparison.seen)
    first = read_name(store, names[0])[1][0]
    context = context_of(find_run(store, first.name, first.seed))
    return compare_slices(systems, context, comparison.metric, comparison.baseline, by)


def compare_slices(
    systems: Systems, context: EvaluationContext, metric: str, baseline: str, by: Sequence[str]
) -> list[SlicedComparison]:
    """Compare evaluations of the same cases within slices; the arguments are those of `compare_systems`."""
    users = check_comparable(systems)
    anyone = next(iter(systems.values()))[0]
    if not np.array_equal(anyone.cases["target"], context.cases.targets):
        raise ArtifactError("compare: the evaluations do not match the experiment's cases; evaluate again")
    ranks = {name: np.stack([report.ranks for report in reports]) for name, reports in systems.items()}
    slicings, _ = divided(context, by)
    return [_compared(each, ranks, users, metric, baseline) for each in slicings]


def _compared(
    slicing: Slicing, ranks: dict[str, NDArray[np.int64]], users: NDArray[np.int64], metric: str, baseline: str
) -> SlicedComparison:
    name, k = metric.partition("@")[0], int(metric.partition("@")[2])
    nonempty = [group for group, count in enumerate(slicing.counts()) if count]
    masks, gains = [slicing.groups == group for group in nonempty], gains_by_rank(name, k)
    differences = {
        system: [
            compare_ranks(rows[:, mask], ranks[baseline][:, mask], users[mask], metric=name, k=k, bootstrap=QUICK)
            if len(np.unique(users[mask])) > 1
            else None
            for mask in masks
        ]
        for system, rows in ranks.items()
        if system != baseline
    }
    corrected = iter(holm([each.p_value for found in differences.values() for each in found if each]).tolist())
    return SlicedComparison(
        metric=metric,
        baseline=baseline,
        kind=slicing.kind,
        description=slicing.description,
        names=tuple(slicing.names[group] for group in nonempty),
        cases=tuple(int(mask.sum()) for mask in masks),
        values={
            system: [float(gains[np.where(rows[:, mask] <= k, rows[:, mask], 0)].mean()) for mask in masks]
            for system, rows in ranks.items()
        },
        differences=differences,
        adjusted={
            system: [None if each is None else float(next(corrected)) for each in found]
            for system, found in differences.items()
        },
    )
