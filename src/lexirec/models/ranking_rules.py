"""Rank many requests at once, each by its own rules: filters, lists of ids, boosts, quotas, places for new items.

Filters, lists and boosts act in one call of the recommender. Quotas choose greedily along each ranking: an item is
taken unless one of its groups is full. Where that leaves a list short, a further call ranks, for the rows concerned,
the items that may still come. A search returns as many items as its beams find at no further cost, so one call mostly
suffices.

Every list obeys these laws. It holds min(k, legal items) items, unless quotas forbid more. It is the greedy choice
along the ranking of all legal items, as far as the search finds that ranking (`RankedItems.exact`). It does not depend
on the other requests.

Of k places, `round(k * new_items)` are kept for items that are newer than the model, or as many as are legal: the other
items have a quota of the rest. Kept places that the other quotas leave empty go to the best items that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError
from lexirec.data.ranking import Ranking, Recommender, check_request, list_length
from lexirec.data.sequences import Sequences

# the names of the rules, and what makes them, are also known by this module
from lexirec.models.compiled_rules import GivenRules as GivenRules
from lexirec.models.compiled_rules import Rules as Rules
from lexirec.models.compiled_rules import compile_rules as compile_rules
from lexirec.models.open_lists import OpenList
from lexirec.models.open_lists import RankedItems as RankedItems
from lexirec.models.quotas import choose
from lexirec.models.rule_texts import AtMost as AtMost
from lexirec.models.rule_texts import Boost as Boost

_PIECE = 256
"""Candidates that are scored in one search, so that its width stays bounded."""


def rank_with_rules(
    recommender: Recommender,
    histories: Sequences,
    ks: Sequence[int],
    rules: Sequence[Rules],
    *,
    seen: Sequence[NDArray[np.int32]] | None = None,
) -> list[RankedItems]:
    """Rank every history by its own rules.

    Args:
        recommender: Any recommender; one whose `rank` knows no `boosts` can be asked without them.
        histories: Rows of item numbers, oldest first.
        ks: Length of each list, at least 1.
        rules: Of each row.
        seen: Item numbers that are not legal for each row, such as its history; None for no such items.

    Raises:
        DataError: a history holds a number that no item has.
        SettingsError: a k is below 1, or what is given per row has another number of rows.
    """
    n_items = len(recommender.catalog)
    _check_rows(len(histories), ks=ks, rules=rules, seen=seen)
    for k in {*ks} or {1}:
        check_request(histories, n_items, k, None)
    nothing = np.empty(0, dtype=np.int32)
    requests = [
        OpenList.of(min(k, n_items), rule, nothing if seen is None else seen[row], n_items)
        for row, (k, rule) in enumerate(zip(ks, rules, strict=True))
    ]
    # rows that are searched equally wide share a call; another width would find other items
    lengths = np.array([min(list_length(recommender, request.k), n_items) for request in requests], dtype=np.int64)
    for length in np.unique(lengths):
        while len(rows := np.array([row for row in np.flatnonzero(lengths == length) if not requests[row].done])):
            _fill(recommender, histories.take(rows), [requests[row] for row in rows], int(length))
    return [request.result(relative=getattr(recommender, "relative_scores", False)) for request in requests]


def score_candidates(
    recommender: Recommender,
    histories: Sequences,
    candidates: Sequence[NDArray[np.int32]],
    *,
    boosts: Sequence[NDArray[np.float32] | None] | None = None,
) -> list[RankedItems]:
    """Rank all candidates of every history: each distinct candidate comes back with its score.

    Args:
        recommender: Any recommender.
        histories: Rows of item numbers, oldest first.
        candidates: Item numbers of each row; repeated ones count once.
        boosts: Of each row, as in `Rules`.

    Raises:
        DataError: a history holds a number that no item has.
        SettingsError: what is given per row has another number of rows.
    """
    _check_rows(len(histories), candidates=candidates, boosts=boosts)
    n_items = len(recommender.catalog)
    # ranks are ranks among all candidates; a sum of log-probabilities is the same among some of them
    most = n_items if getattr(recommender, "relative_scores", False) else max(_PIECE, list_length(recommender, 1))
    owners, ks, rules = list[int](), list[int](), list[Rules]()
    for row, items in enumerate(candidates):
        distinct = np.unique(items)
        for piece in _pieces(distinct, most):
            allowed = np.zeros(n_items, dtype=np.bool_)
            allowed[piece] = True
            owners.append(row)
            ks.append(max(len(piece), 1) if len(distinct) <= most else most)
            rules.append(Rules(allowed, None if boosts is None else boosts[row]))
    ranked = rank_with_rules(recommender, histories.take(np.array(owners, dtype=np.int64)), ks, rules)
    return [
        _joined([each for owner, each in zip(owners, ranked, strict=True) if owner == row])
        for row in range(len(histories))
    ]


# ---------------------------------------------------------------------------------------------------------- one call


def _fill(recommender: Recommender, histories: Sequences, requests: Sequence[OpenList], length: int) -> None:
    """Rank once for all these requests, and let each choose from its ranking."""
    n_items = len(recommender.catalog)
    options: dict[str, Any] = {}
    if any(request.boosts is not None for request in requests):
        options["boosts"] = _stacked([request.boosts for request in requests], np.zeros(n_items, dtype=np.float32))
    allowed = None
    if any(request.open is not None for request in requests):
        allowed = _stacked([request.open for request in requests], np.ones(n_items, dtype=np.bool_))
    ranking = recommender.rank(histories, k=length, allowed=allowed, **options)
    before = [request.missing for request in requests]
    again = _choose(requests, ranking)
    _choose([requests[row] for row in again], _of_open(ranking, requests, again))
    for request, missing in zip(requests, before, strict=True):
        request.calls += 1
        # a later ranking always holds an item, unless the recommender lists fewer items than are allowed
        request.done |= request.calls > 1 and request.missing == missing


def _choose(requests: Sequence[OpenList], ranking: Ranking) -> list[int]:
    """Let each request choose from its ranking; return the rows of those that may choose once more."""
    if not requests:
        return []
    wanted = np.array([request.missing for request in requests])
    chosen, looked = choose(ranking.items, [request.usage for request in requests], wanted)
    exact = _certain(ranking, looked)
    again = []
    for row, request in enumerate(requests):
        places = np.flatnonzero(chosen[row])
        certain = None if exact is None else bool(exact[row])
        if request.take(ranking.items[row, places], ranking.scores[row, places], certain):
            again.append(row)
    return again


def _of_open(ranking: Ranking, requests: Sequence[OpenList], rows: Sequence[int]) -> Ranking:
    """Return the rankings of some rows without the items that may not come any more."""
    items = ranking.items[rows]
    for place, row in enumerate(rows):
        may_come = requests[row].open
        items[place] = items[place] if may_come is None else np.where(may_come[items[place]], items[place], -1)
    return Ranking(items, ranking.scores[rows], None if ranking.bound is None else ranking.bound[rows])


def _certain(ranking: Ranking, looked: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Return whether no item that a search pruned may belong among the first `looked` of its ranking: (rows,)."""
    if ranking.bound is None:
        return None
    last = ranking.scores[np.arange(len(looked)), looked - 1]
    certain: NDArray[np.bool_] = (ranking.bound < last) | np.isneginf(ranking.bound)
    return certain


