"""Metrics of several systems in every slice of the cases, with intervals clustered by user.

Legend: `C` cases, `S` seeds, `G` groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.evaluation.bootstrap import Bootstrap, Interval
from lexirec.evaluation.significance import estimate_ranks, gains_by_rank
from lexirec.evaluation.slices import Slicing

METRICS = ("recall", "ndcg")
QUICK = Bootstrap(replicates=2_000)
"""Bootstrap for many slices: interval ends are within 1/20 of the width of those of more replicates."""


@dataclass(frozen=True)
class Measured:
    """One metric of one system in one slice.

    Attributes:
        value: mean over cases, and over seeds.
        interval: users resampled with all their cases; None for a single user.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True, eq=False)
class Sliced:
    """Metrics of all systems in the non-empty groups of a slicing.

    Attributes:
        kind: kind of the slicing.
        description: definition of the groups.
        k: cut-off of the metrics.
        names: names of the groups.
        cases: number of cases of each group.
        users: number of users of each group.
        values: system -> `recall`, `ndcg` -> one entry per group.
    """

    kind: str
    description: str
    k: int
    names: tuple[str, ...]
    cases: tuple[int, ...]
    users: tuple[int, ...]
    values: dict[str, dict[str, list[Measured]]]

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row per group and system, as plain JSON values."""
        return [
            {
                "slice": name,
                "cases": self.cases[group],
                "users": self.users[group],
                "system": system,
                **{
                    key: value
                    for metric, measured in metrics.items()
                    for key, value in _named(f"{metric}@{self.k}", measured[group])
                },
            }
            for group, name in enumerate(self.names)
            for system, metrics in self.values.items()
        ]


def measure_slices(
    slicing: Slicing,
    ranks: Mapping[str, NDArray[np.int64]],
    users: NDArray[np.int64],
    *,
    k: int = 10,
    bootstrap: Bootstrap = QUICK,
) -> Sliced:
    """Measure recall@k and NDCG@k of every system in every group, with intervals clustered by user.

    Args:
        slicing: the groups; empty ones are left out.
        ranks: system -> ranks of the targets, (C,) or (S, C).
        users: user of each case, (C,).
        k: cut-off of the metrics.
        bootstrap: settings of the intervals.
    """
    nonempty = [group for group, count in enumerate(slicing.counts()) if count]
    masks = [slicing.groups == group for group in nonempty]
    values = {
        system: {metric: [_measure(rows, users, mask, (metric, k), bootstrap) for mask in masks] for metric in METRICS}
        for system, rows in ranks.items()
    }
    return Sliced(
        kind=slicing.kind,
        description=slicing.description,
        k=k,
        names=tuple(slicing.names[group] for group in nonempty),
        cases=tuple(int(mask.sum()) for mask in masks),
        users=tuple(len(np.unique(users[mask])) for mask in masks),
        values=values,
    )


def _measure(
    ranks: NDArray[np.int64],
    users: NDArray[np.int64],
    mask: NDArray[np.bool_],
    metric: tuple[str, int],
    bootstrap: Bootstrap,
) -> Measured:
    name, k = metric
    chosen, their_users = np.atleast_2d(ranks)[:, mask], users[mask]
    if (their_users == their_users[0]).all():
        gains = gains_by_rank(name, k)
        return Measured(float(gains[np.where(chosen <= k, chosen, 0)].mean()), None)
    estimate = estimate_ranks(chosen, their_users, metric=name, k=k, bootstrap=bootstrap)
    return Measured(estimate.value, estimate.interval)


def _named(metric: str, measured: Measured) -> list[tuple[str, Any]]:
    interval = None if measured.interval is None else list(measured.interval)
    return [(metric, measured.value), (f"{metric}_interval", interval)]
