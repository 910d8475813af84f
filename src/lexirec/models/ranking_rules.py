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
from dataclasses import dataclass, field
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
from lexirec.models.quotas import CompiledQuota, Usage, choose
from lexirec.models.rule_texts import AtMost as AtMost
from lexirec.models.rule_texts import Boost as Boost

_PIECE = 256
"""Candidates that are scored in one search, so that its width stays bounded."""


@dataclass(frozen=True)
class RankedItems:
    """The list of one request.

    Attributes:
        items: Item numbers, best first, int32 (n,).
        scores: float32 (n,), descending.
        exact: Whether this is provably the list that the scores of all items give; None where the recommender gives no
            bounds.
        legal: Number of legal items, of which the list holds k at most.
        short: Whether quotas leave the list shorter than min(k, legal).
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    exact: bool | None
    legal: int
    short: bool


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
        recommender: Any recommender; one that takes no `boosts` can be asked without them.
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
        _Request.of(min(k, n_items), rule, nothing if seen is None else seen[row], n_items)
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


# ---------------------------------------------------------------------------------------------------------- one round


@dataclass
class _Request:
    """One request while its list is being filled.

    Attributes:
        k: Places.
        legal: Items that may be listed, bool (n_items,); None: all.
        n_legal: How many these are.
        boosts: As in `Rules`.
        usage: Of the quotas; the last one keeps places for new items where `keeps`.
        keeps: Whether places are kept.
        open: Legal items that may still come, bool (n_items,); None: all.
        found: Items and scores chosen in each round.
        exact: As in `RankedItems`.
        done: Whether nothing more can be found.
    """

    k: int
    legal: NDArray[np.bool_] | None
    n_legal: int
    boosts: NDArray[np.float32] | None
    usage: Usage
    keeps: bool
    open: NDArray[np.bool_] | None
    found: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = field(default_factory=list)
    exact: bool | None = True
    done: bool = False

    @classmethod
    def of(cls, k: int, rules: Rules, seen: NDArray[np.int32], n_items: int) -> _Request:
        """Begin with an empty list of k places."""
        legal = rules.allowed
        if len(seen):
            legal = np.ones(n_items, dtype=np.bool_) if legal is None else legal.copy()
            legal[seen] = False
        n_legal = n_items if legal is None else int(np.count_nonzero(legal))
        kept, quotas = 0, rules.quotas
        if rules.newer is not None and rules.new_items:
            n_newer = int(np.count_nonzero(rules.newer if legal is None else rules.newer & legal))
            kept = min(round(k * rules.new_items), n_newer)
        if kept and rules.newer is not None:
            quotas = (*quotas, CompiledQuota.of_mask("not newer", ~rules.newer, k - kept))
        # the first ranking is that of all legal items, also where a quota has no room from the start: it says which
        # scores items have, where these are ranks
        return cls(k, legal, n_legal, rules.boosts, Usage(quotas), kept > 0, legal, done=not n_legal)

    @property
    def missing(self) -> int:
        """Places that are still empty."""
        return self.k - sum(len(items) for items, _ in self.found)

    def take(self, items: NDArray[np.int32], scores: NDArray[np.float32], exact: bool | None) -> None:
        """Add items to the list; `exact` says whether they surely are what the greedy choice takes next."""
        self.found.append((items, scores))
        self.usage.take(items)
        self.exact = None if exact is None else bool(self.exact and exact)
        # every later round finds an item, unless the recommender lists fewer items than are allowed
        if self._close() and not len(items) and len(self.found) > 1:
            self.done = True

    def _close(self) -> bool:
        """Find what may still come, and whether the list is done; return whether it is not."""
        if not self.missing:
            self.done = True
            return False
        self.open = self._possible()
        if self.keeps and self.open is not None and not self.open.any():
            self.usage, self.keeps = self.usage.without_last(), False
            self.open = self._possible()
        self.done = self.open is not None and not self.open.any()
        return not self.done

    def _possible(self) -> NDArray[np.bool_] | None:
        """Return the legal items outside the list that no full group keeps out; None for all items."""
        full = self.usage.full()
        if full is None and not self.found:
            return self.legal
        possible = np.ones(len(full), dtype=np.bool_) if self.legal is None and full is not None else self.legal
        if possible is None:  # no quota, no filter, and still not full: the recommender has listed what it can
            return np.zeros(1, dtype=np.bool_)
        possible = possible if full is None else possible & ~full
        if self.found:
            possible = possible.copy()
            possible[np.concatenate([items for items, _ in self.found])] = False
        return possible

    def result(self, *, relative: bool) -> RankedItems:
        """Return the list; `relative` scores of different rounds cannot be compared, so later ones come after."""
        items = np.concatenate([np.empty(0, dtype=np.int32), *(items for items, _ in self.found)])
        scores = np.concatenate([np.empty(0, dtype=np.float32), *(scores for _, scores in self.found)])
        if len(self.found) > 1 and relative:
            scores = np.minimum.accumulate(scores)
        elif len(self.found) > 1:
            order = np.lexsort((items, -scores))
            items, scores = items[order], scores[order]
        short = len(items) < min(self.k, self.n_legal)
        return RankedItems(items, scores, self.exact, self.n_legal, short)


def _fill(recommender: Recommender, histories: Sequences, requests: Sequence[_Request], length: int) -> None:
    """Rank once for all these requests, and let each choose from its ranking."""
    n_items = len(recommender.catalog)
    options: dict[str, Any] = {}
    if any(request.boosts is not None for request in requests):
        options["boosts"] = _stacked([request.boosts for request in requests], np.zeros(n_items, dtype=np.float32))
    allowed = None
    if any(request.open is not None for request in requests):
        allowed = _stacked([request.open for request in requests], np.ones(n_items, dtype=np.bool_))
    ranking = recommender.rank(histories, k=length, allowed=allowed, **options)
    wanted = np.array([request.missing for request in requests])
    chosen, looked = choose(ranking.items, [request.usage for request in requests], wanted)
    exact = _certain(ranking, looked)
    for row, request in enumerate(requests):
        places = np.flatnonzero(chosen[row])
        request.take(ranking.items[row, places], ranking.scores[row, places], None if exact is None else exact[row])


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
