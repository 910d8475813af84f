"""Statistics of ranked lists: paired bootstrap by user, seeds as a factor, Holm, effect sizes, what can be detected."""

from lexirec.statistics.differences import (
    METRICS,
    Difference,
    Estimate,
    compare_ranks,
    estimate_ranks,
    gains_by_rank,
    holm,
)
from lexirec.statistics.resampling import Bootstrap, Interval

__all__ = [
    "METRICS",
    "Bootstrap",
    "Difference",
    "Estimate",
    "Interval",
    "compare_ranks",
    "estimate_ranks",
    "gains_by_rank",
    "holm",
]
