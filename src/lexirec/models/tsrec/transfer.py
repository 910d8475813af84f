"""Carrying a causal recommender to another catalogue: the same language model, the same tokens, other items.

What the model learned about tokens, texts and the features of items goes along; what it learned about single items
does not. Zero-shot recommendation in another domain, and a start for learning there (MiniOneRec, TS-Rec: the test on
Office after Industrial).
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
"""What item rows have learned that holds for any item."""


def transfer_to(
    recommender: TSRecRecommender, catalog: Catalog, known: TSRecInputs, *, category: str | None = None
) -> TSRecRecommender:
    """Return a recommender for another catalogue, with the weights of this one, which stays as it is.

    Tokens of identifiers that the tokenizer lacks are added with fresh rows. A grounded head gives items the rows that
    its map of features says, and mixes in their neighbours'; rows of their own start at zero, for no item was seen.

    Args:
        recommender: the one that was trained.
        catalog: the other catalogue.
        known: about its items: identifiers by the same quantiser; vectors in the same space, for a grounded head, and
            neighbours, where it was trained with neighbours (none are then mixed in without them). Without words the
            tokens keep those they have.
        category: what these items are, where prompts say so; by default what they said before.

    Raises:
        DataError: what is known is not about the catalogue's items, or not what the head's map was trained on.
    """
    settings, trained = recommender.settings, recommender.model
    if category is not None:
        prompts = settings.prompts.model_copy(update={"category": category})
        settings = settings.model_copy(update={"prompts": prompts})
    known = replace(known, words=known.words or recommender.words)
    if trained.items is not None:
        known = _as_trained(trained.items, known)
    model, tokenizer = copy.deepcopy(tuple(recommender.backbone))
    without_start = settings.model_copy(update={"sa_init": None})  # the tokens have meanings by now
    built = TSRecRecommender.build(catalog, Backbone(model.cpu(), tokenizer), known, without_start)
    _hand_over(trained, built.model)
    built.model.to(trained.device)
    spelled = replace(known, identifiers=built.identifiers)
    return TSRecRecommender(catalog, built.backbone, built.model, settings, spelled)


def unseen_tokens(recommender: TSRecRecommender, identifiers: Identifiers) -> list[str]:
    """Return the tokens of identifiers that a recommender has never used."""
    return identifiers.new_pieces(recommender.backbone.tokenizer)


def _as_trained(items: ItemRows, known: TSRecInputs) -> TSRecInputs:
    """Give what the rows were trained with, empty neighbours if need be, and nothing else."""
    width = items.features_IF.shape[1]
    if width and known.vectors is None:
        raise DataError("the head was trained with item vectors; give those of the other catalog, in the same space")
    vectors = known.vectors if width else None
    had_neighbors = items.mix is not None or (vectors is not None and width != vectors.shape[1])
    neighbors = (known.neighbors or _no_neighbors(len(known.identifiers.tokens))) if had_neighbors else None
    return replace(known, vectors=vectors, neighbors=neighbors)


def _no_neighbors(n_items: int) -> Neighbors:
    return Neighbors(np.full((n_items, 1), -1, dtype=np.int32), np.zeros((n_items, 1), dtype=np.float32))


@torch.no_grad()
def _hand_over(trained: TSRecNetwork, fresh: TSRecNetwork) -> None:
    """Give a model over other items, whose backbone is a copy already, whatever else was learned about all items."""
    if trained.items is not None and fresh.items is not None:
        before, now = (items.features_IF.shape[1] for items in (trained.items, fresh.items))
        if before != now:
            raise DataError(
                f"the head was trained with {before} features of an item, and the other catalog gives {now}; "
                "make its vectors in the same space"
            )
        fresh.items.identity.weight.zero_()
    held = fresh.state_dict()
    learned = {
        name: weights
        for name, weights in trained.state_dict().items()
        if name in held and (name in _LEARNED_OF_ALL or not name.startswith((_OF_ITEMS, _BACKBONE)))
    }
    fresh.load_state_dict(learned, strict=False)
