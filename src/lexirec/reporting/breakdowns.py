"""Recall or NDCG by groups of cases, for reports and studies; the groups are slicings of `evaluation.slices`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexirec.evaluation import metrics, slices
from lexirec.evaluation.slices import Slicing
from lexirec.reporting.content import Breakdown

RanksBySystem = Mapping[str, NDArray[np.int64]]
"""System -> rank of each case's target, 0 where it was not found, (cases,)."""


def by_popularity(
    ranks: RanksBySystem, targets: NDArray[np.integer[Any]], counts: NDArray[np.integer[Any]], *, k: int = 10
) -> Breakdown:
    """Recall by the target's popularity in training: head, middle, tail, rare and unseen.

    The parts are those of `evaluation.slices.by_popularity`; the note of the breakdown defines them.

    Args:
        ranks: of each system, as above.
        targets: item numbers, (cases,).
        counts: training events of each item, (items,).
        k: cut-off of recall.
    """
    return by_slicing("popularity of the target", slices.by_popularity(targets, counts, rare=slices.RARE), ranks, k=k)


def by_history(ranks: RanksBySystem, lengths: NDArray[np.integer[Any]], *, k: int = 10) -> Breakdown:
    """Recall by the number of items in the history, (cases,)."""
    return by_slicing("length of the history", slices.by_history(lengths), ranks, k=k)


def by_slicing(
    title: str, slicing: Slicing, ranks: RanksBySystem, *, k: int = 10, metric: Literal["recall", "ndcg"] = "recall"
) -> Breakdown:
    """Recall or NDCG by the groups of a slicing; empty groups are left out."""
    measure = metrics.recall if metric == "recall" else metrics.ndcg
    masks = {name: slicing.groups == group for group, name in enumerate(slicing.names)}
    kept = {name: mask for name, mask in masks.items() if mask.any()}
    values: dict[str, Sequence[float]] = {
        system: [measure(row[mask], k) for mask in kept.values()] for system, row in ranks.items()
    }
    cases = [int(mask.sum()) for mask in kept.values()]
    return Breakdown(title, f"{metric}@{k}", list(kept), cases, values, slicing.description)
