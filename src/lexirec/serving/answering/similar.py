"""Similar items: the lists of neighbours first, then the nearest by vectors, else by what follows the items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lexirec.data.sequences import Sequences
from lexirec.serving.answering.compiling import Compiled
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.recommend import RankedItem, SimilarAnswer, SimilarRequest

_ABOVE = 2.0
"""Lifts the scores of listed neighbours above every cosine."""


def find_similar(snapshot: Snapshot, body: SimilarRequest, compiled: Compiled) -> SimilarAnswer:
    """Return the legal items most like the given ones, which are left out themselves.

    Several items are joined by the mean of their similarities.

    Raises:
        ProblemError: none of the items is in the catalogue, or nothing is there to compare them by.
    """
    asked = (body.item_id,) if body.item_id is not None else body.item_ids
    numbers = {item_id: snapshot.numbers.get(item_id) for item_id in asked}
    known = np.array([number for number in numbers.values() if number is not None], dtype=np.int64)
    unknown = tuple(item_id for item_id, number in numbers.items() if number is None)
    if not len(known):
        raise ProblemError("unknown-item", f"'{asked[0]}' is not in the catalogue; give an item that is")
    legal = np.ones(len(snapshot.catalog), dtype=np.bool_)
    if compiled.rules.allowed is not None:
        legal &= compiled.rules.allowed
    legal[known] = False
    items, scores, by = _nearest(snapshot, known, legal, body.k)
    fields = snapshot.fields(body.return_fields, items) if body.return_fields else None
    ids = snapshot.catalog.item_ids
    return SimilarAnswer(
        items=tuple(
            RankedItem(
                item_id=ids[item],
                rank=place + 1,
                score=round(float(scores[place]), 6),
                source="memory" if by == "transitions" else "model",
                fields=fields[place] if fields is not None else None,
            )
            for place, item in enumerate(items.tolist())
        ),
        by=by,
        catalog_version=snapshot.catalog_version,
        unknown_items=(*unknown, *compiled.unknown),
        remarks=compiled.remarks,
    )


def _nearest(
    snapshot: Snapshot, known: NDArray[np.int64], legal: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], str]:
    similar = snapshot.similar
    if similar.vectors is not None:
        # unit vectors: the product is the cosine; neighbours, where there are lists, come before the rest
        cosines = (similar.vectors @ similar.vectors[known].mean(axis=0)).astype(np.float32)
        scores = np.where(legal, cosines, -np.inf).astype(np.float32)
        if similar.neighbors is None or similar.scores is None:
            return *_best(scores, k), " + ".join(similar.names)
        listed = _listed(similar.neighbors, similar.scores, known, len(scores))
        items, _ = _best(np.where(legal & (listed > 0), _ABOVE + listed, scores).astype(np.float32), k)
        return items, np.where(listed[items] > 0, listed[items], cosines[items]), " + ".join(similar.names)
    if similar.neighbors is not None and similar.scores is not None:
        listed = _listed(similar.neighbors, similar.scores, known, len(legal))
        return *_best(np.where(legal & (listed > 0), listed, -np.inf).astype(np.float32), k), similar.names[0]
    if not snapshot.simpler:
        raise ProblemError("not-found", "this model has neither neighbours nor vectors of items to compare them by")
    one_each = Sequences.from_lists([[int(number)] for number in known])
    ranking = snapshot.simpler[0].recommender.rank(one_each, k=len(legal), allowed=legal)
    total = np.zeros(len(legal), dtype=np.float64)
    for items, scores in zip(ranking.items, ranking.scores, strict=True):
        total[items[items >= 0]] += scores[items >= 0]
    return *_best(np.where(legal, total / len(known), -np.inf).astype(np.float32), k), "transitions"


def _listed(
    neighbors: NDArray[np.int32], scores: NDArray[np.float32], known: NDArray[np.int64], n_items: int
) -> NDArray[np.float32]:
    """Return the mean similarity of every item in the lists of the known ones, 0 where it stands in none."""
    total = np.zeros(n_items + 1, dtype=np.float32)
    np.add.at(total, neighbors[known].ravel(), scores[known].ravel())  # −1 adds to the last cell, which is cut off
    return total[:n_items] / np.float32(len(known))


def _best(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the k best finite ones, ties by number."""
    finite = np.flatnonzero(np.isfinite(scores))
    if len(finite) > k:
        border = np.partition(scores[finite], len(finite) - k)[len(finite) - k]
        finite = finite[scores[finite] >= border]
    order = finite[np.lexsort((finite, -scores[finite]))][:k]
    return order.astype(np.int32), scores[order]


def unit_rows(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join sources of vectors and scale each row to length 1; rows of zeros stay."""
    joined = np.concatenate([np.asarray(each, dtype=np.float32) for each in vectors], axis=1)
    length = np.linalg.norm(joined, axis=1, keepdims=True)
    rows: NDArray[np.float32] = np.divide(joined, length, out=np.zeros_like(joined), where=length > 0)
    return rows
