"""Rows of unequal length in batches of like length, in random order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SPREAD = 0.1
"""Lengths are taken for up to this share longer or shorter than they are, so that batches differ between epochs."""


def like_length(lengths: NDArray[np.integer], batch_size: int, seed: Sequence[int]) -> list[NDArray[np.int64]]:
    """Group rows of like length into equal batches of at most `batch_size`, in random order.

    The number of batches depends on the number of rows alone, so that epochs of different seeds are equally long and a
    run can be carried on in the middle of one.

    Args:
        lengths: of each row.
        batch_size: the most rows of a batch.
        seed: of the order.
    """
    random = np.random.default_rng(seed)
    shaken = lengths * random.uniform(1 - _SPREAD, 1 + _SPREAD, len(lengths))
    parts = np.array_split(np.argsort(shaken, kind="stable"), max(1, -(-len(lengths) // batch_size)))
    return [parts[number] for number in random.permutation(len(parts))]
