"""Bootstrap clustered by user, with training seeds as a random effect: the replicates behind every interval.

The cases of one user resemble each other, so whole users are resampled with all their cases (Field and Welsh, JRSS B
2007). Where a system was trained with several seeds, a replicate adds a draw for the seeds to the draw of the users
(random effects; Davison and Hinkley, *Bootstrap Methods*, 3.8). The seeds' part is Student's t, scaled by the variance
between seed means *beyond* the sampling noise that two measurements on the same users have anyway: this noise is not
counted twice, and three seeds do not count as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import poisson

from lexirec.core.errors import SettingsError

Interval = tuple[float, float]
Floats = NDArray[np.float64]

ZERO = 1e-12
"""Absolute values below this count as 0."""
_FEW = 30
"""Below this number of differing users, the bootstrap's tails alone are too short: a sign-flip test bounds p."""
_MULTINOMIAL = 512
"""Up to this many distinct users, weights are drawn exactly; beyond, as independent Poisson numbers (faster)."""
_CELLS = 4_000_000
"""Largest number of weights held at a time."""


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap.

    Attributes:
        replicates: number of resamples, at least 100.
        level: nominal coverage of the intervals.
        seed: seed of the draws.
    """

    replicates: int = 10_000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            SettingsError: replicates or level is out of range.
        """
        if self.replicates < 100 or not 0 < self.level < 1:
            raise SettingsError(
                f"bootstrap: replicates {self.replicates}, level {self.level}: replicates must be 100 or more, level "
                "between 0 and 1, such as 0.95"
            )


STANDARD = Bootstrap()
"""10,000 replicates, 95 % intervals."""


@dataclass(frozen=True)
class Resampled:
    """A mean over cases, or the difference of two, with its replicates.

    Attributes:
        value: the mean.
        sums: every user's sum of gains, (users,); mean over seeds.
        influence: influence of every user on the mean, (users,).
        standard_error: of the mean, from users and seeds.
        freedom: degrees of freedom of the standard error.
        replicates: means of the resamples, (replicates,).
        bootstrap: settings of the resampling.
    """

    value: float
    sums: Floats
    influence: Floats
    standard_error: float
    freedom: float
    replicates: Floats
    bootstrap: Bootstrap

    @classmethod
    def of(cls, arms: Sequence[Floats], cases: Floats, bootstrap: Bootstrap) -> Resampled:
        """Resample the first arm, or its difference from the second; arms have shape (seeds, users)."""
        rng = np.random.default_rng(bootstrap.seed)
        sums = arms[0].mean(axis=0) - (arms[1].mean(axis=0) if len(arms) > 1 else 0.0)
        value = float(sums.sum() / cases.sum())
        influence = (sums - value * cases) / cases.mean()
        drawn = _draw_users(sums, cases, bootstrap.replicates, rng)
        of_seeds = [_seeds_variance(arm, cases) for arm in arms]
        error, freedom = _pooled(of_seeds)
        if error:
            drawn += error * rng.standard_t(freedom, bootstrap.replicates)
        of_users = float(influence.var(ddof=1)) / len(cases), len(cases) - 1
        return cls(value, sums, influence, *_pooled([of_users, *of_seeds]), drawn, bootstrap)

    def percentiles(self) -> Interval:
        """Return the percentile interval."""
        tail = (1 - self.bootstrap.level) / 2
        return _quantiles(self.replicates, tail, 1 - tail)

    def corrected(self) -> Interval:
        """Return the bias-corrected and accelerated interval (BCa).

        The acceleration comes from the users alone: the seeds' part is symmetric.
        """
        if self.standard_error < ZERO:
            return self.value, self.value
        below = (self.replicates < self.value).mean() + 0.5 * (self.replicates == self.value).mean()
        bias = ndtri(np.clip(below, 0.5 / len(self.replicates), 1 - 0.5 / len(self.replicates)))
        variance = (self.standard_error * len(self.influence)) ** 2
        acceleration = float((self.influence**3).sum()) / (6 * variance**1.5)
        ends = bias + ndtri([(1 - self.bootstrap.level) / 2, (1 + self.bootstrap.level) / 2])
        low, high = ndtr(bias + ends / (1 - acceleration * ends))
        return _quantiles(self.replicates, float(low), float(high))

    def p_value(self) -> float:
        """Return the two-sided p-value: twice the share of replicates beyond 0.

        Where fewer than 30 users differ, it is at least the p-value of the sign-flip test.
        """
        tail = min((self.replicates <= ZERO).sum(), (self.replicates >= -ZERO).sum())
        p = min(1.0, 2 * (1 + int(tail)) / (1 + len(self.replicates)))
        differing = self.sums[np.abs(self.sums) > ZERO]
        return p if len(differing) >= _FEW else max(p, _p_of_signs(differing, self.bootstrap))


