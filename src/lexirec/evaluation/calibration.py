"""Calibration of a model's item probabilities: reliability curves, expected calibration error, expected recall.

A calibrated model is right in a share p of the predictions to which it gives probability p. A model whose likelihood
runs over the catalogue gives every item a probability, and its lists hold the largest ones. Calibration is measured on
lists with *seen items kept*: excluding seen items removes their probability without rescaling the others, which then no
longer sum to one.

Legend: `C` cases, `K` list positions, `N` predictions, `B` bins.
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
"""By how much the probabilities of one list may exceed 1 through rounding."""


@dataclass(frozen=True)
class Bin:
    """Predictions of similar probability.

    Attributes:
        count: number of predictions.
        predicted: their mean probability.
        observed: the share that came true.
        interval: of `observed`, users resampled; None where all are of one user.
    """

    count: int
    predicted: float
    observed: float
    interval: Interval | None


@dataclass(frozen=True)
class Reliability:
    """Reliability curve: predicted probabilities beside observed frequencies.

    Attributes:
        bins: from the least likely to the most likely.
        error: expected calibration error.
    """

    bins: tuple[Bin, ...]
    error: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of one system.

    Attributes:
        top: reliability of each case's first item.
        listed: reliability of all listed items.
        places: list lengths k.
        mass: mean probability of the first k items, for each k: the recall that the model expects.
        recall: measured recall@k, for each k.
        covered: the 10th, 50th and 90th percentile of the total probability of a list.
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
    """Measure the calibration of a system's lists.

    Args:
        lists: items and log-probabilities over the whole catalogue, (C, K), nothing excluded.
        targets: (C,).
        users: user of each case, (C,).
        bootstrap: settings of the intervals.

    Raises:
        DataError: the scores are not log-probabilities.
    """
    listed = lists.items >= 0
    probabilities = np.where(listed, np.exp(lists.scores.astype(np.float64)), 0.0)
    most = probabilities.sum(axis=1).max(initial=0.0)
    if most > 1 + _TOLERANCE:
        raise DataError(
            f"calibration: the probabilities of a list sum to {most:.3f}, above 1; scores must be log-probabilities"
        )
    probabilities = np.minimum(probabilities, 1.0)
    hits = lists.items == targets[:, None]
    whose = np.broadcast_to(users[:, None], hits.shape)
    places = (*(k for k in (1, 2, 5, 10, 20, 50, 100) if k < hits.shape[1]), hits.shape[1])
    mass, hits_so_far = np.cumsum(probabilities, axis=1), np.cumsum(hits, axis=1)
    low, median, high = np.quantile(mass[:, -1], [0.1, 0.5, 0.9]).tolist()
    return Calibration(
        top=reliability(probabilities[:, 0], hits[:, 0], users, by="count", bootstrap=bootstrap),
        listed=reliability(probabilities[listed], hits[listed], whose[listed], by="mass", bootstrap=bootstrap),
        places=places,
        mass=tuple(float(mass[:, k - 1].mean()) for k in places),
        recall=tuple(float(hits_so_far[:, k - 1].mean()) for k in places),
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
    """Bin predictions by probability and compare each bin with its share of hits.

    The expected calibration error is Σ_b n_b / N |observed_b − predicted_b| (Naeini, Cooper and Hauskrecht, AAAI 2015;
    Guo et al., ICML 2017). Bins hold equally many predictions (Nixon et al., 2019), or equal shares of all probability
    (so that every bin expects as many hits: most listed items are unlikely).

    Args:
        probabilities: (N,).
        hits: whether the prediction was right, (N,).
        users: user of each prediction, (N,); intervals are clustered by user.
        by: equal `count` of predictions, or equal probability `mass`, per bin.
        bins: largest number of bins.
        bootstrap: settings of the intervals.
    """
    order = np.argsort(probabilities, kind="stable")
    if by == "count":
        part = np.arange(len(order)) * bins // max(len(order), 1)
    else:
        before = np.cumsum(probabilities[order]) - probabilities[order]
        part = np.minimum((before / max(float(probabilities.sum()), 1e-300) * bins).astype(np.int64), bins - 1)
    edges = np.searchsorted(part, np.arange(bins + 1))
    binned = tuple(
        _bin(probabilities[order[low:high]], hits[order[low:high]], users[order[low:high]], bootstrap)
        for low, high in pairwise(edges.tolist())
        if high > low
    )
    gaps = sum(each.count * abs(each.observed - each.predicted) for each in binned)
    return Reliability(binned, gaps / max(len(order), 1))


def _bin(probabilities: Floats, hits: NDArray[np.bool_], users: NDArray[np.int64], bootstrap: Bootstrap) -> Bin:
    interval = None
    if (users != users[0]).any():
        interval = estimate_ranks(hits.astype(np.int64), users, metric="recall", k=1, bootstrap=bootstrap).interval
    return Bin(len(hits), float(probabilities.mean()), float(hits.mean()), interval)


def _curve(curve: Reliability) -> dict[str, Any]:
    bins = [
        {
            "count": each.count,
            "predicted": each.predicted,
            "observed": each.observed,
            "interval": each.interval and list(each.interval),
        }
        for each in curve.bins
    ]
    return {"expected_calibration_error": curve.error, "bins": bins}
