"""Checks that a new version must pass before it becomes active; each failure is one line that names what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lexirec.core.errors import DataError
from lexirec.core.progress import quiet
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.decoding.trie import Trie
from lexirec.models.extension.changes import CatalogChange
from lexirec.semantic_ids.identifiers.prefixes import find_clash
from lexirec.serving.catalog_versions.differences import generative_parts, moved_identifiers

SAMPLED = 100
"""Histories that a new version answers before it becomes active."""
_PLACES, _LONGEST = 10, 5


def check_version(recommender: Recommender, before: Recommender, change: CatalogChange) -> None:
    """Check a recommender as it was read back from its version.

    Args:
        recommender: Of the version.
        before: Of the version that it was made from.
        change: What changed.

    Raises:
        DataError: it has another catalogue, identifiers that are equal or moved, an item that no search reaches, or a
            sampled history without a full answer.
    """
    if recommender.catalog.digest != change.after.digest:
        raise DataError("the new version was stored with another catalog than was made; publish again")
    for part, old in zip(generative_parts(recommender), generative_parts(before), strict=True):
        _check_identifiers(part, old, change)
        _check_leaves(part.model.trie, part.identifiers.tokens)
    _check_answers(recommender)


def _check_identifiers(part: Any, before: Any, change: CatalogChange) -> None:
    tokens = part.identifiers.tokens
    clash = find_clash(tokens)
    if clash is not None:
        names = [change.after.item_ids[item] for item in clash]
        raise DataError(f"items '{names[0]}' and '{names[1]}' have identifiers that cannot be told apart")
    moved = moved_identifiers(part, before)
    if moved:
        raise DataError(f"the identifier of item '{moved[0]}' would move ({len(moved):,} such items)")


def _check_leaves(trie: Trie, tokens: Any) -> None:
    """Check that the path of every item, from the root down, ends at the item."""
    paths = trie.ancestors()
    lengths = (paths >= 0).sum(1)
    leaves = paths.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
    parents = torch.cat([torch.zeros_like(paths[:, :1]), paths[:, :-1]], dim=1)
    real = paths >= 0
    below = (
        real
        & (paths > trie.child_offsets[parents.clamp(min=0)])
        & (paths <= trie.child_offsets[parents.clamp(min=0) + 1])
    )
    spelled = trie.token[paths.clamp(min=0)][:, : tokens.shape[1]].cpu().numpy()
    same = ((spelled == tokens) | (tokens < 0)).all(axis=1)
    reached = (trie.node_item[leaves] == torch.arange(trie.n_items, device=trie.device)) & (below == real).all(1)
    lost = np.flatnonzero(~(reached.cpu().numpy() & same))
    if len(lost):
        raise DataError(f"item number {lost[0]} cannot be reached in the trie ({len(lost):,} such items)")


def _check_answers(recommender: Recommender) -> None:
    """Check that sampled histories, added items among them, get as many items as there are."""
    n_items = len(recommender.catalog)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, n_items, size=rng.integers(1, _LONGEST + 1)).tolist() for _ in range(SAMPLED - 1)]
    with quiet():
        ranking = recommender.rank(Sequences.from_lists([[], *rows]), k=min(_PLACES, n_items))
    short = np.flatnonzero((ranking.items < 0).any(axis=1) | ~np.isfinite(ranking.scores).all(axis=1))
    if len(short):
        raise DataError(f"{len(short):,} of {SAMPLED} sampled histories do not get {min(_PLACES, n_items)} items")
