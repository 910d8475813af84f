"""Metrics of slices, with intervals, all systems side by side.

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
"""For intervals of many slices: their ends are within a twentieth of the width of those of more replicates."""


@dataclass(frozen=True)
class Measured:
    """A metric of a slice.

    Attributes:
        value: mean over cases, and over seeds.
        interval: users resampled with all their cases; None where a single user is all there is.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True, eq=False)
class Sliced:
    """The metrics of all systems in all groups of a slicing that have cases.

    Attributes:
        kind: as the slicing's.
        told: as the slicing's.
        k: places that count.
        names: of the groups.
        cases: of each group.
        users: of each group.
        values: system -> `recall`, `ndcg` -> one entry a group.
    """

    kind: str
    told: str
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
                "cases": self.cases[place],
                "users": self.users[place],
                "system": system,
                **{
                    key: value
                    for metric, found in metrics.items()
                    for key, value in _named(f"{metric}@{self.k}", found[place])
                },
            }
            for place, name in enumerate(self.names)
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
        slicing: the groups; those without cases are left out.
        ranks: system -> ranks of the targets, (C,) or (S, C).
        users: whose case it is, (C,).
        k: places that count.
        bootstrap: how intervals are made.
    """
    there = [place for place, count in enumerate(slicing.counts()) if count]
    masks = [slicing.groups == place for place in there]
    values = {
        system: {metric: [_measure(rows, users, mask, (metric, k), bootstrap) for mask in masks] for metric in METRICS}
        for system, rows in ranks.items()
    }
    return Sliced(
        kind=slicing.kind,
        told=slicing.told,
        k=k,
        names=tuple(slicing.names[place] for place in there),
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
    chosen, whose = np.atleast_2d(ranks)[:, mask], users[mask]
    if (whose == whose[0]).all():
        gains = gains_by_rank(name, k)
        return Measured(float(gains[np.where(chosen <= k, chosen, 0)].mean()), None)
    found = estimate_ranks(chosen, whose, metric=name, k=k, bootstrap=bootstrap)
    return Measured(found.value, found.interval)


def _named(metric: str, found: Measured) -> list[tuple[str, Any]]:
    interval = None if found.interval is None else list(found.interval)
    return [(metric, found.value), (f"{metric}_interval", interval)]
