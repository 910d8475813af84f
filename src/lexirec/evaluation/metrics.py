"""Recall, NDCG and MRR as pure functions of the targets' ranks.

A rank is 1 for the first position and 0 where the target is not in the list. Every case has one target, so recall
equals the hit rate, and the ideal DCG is 1. Means run over cases (Krichene and Rendle, KDD 2020, on why the whole
catalogue is ranked and never a sample of it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import TrainingError

Ranks = NDArray[np.int64]


def ranks_of(lists: NDArray[np.integer[Any]], targets: NDArray[np.integer[Any]]) -> Ranks:
    """Return the rank of each target in its list.

    Args:
        lists: item numbers, best first, shape (cases, positions); −1 for an empty position.
        targets: item numbers, shape (cases,), none negative.

    Returns:
        Ranks, shape (cases,): 1 for the first position, 0 where the list does not hold the target; a repeated item
        counts at its better position.

    Raises:
        ValueError: lists and targets differ in length, or a target is negative.
    """
    if lists.ndim != 2 or targets.shape != lists.shape[:1]:
        raise ValueError(f"lists {lists.shape} and targets {targets.shape} differ in length")
    if targets.size and int(targets.min()) < 0:
        raise ValueError("targets: negative item number; −1 marks empty places and is never a target")
    if lists.shape[1] == 0:
        return np.zeros(len(targets), dtype=np.int64)
    hits = lists == targets[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int64)


def ranks_in_scores(scores: NDArray[np.floating[Any]], targets: NDArray[np.integer[Any]]) -> Ranks:
    """Return the rank of each target when all columns are sorted by score; ties go to the smaller column number.

    Args:
        scores: shape (cases, items), no NaN; −inf marks excluded items.
        targets: column numbers, shape (cases,).

    Returns:
        Ranks, shape (cases,): 1 for the first position, 0 for a target whose own score is −inf.

    Raises:
        TrainingError: a score is NaN, which no comparison finds greater, so that its item would come first.
    """
    broken = int(np.isnan(scores.max(axis=1, initial=-np.inf)).sum())  # a maximum with NaN is NaN
    if broken:
        raise TrainingError(
            f"scores of {broken:,} of {len(scores):,} cases hold NaN, so they rank nothing; train the model again, "
            "with a lower learning rate where it has one"
        )
    own = np.take_along_axis(scores, targets[:, None].astype(np.int64), axis=1)
    earlier = np.arange(scores.shape[1]) < targets[:, None]
    places = 1 + np.count_nonzero(scores > own, axis=1) + np.count_nonzero((scores == own) & earlier, axis=1)
    return np.where(np.isneginf(own[:, 0]), 0, places).astype(np.int64)


def recall(ranks: Ranks, k: int) -> float:
    """Share of cases whose target is among the first k (also called hit rate)."""
    return _mean(_within(ranks, k).astype(np.float64))


def ndcg(ranks: Ranks, k: int) -> float:
    """Mean of 1 / log2(rank + 1) over cases, 0 beyond position k (Järvelin and Kekäläinen, TOIS 2002; one target)."""
    return _mean(np.where(_within(ranks, k), 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0))


def mrr(ranks: Ranks, k: int) -> float:
    """Mean of 1 / rank over all cases, 0 beyond position k."""
    return _mean(np.where(_within(ranks, k), 1.0 / np.maximum(ranks, 1), 0.0))


def summarize(ranks: Ranks, ks: Sequence[int] = (1, 3, 5, 10, 20, 50)) -> dict[str, float]:
    """Return `recall@k`, `ndcg@k` and `mrr@k` for every k, in that order."""
    return {f"{metric.__name__}@{k}": metric(ranks, k) for metric in (recall, ndcg, mrr) for k in ks}


def _within(ranks: Ranks, k: int) -> NDArray[np.bool_]:
    if k < 1:
        raise ValueError(f"k = {k}: must be 1 or more")
    return (ranks >= 1) & (ranks <= k)


def _mean(values: NDArray[np.float64]) -> float:
    """Mean over cases; 0 for an empty fold."""
    return float(values.mean()) if values.size else 0.0
