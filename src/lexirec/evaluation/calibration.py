"""What a model's own probabilities are worth: does what it holds likely with p happen in a share p of cases?

A model whose likelihood runs over the catalogue gives every item a probability, and its lists hold the largest ones.
They are looked at where *nothing is excluded*: leaving seen items out takes their probability away and leaves the
others as they are, so that they no longer sum to one.

Legend: `C` cases, `K` places, `N` predictions, `B` bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.ranking import Ranking
from lexirec.evaluation.bootstrap import Bootstrap, Interval
from lexirec.evaluation.significance import estimate_ranks

Floats = NDArray[np.float64]
BINS = 10
_TOLERANCE = 0.01
"""Probabilities of one list may exceed 1 by rounding, not by more."""


@dataclass(frozen=True)
class Bin:
    """Predictions of like probability.

    Attributes:
        count: how many there are.
        predicted: their mean probability.
        observed: the share that came true.
        interval: of `observed`, users resampled; None where they are a single user's.
    """

    count: int
    predicted: float
    observed: float
    interval: Interval | None


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities beside what happened.

    Attributes:
        bins: from the least likely to the most likely.
        error: expected calibration error.
    """

    bins: tuple[Bin, ...]
    error: float


@dataclass(frozen=True)
class Calibration:
    """What a system's probabilities are worth.

    Attributes:
        top: of each case's first item: is it the target?
        listed: of all listed items.
        places: lengths of lists.
        mass: mean probability of the first so many items: the recall that the model expects of itself.
        recall: the recall at so many places.
        covered: the 10th, 50th and 90th percentile of the probability that a whole list holds.
    """

    top: Reliability
    listed: Reliability
    places: tuple[int, ...]
    mass: tuple[float, ...]
    recall: tuple[float, ...]
    covered: tuple[float, float, float]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        curves = {name: _curve(getattr(self, name)) for name in ("top", "listed")}
        lengths = [
            {"places": places, "expected_recall": mass, "recall": recall}
            for places, mass, recall in zip(self.places, self.mass, self.recall)
        ]
        return {**curves, "lengths": lengths, "covered_percentiles": list(self.covered)}


def calibration(
    lists: Ranking, targets: NDArray[np.int32], users: NDArray[np.int64], *, bootstrap: Bootstrap
) -> Calibration:
    """Look at probabilities from all sides.

    Args:
        lists: items and log-probabilities over the whole catalogue, (C, K), nothing excluded.
        targets: (C,).
        users: whose case it is, (C,).
        bootstrap: how intervals are made.

    Raises:
        DataError: the scores are no log-probabilities.
    """
    listed = lists.items >= 0
    probabilities = np.where(listed, np.exp(lists.scores.astype(np.float64)), 0.0)
    most = probabilities.sum(axis=1).max(initial=0.0)
    if most > 1 + _TOLERANCE:
        raise DataError(f"a list's probabilities sum to {most:.3f}, which is more than 1: they are other scores")
    probabilities = np.minimum(probabilities, 1.0)
    hits = lists.items == targets[:, None]
    whose = np.broadcast_to(users[:, None], hits.shape)
    places = (*(k for k in (1, 2, 5, 10, 20, 50, 100) if k < hits.shape[1]), hits.shape[1])
    mass, found = np.cumsum(probabilities, axis=1), np.cumsum(hits, axis=1)
    low, median, high = np.quantile(mass[:, -1], [0.1, 0.5, 0.9]).tolist()
    return Calibration(
        top=reliability(probabilities[:, 0], hits[:, 0], users, by="count", bootstrap=bootstrap),
        listed=reliability(probabilities[listed], hits[listed], whose[listed], by="mass", bootstrap=bootstrap),
        places=places,
        mass=tuple(float(mass[:, k - 1].mean()) for k in places),
        recall=tuple(float(found[:, k - 1].mean()) for k in places),
        covered=(low, median, high),
    )


def reliability(
    probabilities: Floats,
    hits: NDArray[np.bool_],
    users: NDArray[np.int64],
    *,
    by: Literal["count", "mass"] = "count",
    bins: int = BINS,
    bootstrap: Bootstrap,
) -> Reliability:
    """Put predictions into bins of like probability and see how many come true.

    The expected calibration error is Σ_b n_b / N |observed_b − predicted_b| (Naeini, Cooper and Hauskrecht, AAAI 2015;
    Guo et al., ICML 2017). Bins hold equally many predictions (Nixon et al., 2019), or equal shares of all probability:
    most listed items are unlikely, and of those a bin needs many until it may expect as many hits as any other.

    Args:
        probabilities: (N,).
        hits: which came true, (N,).
        users: whose predictions they are, (N,); intervals are clustered by them.
        by: what bins have alike, `count` or `mass`.
        bins: at most so many.
        bootstrap: how intervals are made.
    """
    order = np.argsort(probabilities, kind="stable")
    if by == "count":
        part = np.arange(len(order)) * bins // max(len(order), 1)
    else:
        before = np.cumsum(probabilities[order]) - probabilities[order]
        part = np.minimum((before / max(float(probabilities.sum()), 1e-300) * bins).astype(np.int64), bins - 1)
    edges = np.searchsorted(part, np.arange(bins + 1))
    found = tuple(
        _bin(probabilities[order[low:high]], hits[order[low:high]], users[order[low:high]], bootstrap)
        for low, high in pairwise(edges.tolist())
        if high > low
    )
    gaps = sum(each.count * abs(each.observed - each.predicted) for each in found)
    return Reliability(found, gaps / max(len(order), 1))


def _bin(probabilities: Floats, hits: NDArray[np.bool_], users: NDArray[np.int64], bootstrap: Bootstrap) -> Bin:
    interval = None
    if (users != users[0]).any():
        interval = estimate_ranks(hits.astype(np.int64), users, metric="recall", k=1, bootstrap=bootstrap).interval
    return Bin(len(hits), float(probabilities.mean()), float(hits.mean()), interval)


def _curve(found: Reliability) -> dict[str, Any]:
    bins = [
        {
            "count": each.count,
            "predicted": each.predicted,
            "observed": each.observed,
            "interval": each.interval and list(each.interval),
        }
        for each in found.bins
    ]
    return {"expected_calibration_error": found.error, "bins": bins}
