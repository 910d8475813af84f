"""Checks of an evaluation's cases and of the lists it was given: items of the catalogue, full lists, real scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError, TrainingError
from lexirec.data.cases import Cases
from lexirec.data.ranking import Ranking


def check_cases(cases: Cases, n_items: int) -> None:
    """Check that there are cases, and that their items are in a catalogue of `n_items`.

    Raises:
        DataError: they are not.
    """
    if not len(cases):
        raise DataError("evaluation: the fold has no cases; check the split's counts of users and held-out events")
    numbers = (cases.targets, cases.histories.items)
    least, largest = (
        min(int(each.min(initial=0)) for each in numbers),
        max(int(each.max(initial=-1)) for each in numbers),
    )
    if least < 0 or largest >= n_items:
        given = least if least < 0 else largest
        raise DataError(
            f"evaluation: the cases hold item number {given:,}, but the recommender's catalogue has {n_items:,} "
            "items; pass cases of the same catalogue"
        )


def check_lists(lists: Ranking, available: NDArray[np.int64]) -> None:
    """Check that every list holds an item where it could, and that all scores are numbers.

    Args:
        lists: of all cases.
        available: number of items that each case's list could hold, as of `available_items`.

    Raises:
        DataError: a list is empty although items were left: its case would count as a miss of a working recommender.
        TrainingError: an item's score is NaN.
    """
    empty = np.flatnonzero((lists.items < 0).all(axis=1) & (available > 0))
    if len(empty):
        raise DataError(
            f"evaluation: the recommender lists no item for {len(empty):,} of {len(available):,} cases, such as case "
            f"{empty[0]}, although {available[empty[0]]:,} items may be listed; let it rank every item (a popular one "
            "where it knows nothing), and check that its training has not diverged"
        )
    nameless = np.isnan(lists.scores) & (lists.items >= 0)
    if nameless.any():
        raise TrainingError(
            f"evaluation: listed items have the score NaN in {int(nameless.any(axis=1).sum()):,} of {len(available):,} "
            "cases; train the recommender again, with a lower learning rate where it has one"
        )


def short_lists(lists: NDArray[np.int32], available: NDArray[np.int64]) -> int:
    """Number of lists with fewer items than they could hold."""
    return int(((lists >= 0).sum(axis=1) < np.minimum(available, lists.shape[1])).sum())


def invalid_places(lists: NDArray[np.int32], available: NDArray[np.int64]) -> int:
    """Number of empty positions that could hold an item, plus repeated items."""
    ordered = np.sort(lists, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    filled = (lists >= 0).sum(axis=1)
    missing = np.maximum(np.minimum(available, lists.shape[1]) - filled, 0)
    return int(repeated.sum() + missing.sum())
