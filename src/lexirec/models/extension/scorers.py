"""Baselines for catalogues that have grown: what cannot score an item it never saw is refused, or ranks it last."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from lexirec.core.errors import DataError
from lexirec.models.baselines.base import Baseline
from lexirec.models.baselines.memory import Memory
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.extension.changes import CatalogChange
from lexirec.models.extension.encoding import ItemEncoder
from lexirec.models.extension.memory import Likeness, extend_memory, padded, resized

_REACHES_NONE = ("popularity", "recency", "item-knn", "ease", "transitions", "graph-heuristic")
"""Kinds that know items by their events or by lists made in fitting: added items are in none and rank last."""


def extend_scorer(
    recommender: ScoreRecommender, change: CatalogChange, encoder: ItemEncoder, settings: Mapping[str, Any]
) -> ScoreRecommender:
    """Return a baseline of the catalogue after a change; the given one stays as it is.

    Args:
        recommender: Of the catalogue before.
        change: What changed.
        encoder: Of its items.
        settings: Of the memory's `evidence`; ignored for other kinds.

    Raises:
        DataError: the kind learns a vector per item, which an added item has not.
    """
    scorer, n_items = recommender.scorer, len(change.after)
    extended: Baseline
    if isinstance(scorer, Memory):
        evidence = str(settings.get("evidence", "text"))
        likeness = likeness_of(change, encoder, evidence) if scorer.similarities is not None else None
        extended = extend_memory(scorer, change, likeness)
    elif isinstance(scorer, Baseline) and recommender.kind in _REACHES_NONE:
        extended = _emptied(scorer, change, n_items)
    else:
        raise DataError(
            f"a recommender of kind '{recommender.kind}' learns every item from its events and cannot score an added "
            "one; add items to a generative model, the memory, or an ensemble of these, or train again"
        )
    trained = change.trained if change.trained < n_items else None
    return ScoreRecommender(change.after, extended, trained=trained)


def likeness_of(change: CatalogChange, encoder: ItemEncoder, evidence: str) -> Likeness:
    """Return how the items resemble each other, by the words of their texts or by their vectors."""
    places = encoder.artifacts.catalog.find(change.after.item_ids[: change.trained]).astype(np.int64)
    if evidence == "vectors":
        return Likeness(encoder.trained_vectors(), encoder.vectors(change.after), places)
    words = encoder.words
    return Likeness(words.rows(encoder.artifacts.catalog.texts()), words.rows(change.after.texts()), places)


def _emptied(scorer: Baseline, change: CatalogChange, n_items: int) -> Baseline:
    """Return a scorer with zeros for added items, and without the rows and columns of removed ones."""
    extended = copy.copy(scorer)
    if hasattr(scorer, "counted"):  # transitions are a memory without evidence
        extended.counted = extend_memory(scorer.counted, change, None)  # type: ignore[attr-defined]
        return extended
    for name in type(scorer).arrays:
        values = getattr(scorer, name)
        if values.ndim == 1:
            setattr(extended, name, padded(values, change.kept, n_items))
        else:
            grown = np.zeros((n_items, n_items), dtype=values.dtype)
            grown[np.ix_(change.moved[change.kept], change.moved[change.kept])] = values[
                np.ix_(change.kept, change.kept)
            ]
            setattr(extended, name, grown)
    for name in type(scorer).matrices:
        setattr(extended, name, resized(getattr(scorer, name), change.kept, n_items))
    return extended
