"""A recorded beam search as an answer: which prefixes lived, which were pruned, where a filter cut."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lexirec.decoding.recording import BeamRecorder, BeamStep, Ints
from lexirec.serving.schemas.workbench import BeamAnswer, BeamDepth, BeamNode
from lexirec.serving.workbench.identifier_tree import IdentifierTree

MOST = {"kept": 60, "pruned": 20, "forbidden": 12, "found": 200, "beaten": 20}
"""Nodes of each state that are listed at a depth, besides those that lead to listed ones."""


def beam_answer(recorder: BeamRecorder, tree: IdentifierTree, ranks: Mapping[int, int]) -> BeamAnswer | None:
    """Return the first search that was recorded; None where none was.

    Args:
        recorder: of the request.
        tree: of the snapshot that answered.
        ranks: places in the list by item number.
    """
    if not recorder.searches:
        return None
    search = recorder.searches[0]
    last = [score for item, score in zip(search.items.tolist(), search.scores.tolist(), strict=True) if item in ranks]
    return BeamAnswer(
        width=search.width,
        searches=len(recorder.searches),
        exact=search.exact,
        bound=_finite(search.bound),
        last_score=_finite(min(last, default=-math.inf)),
        depths=tuple(_depths(search.steps, tree, ranks)),
    )


def _depths(steps: list[BeamStep], tree: IdentifierTree, ranks: Mapping[int, int]) -> list[BeamDepth]:
    """Return the steps from the last to the first, so that what leads to listed nodes is listed; then turn them."""
    depths, needed = list[BeamDepth](), set[int]()
    for step in reversed(steps):
        states = _states(step, ranks)
        listed = _listed(step, states, needed)
        needed = set(step.parents[listed].tolist())
        kept = step.scores[step.kept]
        depths.append(
            BeamDepth(
                depth=step.depth,
                scored=len(step.nodes),
                kept=len(kept),
                pruned=int((states == "pruned").sum()),
                forbidden=int((states == "forbidden").sum()),
                ended=int(np.isin(states, ("found", "beaten")).sum()),
                worst_kept=_finite(float(kept.min())) if len(kept) else None,
                nodes=tuple(_node(step, int(place), str(states[place]), tree, ranks) for place in listed),
            )
        )
    return depths[::-1]


def _states(step: BeamStep, ranks: Mapping[int, int]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    ends = step.items >= 0
    found = np.isin(step.items, np.array(list(ranks), dtype=np.int64)) & ends
    forbidden = np.isneginf(step.biases) | np.isneginf(step.scores)
    states = np.select([forbidden, found, ends, step.kept], ["forbidden", "found", "beaten", "kept"], default="pruned")
    return np.asarray(states)


def _listed(step: BeamStep, states: np.ndarray[tuple[int], np.dtype[np.str_]], needed: set[int]) -> Ints:
    """Return the places of the nodes that are listed, the best first."""
    # a forbidden node has no score of its own: how likely it would have been orders it
    order = np.lexsort((step.nodes, -step.log_probs, -np.where(np.isneginf(step.scores), -1e9, step.scores)))
    chosen = np.isin(step.nodes, np.fromiter(needed, dtype=np.int64))
    for state, most in MOST.items():
        chosen[order[states[order] == state][:most]] = True
    return np.asarray(order[chosen[order]], dtype=np.int64)


def _node(step: BeamStep, place: int, state: str, tree: IdentifierTree, ranks: Mapping[int, int]) -> BeamNode:
    node, item = int(step.nodes[place]), int(step.items[place])
    return BeamNode.model_validate(
        {
            "node": node,
            "parent": int(step.parents[place]),
            "word": tree.words[node],
            "items": tree.count(node),
            "log_prob": _finite(float(step.log_probs[place])) or 0.0,
            "bias": _finite(float(step.biases[place])),
            "score": _finite(float(step.scores[place])),
            "state": state,
            "item_id": tree.catalog.item_ids[item] if item >= 0 else None,
            "title": tree.titles[item] if item >= 0 else None,
            "rank": ranks.get(item),
        }
    )


def _finite(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
