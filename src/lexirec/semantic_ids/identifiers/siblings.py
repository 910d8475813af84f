"""Choosing one term per cell along each item's path, with or without different terms for siblings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexirec.core.progress import track
from lexirec.semantic_ids.codes import Codes, first_members
from lexirec.semantic_ids.lexicon.lexicon import Lexicon


def choose_terms(lexicon: Lexicon, codes: Codes, *, distinct_siblings: bool = False) -> NDArray[np.int32]:
    """Return the term of each item at each level: int32 (n_items, levels), −1 where a cell has no term left.

    From the first level on, an item takes the best term of its cell that it does not have from an earlier level;
    items of one prefix thus get the same terms (GRAM's preprocessing code; its paper, section 3.1).

    Args:
        lexicon: Terms of the cells.
        codes: The codes whose cells they are.
        distinct_siblings: Let no two cells below the same terms share a term: a term goes to the cell with the
            highest score for it (then to the larger, then to the first), the others take their next best, so that no
            cell could better itself with a term that scores less in the cell that has it (a stable matching).
    """
    chosen = np.full((len(codes), codes.levels), -1, dtype=np.int32)
    for level in track(range(codes.levels), "choosing terms"):
        groups = codes.prefixes(level)
        members = first_members(groups)
        terms, scores = lexicon.levels[level].padded()
        cells = codes.cells(level)[members]
        terms, used = terms[cells], chosen[members, :level]
        free = terms >= 0
        for earlier in used.T:
            free &= terms != earlier[:, None]
        if distinct_siblings:
            parents = np.unique(used, axis=0, return_inverse=True)[1] if level else np.zeros(len(used), dtype=np.int64)
            picked = _match(terms, scores[cells], free, parents, np.bincount(groups))
        else:
            picked = _take(terms, free)
        chosen[:, level] = picked[groups]
    return chosen


def _take(terms: NDArray[np.int32], free: NDArray[np.bool_]) -> NDArray[np.int32]:
    if not terms.shape[1]:
        return np.full(len(terms), -1, dtype=np.int32)
    return np.where(free.any(axis=1), terms[np.arange(len(terms)), free.argmax(axis=1)], np.int32(-1))


def _match(
    terms: NDArray[np.int32],
    scores: NDArray[np.float64],
    free: NDArray[np.bool_],
    parents: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Match cells (rows, best terms first) and terms within each parent, by deferred acceptance (Gale and Shapley).

    Every row claims its best term left; of the rows of one parent that claim a term the best keeps the claim, the
    others go on to their next; a parent whose rows all keep their claims is settled.
    """
    order = np.argsort(~free, axis=1, kind="stable")  # free terms to the front, still best first
    last = np.full((len(terms), 1), -1, dtype=np.int32)
    terms = np.hstack([np.take_along_axis(np.where(free, terms, np.int32(-1)), order, axis=1), last])
    scores = np.hstack([np.take_along_axis(scores, order, axis=1), np.zeros((len(scores), 1))])
    place = np.zeros(len(terms), dtype=np.int64)
    active = np.arange(len(terms))
    while len(active):
        claims, worth = terms[active, place[active]], scores[active, place[active]]
        ranked = np.lexsort((active, -sizes[active], -worth, claims, parents[active]))
        rows = active[ranked]
        beaten = np.zeros(len(rows), dtype=np.bool_)
        beaten[1:] = (np.diff(claims[ranked]) == 0) & (np.diff(parents[rows]) == 0) & (claims[ranked][1:] >= 0)
        place[rows[beaten]] += 1
        active = np.sort(active[np.isin(parents[active], parents[rows[beaten]])])
    return terms[np.arange(len(terms)), place]