def _draw_users(sums: Floats, cases: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """Resample the users with all their cases; return the mean of every replicate.

    Users with equal sums and equal numbers of cases are drawn together, weighted by how many they are: on a sparse test
    set most users have no hit by either system.
    """
    pairs, counts = np.unique(sums + 1j * cases, return_counts=True)  # complex numbers sort faster than rows
    distinct = np.column_stack([pairs.real, pairs.imag])
    draw = _multinomial if len(counts) <= _MULTINOMIAL else _poisson
    rows = max(1, _CELLS // len(counts))
    sizes = [min(rows, replicates - first) for first in range(0, replicates, rows)]
    totals = np.concatenate([draw(distinct, counts, size, rng) for size in sizes])
    mean: Floats = totals[:, 0] / totals[:, 1]
    return mean


def _multinomial(distinct: Floats, counts: NDArray[np.int64], size: int, rng: np.random.Generator) -> Floats:
    users = counts.sum()
    totals: Floats = rng.multinomial(users, counts / users, size=size) @ distinct
    return totals


def _poisson(distinct: Floats, counts: NDArray[np.int64], size: int, rng: np.random.Generator) -> Floats:
    """Weigh every user by Poisson(1) (Chamandy et al., 2012); unique users get theirs from a table, which is faster."""
    alone = counts == 1
    table = poisson.ppf((np.arange(2**16) + 0.5) / 2**16, 1.0)
    totals: Floats = table[rng.integers(2**16, size=(size, int(alone.sum())), dtype=np.uint16)] @ distinct[alone]
    totals += rng.poisson(counts[~alone], size=(size, int((~alone).sum()))) @ distinct[~alone]
    return totals


def _seeds_variance(arm: Floats, cases: Floats) -> tuple[float, int]:
    """Return the variance of an arm's mean due to its seeds, and their degrees of freedom.

    The user-by-seed noise is in the users' part already and is subtracted.
    """
    seeds, users = arm.shape
    if seeds == 1:
        return 0.0, 0
    means = arm.sum(axis=1) / cases.sum()
    influence = (arm - means[:, None] * cases) / cases.mean()
    noise = float(((influence - influence.mean(axis=0)) ** 2).sum()) / ((users - 1) * (seeds - 1) * users)
    return max(0.0, float(means.var(ddof=1)) - noise) / seeds, seeds - 1


def _pooled(parts: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Return the standard error of a sum of parts and its degrees of freedom (Welch, Biometrika 1947).

    Args:
        parts: variance and degrees of freedom of each.
    """
    variance = sum(part for part, _ in parts)
    if not variance:
        return 0.0, np.inf
    return float(np.sqrt(variance)), variance**2 / sum(part**2 / freedom for part, freedom in parts if part)


def _p_of_signs(differences: Floats, bootstrap: Bootstrap) -> float:
    """Two-sided p-value of the sign-flip test on few users' differences."""
    rng = np.random.default_rng(bootstrap.seed)
    signs = rng.integers(0, 2, size=(bootstrap.replicates, len(differences))) * 2 - 1
    as_far = np.abs(signs @ differences) >= abs(differences.sum()) - ZERO
    return float(1 + as_far.sum()) / (1 + bootstrap.replicates)


def _quantiles(replicates: Floats, low: float, high: float) -> Interval:
    ends = np.quantile(replicates, [low, high])
    return float(ends[0]), float(ends[1])
