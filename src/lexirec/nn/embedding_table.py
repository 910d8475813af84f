"""Item embeddings of grounded heads: ID embedding, projected item features and neighbours' embeddings.

An item's row is an ID embedding, plus a linear map of its features (text vectors, the mean of its neighbours' vectors),
plus a learned share of the weighted mean of its neighbours' rows. A gradient of one item thus reaches similar items, as
in a graph convolution (LightGCN, SIGIR 2020, one layer; the graph may be smoothed by text, so that items without
interactions have neighbours, too). A trie node's row is the mean of the rows below it (`Trie.pool`), so that nodes that
occur in no training target have meaningful rows, too.

Shapes: `I` items, `F` item features, `D` features of the model, `K` neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lexirec.core.errors import DataError
from lexirec.data.neighbors import Neighbors
from lexirec.semantic_ids.quantizers.assignment import finite_matrix

_SPREAD = 0.05
"""Initial standard deviation of ID embeddings and of the projection: small compared with trained values."""


class ItemRows(nn.Module):
    """One learned row per item: ID embedding plus projected features, mixed with the neighbours' rows."""

    features_IF: Tensor
    near_IK: Tensor
    weights_IK: Tensor

    def __init__(
        self, n_items: int, width: int, features: NDArray[np.float32] | None, mixed: MixedRows | None = None
    ) -> None:
        """Initialise rows of `width` features for `n_items` items.

        Args:
            n_items: size of the catalogue.
            width: D, that of the backbone.
            features: float32 (I, F) to project; None for none.
            mixed: the neighbours whose rows are mixed in; None for none.
        """
        super().__init__()
        self.identity = nn.Embedding(n_items, width)
        nn.init.normal_(self.identity.weight, std=_SPREAD)
        features = np.zeros((n_items, 0), dtype=np.float32) if features is None else features
        self.register_buffer("features_IF", torch.from_numpy(np.ascontiguousarray(features)))
        self.project = nn.Linear(features.shape[1], width, bias=False) if features.shape[1] else None
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=_SPREAD)
        self.mix = None
        if mixed is not None:
            self.register_buffer("near_IK", torch.from_numpy(mixed.items))
            self.register_buffer("weights_IK", torch.from_numpy(mixed.weights))
            self.mix = nn.Parameter(torch.ones(()))

    def forward(self) -> Tensor:
        """Return all rows (I, D)."""
        rows_ID = self.identity.weight
        if self.project is not None:
            rows_ID = rows_ID + self.project(self.features_IF)
        if self.mix is None:
            return rows_ID
        # one weighted bag per item instead of gathered neighbours (I, K, D), which would not fit large catalogues
        near_ID = functional.embedding_bag(self.near_IK, rows_ID, per_sample_weights=self.weights_IK, mode="sum")
        return rows_ID + self.mix * near_ID

    def some(self, items_U: Tensor) -> Tensor:
        """Return the rows (U, D) of some items, equal to those of all; work grows with U."""
        rows_UD: Tensor = self.identity(items_U)
        if self.project is not None:
            rows_UD = rows_UD + self.project(self.features_IF[items_U])
        if self.mix is None:
            return rows_UD
        near_UK, weights_UK = self.near_IK[items_U], self.weights_IK[items_U]
        near_UD = functional.embedding_bag(near_UK, self.identity.weight, per_sample_weights=weights_UK, mode="sum")
        if self.project is not None:  # a linear map: the neighbours' features are averaged before it
            features = functional.embedding_bag(near_UK, self.features_IF, per_sample_weights=weights_UK, mode="sum")
            near_UD = near_UD + self.project(features)
        mixed_UD: Tensor = rows_UD + self.mix * near_UD
        return mixed_UD


class MixedRows(NamedTuple):
    """Neighbours mixed into each item's row: item numbers int64 (I, K); weights float32 (I, K) summing to 1 or 0."""

    items: NDArray[np.int64]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, neighbors: Neighbors | None, k: int) -> MixedRows | None:
        """Take the `k` best neighbours, weighted by score; None where `k` is 0 or there are no neighbours."""
        if neighbors is None or k == 0:
            return None
        best = neighbors.first(k)
        weights = np.where(best.items >= 0, np.maximum(best.scores, 0.0), 0.0).astype(np.float64)
        sums = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
        return cls(np.maximum(best.items, 0).astype(np.int64), weights.astype(np.float32))


def given_rows(weights: Mapping[str, Tensor]) -> tuple[NDArray[np.float32] | None, MixedRows | None]:
    """Return the features and the mixed-in neighbours that a model's saved `items` were built with."""
    features, near = weights.get("items.features_IF"), weights.get("items.near_IK")
    mixed = None if near is None else MixedRows(near.numpy(), weights["items.weights_IK"].numpy())
    return (None if features is None else features.numpy()), mixed


def item_features(
    vectors: NDArray[np.floating[Any]] | None, neighbors: Neighbors | None, k: int
) -> NDArray[np.float32] | None:
    """Concatenate the items' vectors and the mean vectors of their `k` best neighbours.

    Returns:
        float32 (I, F) or, with neighbours, (I, 2F); None where there are no vectors.

    Raises:
        DataError: vectors and neighbours are of different numbers of items, or a vector is not finite.
    """
    if vectors is None:
        return None
    own_IF = finite_matrix(vectors)
    if neighbors is None or k == 0:
        return own_IF
    if len(neighbors.items) != len(own_IF):
        raise DataError(
            f"{len(own_IF):,} item vectors, but neighbours of {len(neighbors.items):,} items; "
            "make both from one catalog"
        )
    near_IK = neighbors.items[:, :k]
    present_IK1 = (near_IK >= 0)[..., None].astype(np.float32)  # lists shorter than k are padded with −1
    total_IF = np.einsum("ikf,iko->if", own_IF[np.maximum(near_IK, 0)], present_IK1)
    return np.concatenate([own_IF, total_IF / np.maximum(present_IK1.sum(1), 1)], axis=1)
