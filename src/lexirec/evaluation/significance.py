"""Confidence intervals and paired significance tests of metrics, clustered by user, over one or several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from lexirec.core.errors import DataError, SettingsError, did_you_mean
from lexirec.evaluation import metrics
from lexirec.evaluation.bootstrap import STANDARD, ZERO, Bootstrap, Floats, Interval, Resampled

METRICS: Mapping[str, Callable[[metrics.Ranks, int], float]] = {
    "recall": metrics.recall,
    "ndcg": metrics.ndcg,
    "mrr": metrics.mrr,
}
_Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Estimate:
    """One system's metric with its confidence interval.

    Attributes:
        value: mean over cases, and over seeds.
        standard_error: of `value`, over users and seeds.
        interval: percentiles of the replicates.
        corrected: the same, bias-corrected and accelerated (Efron, JASA 1987).
        seeds: the metric of every seed.
    """

    value: float
    standard_error: float
    interval: Interval
    corrected: Interval
    seeds: tuple[float, ...]

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None where there is one."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else None


@dataclass(frozen=True)
class Difference:
    """Paired difference between two systems, a − b.

    Attributes:
        value: difference of the means over cases, and over seeds.
        relative: `value` as a share of the other's mean; NaN where that is 0.
        standard_error: of `value`, over users and seeds.
        interval: percentiles of the replicates.
        corrected: the same, bias-corrected and accelerated (Efron, JASA 1987).
        p_value: two-sided: twice the share of replicates beyond 0, and where fewer than 30 users differ at least the p
            of the users' signs flipped at random.
        effect: Cohen's d over users: mean of the users' differences by their standard deviation.
        better: share of users for whom a is better.
        worse: share of users for whom a is worse; for the others both are equal.
        users: number of users.
        cases: number of cases.
        seeds: number of seeds of a and of b.
        freedom: degrees of freedom of `standard_error`; few where few seeds cause most of it.
        level: confidence level of the intervals.
    """

    value: float
    relative: float
    standard_error: float
    interval: Interval
    corrected: Interval
    p_value: float
    effect: float
    better: float
    worse: float
    users: int
    cases: int
    seeds: tuple[int, int]
    freedom: float
    level: float

    def detectable(self, *, power: float = 0.8, comparisons: int = 1) -> float:
        """Return the minimum detectable difference: the smallest true one found with probability `power`.

        Args:
            power: probability of finding it.
            comparisons: number of comparisons that share the error of 1 − level (Holm's first, strictest step).
        """
        return _detectable(self.standard_error, self.freedom, self.level, power, comparisons)


@dataclass(frozen=True)
class GroupDifference:
    """Difference between two groups of users, a − b, none of whom is in both.

    Attributes:
        value: difference of the means.
        interval: percentiles of the replicates.
        standard_error: of `value`.
        freedom: degrees of freedom of `standard_error` (Welch).
        level: confidence level of the interval.
    """

    value: float
    interval: Interval
    standard_error: float
    freedom: float
    level: float

    def detectable(self, *, power: float = 0.8, comparisons: int = 1) -> float:
        """Return the minimum detectable difference; arguments are those of `Difference.detectable`."""
        return _detectable(self.standard_error, self.freedom, self.level, power, comparisons)


def compare_groups(a: Resampled, b: Resampled) -> GroupDifference:
    """Compare two groups of users, each resampled by itself with as many replicates: a − b."""
    # groups that were resampled with one seed may have drawn alike; in another order they are independent
    order = np.random.default_rng(a.bootstrap.seed + 1).permutation(len(b.replicates))
    tail = (1 - a.bootstrap.level) / 2
    low, high = np.quantile(a.replicates - b.replicates[order], [tail, 1 - tail])
    parts = [(each.standard_error**2, each.freedom) for each in (a, b)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / free for part, free in parts if part) if variance else np.inf
    return GroupDifference(a.value - b.value, (float(low), float(high)), variance**0.5, freedom, a.bootstrap.level)


def _detectable(standard_error: float, freedom: float, level: float, power: float, comparisons: int) -> float:
    tail = (1 - level) / 2 / comparisons
    return float((student.isf(tail, freedom) + student.isf(1 - power, freedom)) * standard_error)


def compare_ranks(
    a: _Integers,
    b: _Integers,
    users: _Integers,
    *,
    metric: str = "ndcg",
    k: int = 10,
    bootstrap: Bootstrap = STANDARD,
) -> Difference:
    """Compare two systems measured on the same cases: a − b, paired by user.

    With one seed of a trained system, interval and p-value are about this very training on other users, not about
    others of its kind: see `evaluation.verdicts`.

    Args:
        a: ranks of the targets (1 = first, 0 = not resampled), shape (cases,), or (seeds, cases).
        b: the other system's ranks on the same cases; its number of seeds may differ.
        users: user of each case, shape (cases,).
        metric: `recall`, `ndcg` or `mrr`.
        k: cut-off of the metric.
        bootstrap: replicates, level and seed.

    Raises:
        DataError: the shapes differ, or there are fewer than two users.
        SettingsError: there is no such metric.
    """
    arms, cases = _by_user([np.atleast_2d(a), np.atleast_2d(b)], users, gains_by_rank(metric, k))
    resampled = Resampled.of(arms, cases, bootstrap)
    of_users, others = resampled.sums, float(arms[1].mean(axis=0).sum() / cases.sum())
    shares = of_users / cases
    spread = float(shares.std(ddof=1))
    return Difference(
        value=resampled.value,
        relative=resampled.value / others if others else float("nan"),
        standard_error=resampled.standard_error,
        interval=resampled.percentiles(),
        corrected=resampled.corrected(),
        p_value=resampled.p_value(),
        effect=float(shares.mean()) / spread if spread else 0.0,
        better=float((of_users > ZERO).mean()),
        worse=float((of_users < -ZERO).mean()),
        users=len(cases),
        cases=int(cases.sum()),
        seeds=(len(arms[0]), len(arms[1])),
        freedom=resampled.freedom,
        level=bootstrap.level,
    )


def estimate_ranks(
    ranks: _Integers,
    users: _Integers,
    *,
    metric: str = "ndcg",
    k: int = 10,
    bootstrap: Bootstrap = STANDARD,
) -> Estimate:
    """Estimate one system's metric with its interval; arguments and errors are those of `compare_ranks`."""
    arms, cases = _by_user([np.atleast_2d(ranks)], users, gains_by_rank(metric, k))
    resampled = Resampled.of(arms, cases, bootstrap)
    seeds = tuple((arms[0].sum(axis=1) / cases.sum()).tolist())
    return Estimate(resampled.value, resampled.standard_error, resampled.percentiles(), resampled.corrected(), seeds)


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Adjust p-values for multiple comparisons (Holm, Scandinavian Journal of Statistics 1979), in the order given.

    Calling those below .05 significant keeps the family-wise error rate at 5 %.

    Raises:
        ValueError: a value is not between 0 and 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.size and not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values must lie between 0 and 1")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate((len(values) - np.arange(len(values))) * values[order]), 1.0)
    return adjusted


def gains_by_rank(metric: str, k: int) -> Floats:
    """Return the gain of a single case for every rank 0 … k under a metric, shape (k + 1,).

    Raises:
        SettingsError: there is no such metric, or k is below 1.
    """
    if metric not in METRICS or k < 1:
        hint = did_you_mean(metric, METRICS)
        raise SettingsError(f"metric '{metric}@{k}': must be one of {', '.join(METRICS)}, at 1 or more.{hint}")
    return np.array([METRICS[metric](np.array([rank]), k) for rank in range(k + 1)])


def _by_user(arms: Sequence[_Integers], users: _Integers, gains: Floats) -> tuple[list[Floats], Floats]:
    """Sum the gains of every user: for every arm (seeds, users), and the users' numbers of cases (users,)."""
    shapes = [ranks.shape for ranks in arms]
    if any(len(shape) != 2 or shape[1:] != users.shape or not shape[0] for shape in shapes):
        raise DataError(f"ranks {shapes} and users {users.shape} differ in shape; pass one rank per case and seed")
    rows = np.unique(users, return_inverse=True)[1]
    cases = np.bincount(rows).astype(np.float64)
    if len(cases) < 2:
        raise DataError(f"statistics: {len(cases)} users; intervals need at least two")
    gains_by_arm = [gains[np.where((ranks > 0) & (ranks < len(gains)), ranks, 0)] for ranks in arms]
    return [np.stack([np.bincount(rows, row, len(cases)) for row in seeds]) for seeds in gains_by_arm], cases
