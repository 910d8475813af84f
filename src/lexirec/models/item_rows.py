"""Vectors of items, learned and given, and of the trie's nodes above them: what `grounded` heads speak in.

An item's row is an ID embedding plus a linear map of what is known about it (text vectors, the mean of its
neighbours' vectors). A node's row is the mean of the rows below it, so that nodes no training target passed through
still mean something.

Legend: `I` items, `F` features given, `D` features of the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexirec.data.neighbors import Neighbors
from lexirec.errors import DataError

_SPREAD = 0.05
"""Standard deviation of fresh ID embeddings and of the map: small beside what they are trained to."""


class ItemRows(nn.Module):
    """One learned row per item: ID embedding plus a linear map of given features."""

    features_IF: Tensor

    def __init__(self, n_items: int, width: int, features: NDArray[np.float32] | None) -> None:
        """Make rows of `width` features for `n_items` items; `features` (I, F) may be none."""
        super().__init__()
        self.identity = nn.Embedding(n_items, width)
        nn.init.normal_(self.identity.weight, std=_SPREAD)
        given = np.zeros((n_items, 0), dtype=np.float32) if features is None else features
        self.register_buffer("features_IF", torch.from_numpy(np.ascontiguousarray(given)))
        self.project = nn.Linear(given.shape[1], width, bias=False) if given.shape[1] else None
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=_SPREAD)

    def forward(self) -> Tensor:
        """Return all rows (I, D)."""
        rows_ID = self.identity.weight
        return rows_ID if self.project is None else rows_ID + self.project(self.features_IF)


def item_features(
    vectors: NDArray[np.floating[Any]] | None, neighbors: Neighbors | None, k: int
) -> NDArray[np.float32] | None:
    """Join what is given about items: their vectors, and the mean of the vectors of their `k` best neighbours.

    Returns:
        float32 (I, F) or (I, 2F); None where there are no vectors.

    Raises:
        DataError: vectors and neighbours are not about equally many items.
    """
    if vectors is None:
        return None
    given = np.asarray(vectors, dtype=np.float32)
    if neighbors is None or k == 0:
        return given
    if len(neighbors.items) != len(given):
        raise DataError(
            f"{len(given):,} item vectors, but neighbours of {len(neighbors.items):,} items; make both from one catalog"
        )
    near_IK = neighbors.items[:, :k]
    there_IK1 = (near_IK >= 0)[..., None].astype(np.float32)
    total_IF = np.einsum("ikf,iko->if", given[np.maximum(near_IK, 0)], there_IK1)
    return np.concatenate([given, total_IF / np.maximum(there_IK1.sum(1), 1)], axis=1)