def _stacked(rows: Sequence[NDArray[Any] | None], default: NDArray[Any]) -> NDArray[Any]:
    """Return one array (n_items,) if all rows share it, else one per row; None stands for the default."""
    if all(row is rows[0] for row in rows) and rows[0] is not None:
        return rows[0]
    return np.stack([default if row is None else row for row in rows])


def _pieces(items: NDArray[np.int32], most: int) -> Iterator[NDArray[np.int32]]:
    """Yield the items in pieces of at most so many, one piece at least."""
    for first in range(0, max(len(items), 1), most):
        yield items[first : first + most]


def _joined(pieces: Sequence[RankedItems]) -> RankedItems:
    """Return one list of the pieces of a row."""
    items = np.concatenate([each.items for each in pieces])
    scores = np.concatenate([each.scores for each in pieces])
    order = np.lexsort((items, -scores))
    known = [each.exact for each in pieces]
    exact = None if None in known else all(known)
    return RankedItems(items[order], scores[order], exact, sum(each.legal for each in pieces), False)


def _check_rows(rows: int, **per_row: Sequence[Any] | None) -> None:
    for name, given in per_row.items():
        if given is not None and len(given) != rows:
            raise SettingsError(f"{name} are given for {len(given):,} rows, histories for {rows:,}; pass one per row")
