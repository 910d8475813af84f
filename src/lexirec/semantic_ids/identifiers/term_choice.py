"""Choose one lexicon term per item and level, for lexical identifiers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexirec.core.progress import track
from lexirec.semantic_ids.codes import Codes, first_members
from lexirec.semantic_ids.lexicon.lexicon import Lexicon


def choose_terms(lexicon: Lexicon, codes: Codes, *, distinct_siblings: bool = False) -> NDArray[np.int32]:
    """Choose one term per item and level: int32 (n_items, levels), −1 where a cell has no term left.

    From the first level on, an item gets the best term of its cell that it does not have from an earlier level; items
    with the same prefix thus get the same terms (GRAM's preprocessing code; its paper, section 3.1).

    Args:
        lexicon: Terms of the cells.
        codes: The codes whose cells the lexicon names.
        distinct_siblings: Give cells below the same terms different terms, by stable matching: a term goes to the cell
            with the highest score for it (then to the larger, then to the first), the others get their next best. No
            cell then prefers a term that scores less in the cell that has it.
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
            assigned = _match(terms, scores[cells], free, parents, np.bincount(groups))
        else:
            assigned = _first_free(terms, free)
        chosen[:, level] = assigned[groups]
    return chosen


def _first_free(terms: NDArray[np.int32], free: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the first free term of each row, −1 without any."""
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

    Every row claims its best remaining term. Of the rows of a parent that claim the same term, the best keeps it and
    the others move to their next term. A parent is finished when all its rows keep their claims.
    """
    order = np.argsort(~free, axis=1, kind="stable")  # free terms to the front, still best first
    last = np.full((len(terms), 1), -1, dtype=np.int32)
    terms = np.hstack([np.take_along_axis(np.where(free, terms, np.int32(-1)), order, axis=1), last])
    scores = np.hstack([np.take_along_axis(scores, order, axis=1), np.zeros((len(scores), 1))])
    rank = np.zeros(len(terms), dtype=np.int64)  # of the term that each row claims
    active = np.arange(len(terms))
    while len(active):
        claims, claim_scores = terms[active, rank[active]], scores[active, rank[active]]
        # rows that claim the same term below the same parent become neighbours, the best of them first
        ranked = np.lexsort((active, -sizes[active], -claim_scores, claims, parents[active]))
        rows = active[ranked]
        beaten = np.zeros(len(rows), dtype=np.bool_)
        beaten[1:] = (np.diff(claims[ranked]) == 0) & (np.diff(parents[rows]) == 0) & (claims[ranked][1:] >= 0)
        rank[rows[beaten]] += 1
        active = np.sort(active[np.isin(parents[active], parents[rows[beaten]])])
    return terms[np.arange(len(terms)), rank]
