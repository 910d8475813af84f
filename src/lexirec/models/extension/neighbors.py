"""Neighbours of new items among the trained ones, by the rule that the trained items' neighbours were found by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.neighbors import Neighbors
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.extension.changes import CatalogChange
from lexirec.models.extension.encoding import ItemEncoder, nearest_of
from lexirec.models.extension.memory import extend_memory, neighbors_of
from lexirec.models.extension.scorers import likeness_of


def neighbors_among_trained(
    items: NDArray[np.int64], change: CatalogChange, encoder: ItemEncoder, vectors: NDArray[np.float32]
) -> Neighbors | None:
    """Return the neighbours of some items of a changed catalogue, numbers of trained items; None where there are none.

    Neighbours by the memory's counts come from the memory of the training rows, extended to the new items. Neighbours
    by co-occurrence, by SASRec and from a file know no new item; there the nearest by vectors take their place.

    Args:
        items: Numbers after the change.
        change: What changed.
        encoder: Of the items.
        vectors: float32 (n_items, d), of the catalogue after the change.
    """
    settings, stored = encoder.artifacts.settings.get("neighbors"), encoder.artifacts.neighbors
    if settings is None or stored is None:
        return None
    k, train = stored.items.shape[1], encoder.artifacts.train
    if settings.get("kind") == "memory" and train is not None:
        evidence = str(settings.get("evidence", "text"))
        first, every = _from_training(change, encoder), encoder.artifacts.catalog
        likeness = likeness_of(first, encoder, evidence) if evidence != "none" else None
        named: dict[str, Any] = {}
        if evidence == "text":
            named["texts"] = every.texts()
        elif evidence == "vectors":
            named["vectors"] = encoder.trained_vectors()
        memory = Memory(MemorySettings.model_validate(settings.get("memory", {}))).fit(train, len(every), **named)
        return neighbors_of(extend_memory(memory, first, likeness), items, change.trained, k)
    near = nearest_of(vectors[items], vectors[: change.trained], k + 1)
    return _without_themselves(near, items, k)


def _from_training(change: CatalogChange, encoder: ItemEncoder) -> CatalogChange:
    """Return the change from the catalogue of training to the present one, whatever came between."""
    before, after = encoder.artifacts.catalog, change.after
    kept = before.find(after.item_ids[: change.trained]).astype(np.int64)
    texts, now = before.take(kept).texts(), after.take(np.arange(change.trained)).texts()
    reworded = np.flatnonzero([old != new for old, new in zip(texts, now, strict=True)])
    return CatalogChange(before, after, kept, reworded.astype(np.int64), change.trained)


def _without_themselves(near: Neighbors, items: NDArray[np.int64], k: int) -> Neighbors:
    """Leave each item out of its own neighbours, and keep the k best of the others."""
    others = near.items != items[:, None]
    order = np.argsort(~others, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(np.where(others, near.items, -1), order, axis=1)
    scores = np.take_along_axis(np.where(others, near.scores, 0.0).astype(np.float32), order, axis=1)
    return Neighbors(found, scores)
