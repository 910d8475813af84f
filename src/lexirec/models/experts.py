"""Experts: scorers read as distributions over items, so that they can be multiplied with a model's.

Two readings. Scores that count something (memory, popularity, item-kNN, EASE, ALS) are *shares*: negative ones are
nothing, rows are scaled to sum 1, and every item gets a small floor, so that what was never counted is unlikely and not
impossible. Scores of networks trained with a softmax are *logits*. In a product of experts a temperature would only
rescale the expert's weight, so there is none: log softmax(s / T) · w differs from log softmax(s) · (w / T) by a
constant of the history.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = -60.0
"""No item is less likely than e^−60 in an expert's eyes: what it rules out, others may still bring back."""


def shares(scores: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale scores (rows, n_items) to shares that sum to 1; negative ones are 0, and so is a row without any."""
    positive = np.maximum(scores, 0).astype(np.float32)
    total = positive.sum(axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    return found


def log_floored(shares: NDArray[np.float32], floor: float, n_items: int) -> NDArray[np.float32]:
    """Return log((share + floor) / (1 + n_items · floor)): a distribution over the catalogue of `n_items` items."""
    logs: NDArray[np.float32] = np.log(shares + np.float32(floor)) - np.float32(np.log1p(n_items * floor))
    return logs


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the log-probabilities of logits (rows, n_items), none below e^−60."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    found: NDArray[np.float32] = np.maximum(logs, _LEAST).astype(np.float32)
    return found
