"""Break a metric down by what the cases are like, from saved ranks: by popularity of the target, by history length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lexirec.evaluation import metrics
from lexirec.reporting.content import Breakdown

_HEAD_SHARE = 0.2
_RARE = 4
_LENGTHS = ((1, 2), (3, 4), (5, 7), (8, 12), (13, 19), (20, None))


def by_popularity(
    ranks: Mapping[str, NDArray[np.int64]],
    targets: NDArray[np.integer],
    counts: NDArray[np.integer],
    *,
    k: int = 10,
) -> Breakdown:
    """Recall by how often the target was bought in training.

    Head is the 20 % of items bought most (as in GRAM, section 10.4 of its results), tail the rest; of the tail, *rare*
    holds the items bought at most four times, which learned models find hardest.

    Args:
        ranks: system -> rank of each case's target, 0 where it was not found, shape (cases,).
        targets: item numbers, shape (cases,).
        counts: purchases of each item in training, shape (items,).
        k: places that count.
    """
    head = np.zeros(len(counts), dtype=bool)
    head[np.argsort(-counts, kind="stable")[: int(np.ceil(_HEAD_SHARE * len(counts)))]] = True
    head &= counts > _RARE
    rare = counts <= _RARE
    masks = {
        f"head (top {_HEAD_SHARE:.0%})": head[targets],
        "tail": (~head & ~rare)[targets],
        f"rare (bought ≤ {_RARE}×)": rare[targets],
    }
    return _breakdown("popularity of the target", ranks, masks, k)


def by_history(ranks: Mapping[str, NDArray[np.int64]], lengths: NDArray[np.integer], *, k: int = 10) -> Breakdown:
    """Recall by the number of items in the history, shape of `lengths`: (cases,)."""
    masks = {_span(low, high): (lengths >= low) & (lengths <= (high or np.inf)) for low, high in _LENGTHS}
    return _breakdown("length of the history", ranks, masks, k)


def by_groups(
    title: str,
    ranks: Mapping[str, NDArray[np.int64]],
    names: Sequence[str],
    groups: NDArray[np.integer],
    *,
    k: int = 10,
) -> Breakdown:
    """Recall by any groups: `names` of them, and the place of each case's group in `names`, (cases,)."""
    return _breakdown(title, ranks, {name: groups == place for place, name in enumerate(names)}, k)


def _span(low: int, high: int | None) -> str:
    return f"{low} or more" if high is None else f"{low}–{high}"


def _breakdown(
    title: str, ranks: Mapping[str, NDArray[np.int64]], masks: Mapping[str, NDArray[np.bool_]], k: int
) -> Breakdown:
    """Groups without a single case say nothing and are left out."""
    kept = {name: mask for name, mask in masks.items() if mask.any()}
    values: dict[str, Sequence[float]] = {
        system: [metrics.recall(row[mask], k) for mask in kept.values()] for system, row in ranks.items()
    }
    return Breakdown(title, f"recall@{k}", list(kept), [int(mask.sum()) for mask in kept.values()], values)
