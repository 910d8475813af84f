"""Scores of recommenders as probability distributions over items, so that they can be multiplied with a model's.

There are two kinds of scores. Counts (memory, popularity, item-kNN, EASE, ALS) become *shares*: negative scores are
set to 0, rows are scaled to sum to 1, and every item gets a small floor, so that an item without counts is unlikely
but not impossible. Scores of networks trained with a softmax are *logits*. A product of experts needs no temperature,
because it would only rescale the expert's weight: log softmax(s / T) · w differs from log softmax(s) · (w / T) by a
constant of the history.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import TrainingError

_LEAST = -60.0
"""Least log-probability of an item: what one expert rules out, the others may still recover."""
_FLOOR = 1e-4
"""Share added to every item before a boost: what no count speaks for can be boosted, too, and by 10 nats to the top."""


def shares(
    scores: NDArray[np.floating[Any]], *, of: str = "the recommender", trained: int | None = None
) -> NDArray[np.float32]:
    """Scale scores (rows, n_items) to shares that sum to 1; negative scores count as 0.

    With `trained`, the shares of so many leading items sum to 1, and each item behind them, which was added later, gets
    the share it would have if it alone stood beside them.

    Raises:
        TrainingError: a score of `of` is NaN or +inf.
    """
    positive = np.maximum(scores, 0).astype(np.float32)
    total = positive[:, :trained].sum(axis=1, keepdims=True)
    _check(positive.sum(axis=1, keepdims=True), of)
    if trained is not None:
        total = np.repeat(total, positive.shape[1], axis=1)
        total[:, trained:] += positive[:, trained:]
    scaled: NDArray[np.float32] = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    return scaled


def log_floored(shares: NDArray[np.float32], floor: float, n_items: int) -> NDArray[np.float32]:
    """Return log((share + floor) / (1 + n_items · floor)): a distribution over the catalogue of `n_items` items."""
    logs: NDArray[np.float32] = np.log(shares + np.float32(floor)) - np.float32(np.log1p(n_items * floor))
    return logs


def log_softmax(logits: NDArray[np.floating[Any]], *, of: str = "the recommender") -> NDArray[np.float32]:
    """Return the log-probabilities of logits (rows, n_items), none below −60.

    Raises:
        TrainingError: a logit of `of` is NaN or +inf, or all of a row are −inf.
    """
    greatest = logits.max(axis=1, keepdims=True)
    _check(greatest, of)
    shifted = logits - greatest
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    clipped: NDArray[np.float32] = np.maximum(logs, _LEAST).astype(np.float32)
    return clipped


def boosted(
    scores: NDArray[np.float32], boosts: NDArray[np.float32], *, logits: bool, of: str = "the recommender"
) -> NDArray[np.float32]:
    """Return the scores (rows, n_items) with boosts added to the items' log-scores.

    Logits take the boost as it is. Of other scores, a row with a boost becomes the logarithms of its shares, plus
    boosts, and a row whose boosts are all 0 stays as it is. Items of equal boosts keep their order, also those with
    negative scores, whose share is 0.

    Args:
        scores: of all items; −inf for the impossible, which no boost makes possible.
        boosts: finite, (n_items,) or (rows, n_items).
        logits: whether the scores are logarithms already.
        of: what gave the scores, for messages.

    Raises:
        TrainingError: a score of `of` is NaN or +inf.
    """
    if logits:
        return scores + boosts
    logs = log_floored(shares(scores, of=of), _FLOOR, scores.shape[1])
    # below the floor come the negative scores in their order, within one nat
    possible = np.isfinite(scores)
    negative = np.where(possible, np.maximum(-scores, 0), 0)
    largest = np.abs(np.where(possible, scores, 0)).max(axis=1, keepdims=True)
    logs -= np.where(possible, np.divide(negative, largest, out=np.zeros_like(negative), where=largest > 0), np.inf)
    with_boost = np.broadcast_to(boosts, scores.shape).any(axis=1, keepdims=True)
    chosen: NDArray[np.float32] = np.where(with_boost, logs + boosts, scores).astype(np.float32)
    return chosen


def _check(of_rows: NDArray[np.floating[Any]], of: str) -> None:
    """Raise where a row's total or maximum is not finite, which one NaN makes so: it would count as no score at all."""
    broken = int((~np.isfinite(of_rows)).sum())
    if broken:
        raise TrainingError(
            f"scores of {of} are NaN or infinite for {broken:,} of {len(of_rows):,} histories; a score is a finite "
            "number, or -infinity for an item that must not appear: fit the recommender again"
        )
