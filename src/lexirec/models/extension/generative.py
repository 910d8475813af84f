"""Generative recommenders for catalogues that have changed: identifiers, prompts, item rows and trie, without training.

Weights of the network stay as they are. The row of an added item has no learned part of its own: it is made of the same
features as all rows, its vector and its neighbours'. An item's prompt names the item, its neighbours and its texts.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexirec.core.errors import DataError
from lexirec.data.neighbors import Neighbors
from lexirec.models.extension.changes import CatalogChange
from lexirec.models.extension.encoding import ItemEncoder
from lexirec.models.extension.naming import semantic_ids_of
from lexirec.models.extension.neighbors import neighbors_among_trained
from lexirec.models.gram.item_prompts import item_prompts
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.recommender import assemble as assemble_gram
from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.models.tsrec.recommender import assemble as assemble_tsrec
from lexirec.nn.embedding_table import ItemRows, MixedRows, item_features
from lexirec.nn.ragged import Ragged
from lexirec.nn.t5 import Backbone
from lexirec.semantic_ids.identifiers.identifiers import Identifiers, pad_rows
from lexirec.semantic_ids.lexicon.tfidf import vocabulary_of

Network = TypeVar("Network", bound=nn.Module)
_IDENTITY = "items.identity.weight"
_BUFFERS = ("items.features_IF", "items.near_IK", "items.weights_IK")


@dataclass(frozen=True, eq=False)
class NewItems:
    """What is known of the items that are added or reworded.

    Attributes:
        numbers: int64 (k,), their numbers after the change: reworded ones, then added ones.
        identifiers: Tokens of the added ones.
        vectors: float32 (n_items, d), of the whole catalogue after the change.
        neighbors: Of the `numbers`, among trained items; None where the recommender has none.
    """

    numbers: NDArray[np.int64]
    identifiers: Sequence[Sequence[int]]
    vectors: NDArray[np.float32]
    neighbors: Neighbors | None

    @classmethod
    def of(cls, change: CatalogChange, identifiers: Sequence[Sequence[int]], encoder: ItemEncoder) -> NewItems:
        """Encode the items of a change."""
        numbers = np.concatenate([change.reworded, change.added]).astype(np.int64)
        vectors = encoder.vectors(change.after)
        near = neighbors_among_trained(numbers, change, encoder, vectors) if len(numbers) else None
        return cls(numbers, identifiers, vectors, near)


def extend_gram(recommender: GramRecommender, change: CatalogChange, new: NewItems) -> GramRecommender:
    """Return a GRAM recommender of the catalogue after a change; the given one stays as it is."""
    backbone = _copied(recommender.backbone)
    identifiers = grown_identifiers(recommender.identifiers, change, new.identifiers, backbone.tokenizer)
    prompts = _prompts(recommender, change, new, identifiers)
    trained, settings = recommender.model, recommender.settings
    features = _features(trained.items, change, new, settings.network.neighbor_features)
    model = assemble_gram(backbone, settings, (identifiers, prompts), features, _trained(change))
    _put(trained, model, change)
    return GramRecommender(change.after, backbone, model, settings, (identifiers, prompts))


def extend_tsrec(recommender: TSRecRecommender, change: CatalogChange, new: NewItems) -> TSRecRecommender:
    """Return a TS-Rec recommender of the catalogue after a change; the given one stays as it is."""
    backbone = _copied(recommender.backbone)
    identifiers = grown_identifiers(recommender.identifiers, change, new.identifiers, backbone.tokenizer)
    trained, settings = recommender.model, recommender.settings
    features = _features(trained.items, change, new, settings.network.neighbor_features)
    model = assemble_tsrec(backbone, settings, identifiers, features, _trained(change))
    _put(trained, model, change)
    groups = recommender.semantic_ids
    if groups is not None:
        added = semantic_ids_of(new.identifiers, backbone.tokenizer, groups.shape[1])
        groups = np.concatenate([groups[change.kept], added.astype(groups.dtype)])
    extended = TSRecRecommender(
        change.after, backbone, model, settings, TSRecInputs(identifiers, recommender.words, groups)
    )
    extended.origin = recommender.origin
    return extended


def grown_identifiers(
    before: Identifiers, change: CatalogChange, added: Sequence[Sequence[int]], tokenizer: Any
) -> Identifiers:
    """Return the identifiers of the remaining items as they are, and those of the added ones behind them.

    Raises:
        DataError: two are equal, or one is the beginning of another.
    """
    old = before.tokens[change.kept]
    lengths = np.concatenate([(old >= 0).sum(axis=1), [len(each) for each in added]]).astype(np.int64)
    numbers = np.concatenate([old[old >= 0], np.array([token for each in added for token in each], dtype=np.int32)])
    return Identifiers(pad_rows(numbers, lengths), vocabulary_of(tokenizer))


def _copied(backbone: Backbone) -> Backbone:
    model, tokenizer, encoder = copy.deepcopy(tuple(backbone))
    return Backbone(model.cpu(), tokenizer, None if encoder is None else encoder.cpu())


def _trained(change: CatalogChange) -> int | None:
    return change.trained if change.trained < len(change.after) else None


def _prompts(recommender: GramRecommender, change: CatalogChange, new: NewItems, identifiers: Identifiers) -> Ragged:
    """Return the prompts of all items: those of new and reworded items are made, all others are as they were."""
    before = recommender.item_prompts.to("cpu")
    if not len(new.numbers):
        return _rows(before, change.kept)
    # one small table: the new items, and behind them the trained items that are their neighbours
    near = new.neighbors.items if new.neighbors is not None else None
    used = np.unique(near[near >= 0]) if near is not None else np.zeros(0, dtype=np.int64)
    table = identifiers.tokens[np.concatenate([new.numbers, used.astype(np.int64)])]
    if near is not None:
        places = np.where(near >= 0, len(new.numbers) + np.searchsorted(used, near), -1)
        near = np.concatenate([places, np.full((len(used), near.shape[1]), -1)])
    rows = change.after.take(new.numbers)
    fields = {name: rows.field(name) + [""] * len(used) for name in rows.text_fields}
    made, _ = item_prompts(fields, table, near, recommender.backbone.tokenizer, recommender.settings.prompts)
    order = np.concatenate([change.kept, np.zeros(len(change.added), dtype=np.int64)])
    order[new.numbers] = len(before) + np.arange(len(new.numbers))
    joined = Ragged(
        torch.cat([before.values, made.values]), torch.cat([before.offsets, made.offsets[1:] + before.offsets[-1]])
    )
    return _rows(joined, order)


def _rows(rows: Ragged, order: NDArray[np.int64]) -> Ragged:
    """Return the given rows in the given order."""
    chosen = torch.from_numpy(order)
    ids, mask = rows.pad(chosen, fill=-1)
    return Ragged.from_padded(ids.masked_fill(~mask, -1)) if len(order) else rows


def _features(
    items: ItemRows | None, change: CatalogChange, new: NewItems, k: int
) -> tuple[NDArray[np.float32] | None, MixedRows | None]:
    """Return the features and mixed-in neighbours of all items for a grounded head.

    Raises:
        DataError: the vectors of new items are not as wide as those of the trained ones.
    """
    if items is None:
        return None, None
    n_items = len(change.after)
    features: NDArray[np.float32] | None = None
    width = items.features_IF.shape[1]
    if width:
        features = np.zeros((n_items, width), dtype=np.float32)
        features[: len(change.kept)] = items.features_IF.cpu().numpy()[change.kept]
        if len(new.numbers):
            features[new.numbers] = _of_new(new, width, k)
    if items.mix is None:
        return features, None
    near = np.zeros((n_items, items.near_IK.shape[1]), dtype=np.int64)
    weights = np.zeros(near.shape, dtype=np.float32)
    moved = change.moved[items.near_IK.cpu().numpy()[change.kept]]
    near[: len(change.kept)] = np.maximum(moved, 0)
    weights[: len(change.kept)] = np.where(moved >= 0, items.weights_IK.cpu().numpy()[change.kept], 0)
    mixed = MixedRows.of(new.neighbors, near.shape[1]) if len(new.numbers) else None
    if mixed is not None:
        width = mixed.items.shape[1]
        near[new.numbers], weights[new.numbers] = 0, 0
        near[new.numbers, :width], weights[new.numbers, :width] = mixed
    return features, MixedRows(near, weights)


def _of_new(new: NewItems, width: int, k: int) -> NDArray[np.float32]:
    """Return features of new items: their vectors, and their neighbours' means where trained items have these."""
    own = new.vectors[new.numbers]
    if width == own.shape[1]:
        return own
    if width == 2 * own.shape[1]:
        if new.neighbors is None:
            return np.concatenate([own, np.zeros_like(own)], axis=1)
        # the features of a table of the neighbours' vectors with the new items' own in front
        used = np.unique(new.neighbors.items[new.neighbors.items >= 0])
        places = np.where(new.neighbors.items >= 0, len(own) + np.searchsorted(used, new.neighbors.items), -1).astype(
            np.int32
        )
        empty = np.full((len(used), places.shape[1]), -1, dtype=np.int32)
        table = Neighbors(
            np.concatenate([places, empty]), np.zeros((len(own) + len(used), places.shape[1]), np.float32)
        )
        features = item_features(np.concatenate([own, new.vectors[used]]), table, k)
        assert features is not None
        return features[: len(own)]
    raise DataError(
        f"items have vectors of {own.shape[1]} numbers, but the model was trained with {width} features of an item; "
        "use the vectors that it was trained with"
    )


@torch.no_grad()
def _put(trained: nn.Module, fresh: nn.Module, change: CatalogChange) -> None:
    """Give the weights of a trained network to one of the changed catalogue, on the same device."""
    weights: dict[str, Tensor] = dict(trained.state_dict())
    device = next(iter(weights.values())).device
    if _IDENTITY in weights:
        rows = weights[_IDENTITY].cpu()
        kept = rows[torch.from_numpy(change.kept)]
        weights[_IDENTITY] = torch.cat([kept, rows.new_zeros(len(change.added), rows.shape[1])])
        made = fresh.state_dict()
        weights |= {name: made[name] for name in _BUFFERS if name in weights}
    fresh.load_state_dict(weights)
    fresh.to(device).eval()
