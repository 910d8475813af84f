"""Lists of cases: every case ranked, without the items that its list must leave out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexirec.core.progress import Progress, quiet
from lexirec.data.cases import Cases
from lexirec.data.ranking import Ranking, Recommender
from lexirec.data.sequences import Sequences

_MASK_CELLS = 2**26
"""Largest mask of the items that a batch's lists may hold."""


def left_out(cases: Cases, exclude_seen: bool) -> list[Sequences]:
    """Return the rows of items that the cases' lists leave out: forbidden ones, and with `exclude_seen` seen ones."""
    seen = cases.histories if cases.seen is None else cases.seen
    return [*([] if cases.never is None else [cases.never]), *([seen] if exclude_seen else [])]


def rank_cases(recommender: Recommender, cases: Cases, k: int, exclude_seen: bool) -> Ranking:
    """Rank the k best items of every case that its list may hold."""
    if cases.seen is None and cases.never is None:
        return recommender.rank(cases.histories, k=k, exclude_seen=exclude_seen)
    allowed = np.ones((len(cases), len(recommender.catalog)), dtype=np.bool_)
    for rows in left_out(cases, exclude_seen):
        allowed[owners(rows), rows.items] = False
    return recommender.rank(cases.histories, k=k, allowed=allowed)


def lists_of(recommender: Recommender, cases: Cases, k: int, exclude_seen: bool, batch_size: int) -> Ranking:
    """Rank the k best items of every case, batch by batch: items and scores of shape (C, k)."""
    items = np.full((len(cases), k), -1, dtype=np.int32)
    scores = np.full((len(cases), k), -np.inf, dtype=np.float32)
    if cases.seen is not None or cases.never is not None:
        batch_size = max(1, min(batch_size, _MASK_CELLS // len(recommender.catalog)))
    with Progress("Evaluating", total=len(cases)) as progress:
        for first in range(0, len(cases), batch_size):
            rows = np.arange(first, min(first + batch_size, len(cases)))
            with quiet():
                ranking = rank_cases(recommender, cases.take(rows), k, exclude_seen)
            items[rows], scores[rows] = ranking.items, ranking.scores
            progress.advance(len(rows))
    return Ranking(items, scores)


def available_items(cases: Cases, n_items: int, exclude_seen: bool) -> NDArray[np.int64]:
    """Number of distinct items that a case's list could hold, int64 (C,)."""
    pairs = [owners(rows) * n_items + rows.items for rows in left_out(cases, exclude_seen)]
    if not pairs:
        return np.full(len(cases), n_items, dtype=np.int64)
    distinct = np.unique(np.concatenate(pairs))
    available: NDArray[np.int64] = n_items - np.bincount(distinct // n_items, minlength=len(cases))
    return available


def targets_left_out(cases: Cases, exclude_seen: bool) -> int:
    """Number of cases whose target the list must leave out, so that nothing can find it."""
    found = [owners(rows)[rows.items == cases.targets[owners(rows)]] for rows in left_out(cases, exclude_seen)]
    return len(np.unique(np.concatenate(found))) if found else 0


def owners(rows: Sequences) -> NDArray[np.int64]:
    """Return the row of every item."""
    return np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths)
