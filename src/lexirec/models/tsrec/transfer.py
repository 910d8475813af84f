"""Transfer of TS-Rec to another catalogue: the same language model and tokens, other items.

Weights of the language model, of tokens and of the map from item features are transferred; weights of single items are
not. The result recommends zero-shot in another domain, or is a starting point for training there (MiniOneRec, TS-Rec:
tested on Office after Industrial).
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.t5 import Backbone
from lexirec.semantic_ids.identifiers.identifiers import Identifiers

_OF_ITEMS, _BACKBONE = "items.", "backbone."
_LEARNED_OF_ALL = ("items.project.weight", "items.mix")
"""Weights of item rows that hold for all items."""


def transfer_to(
    recommender: TSRecRecommender, catalog: Catalog, inputs: TSRecInputs, *, category: str | None = None
) -> TSRecRecommender:
    """Return a recommender for another catalogue with the weights of this one, which stays unchanged.

    Identifier tokens that the tokenizer lacks are added with fresh embeddings. A grounded head computes the rows of
    items from their features and mixes in their neighbours'; the items' own rows start at zero, because no item was
    seen in training.

    Args:
        recommender: the trained recommender.
        catalog: the other catalogue.
        inputs: of its items: identifiers by the same quantiser; for a grounded head also vectors in the same space, and
            neighbours if it was trained with neighbours (without them none are mixed in). Without words the tokens
            keep those they have.
        category: of these items, for prompts that name it; by default the recommender's.

    Raises:
        DataError: the inputs do not fit the catalogue, or the features the head was trained on.
    """
    settings, trained = recommender.settings, recommender.model
    if category is not None:
        prompts = settings.prompts.model_copy(update={"category": category})
        settings = settings.model_copy(update={"prompts": prompts})
    inputs = replace(inputs, words=inputs.words or recommender.words)
    if trained.items is not None:
        inputs = _as_trained(trained.items, inputs)
    backbone = recommender.backbone
    model, tokenizer = copy.deepcopy((backbone.model, backbone.tokenizer))
    without_start = settings.model_copy(update={"sa_init": None})  # the tokens are trained already
    built = TSRecRecommender.build(catalog, Backbone(model.cpu(), tokenizer), inputs, without_start)
    _copy_weights(trained, built.model)
    built.model.to(trained.device)
    spelled = replace(inputs, identifiers=built.identifiers)
    return TSRecRecommender(catalog, built.backbone, built.model, settings, spelled)


def unseen_tokens(recommender: TSRecRecommender, identifiers: Identifiers) -> list[str]:
    """Return the tokens of identifiers that a recommender's tokenizer lacks."""
    return identifiers.new_pieces(recommender.backbone.tokenizer)


def _as_trained(items: ItemRows, inputs: TSRecInputs) -> TSRecInputs:
    """Return the inputs reduced to the features that the rows were trained with; missing neighbours become empty."""
    width = items.features_IF.shape[1]
    if width and inputs.vectors is None:
        raise DataError("the head was trained with item vectors; give vectors of the other catalog in the same space")
    vectors = inputs.vectors if width else None
    had_neighbors = items.mix is not None or (vectors is not None and width != vectors.shape[1])
    neighbors = (inputs.neighbors or _no_neighbors(len(inputs.identifiers.tokens))) if had_neighbors else None
    return replace(inputs, vectors=vectors, neighbors=neighbors)


def _no_neighbors(n_items: int) -> Neighbors:
    return Neighbors(np.full((n_items, 1), -1, dtype=np.int32), np.zeros((n_items, 1), dtype=np.float32))


@torch.no_grad()
def _copy_weights(trained: TSRecNetwork, fresh: TSRecNetwork) -> None:
    """Copy the weights that hold for all items; the fresh model's backbone is a copy already."""
    if trained.items is not None and fresh.items is not None:
        before, now = (items.features_IF.shape[1] for items in (trained.items, fresh.items))
        if before != now:
            raise DataError(
                f"the head was trained with {before} features of an item, but the other catalog has {now}; "
                "make its vectors in the same space"
            )
        fresh.items.identity.weight.zero_()
    weights_of_fresh = fresh.state_dict()
    learned = {
        name: weights
        for name, weights in trained.state_dict().items()
        if name in weights_of_fresh and (name in _LEARNED_OF_ALL or not name.startswith((_OF_ITEMS, _BACKBONE)))
    }
    fresh.load_state_dict(learned, strict=False)
