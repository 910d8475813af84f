"""The list of one request while it is being filled: what it holds, what may still come, how full its groups are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lexirec.models.compiled_rules import Rules
from lexirec.models.quotas import CompiledQuota, Usage


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


@dataclass
class OpenList:
    """The list of one request while it is being filled.

    Attributes:
        k: Places.
        n_items: Size of the catalogue.
        legal: Items that may be listed, bool (n_items,); None: all.
        n_legal: How many these are.
        boosts: As in `Rules`.
        usage: Of the quotas; the last one keeps places for new items where `keeps`.
        keeps: Whether places are kept.
        open: Legal items that may still come, bool (n_items,); None: all, before anything is listed.
        found: Items and scores, as they were chosen, and the number of the ranking they were chosen from.
        calls: How many rankings were chosen from before.
        exact: As in `RankedItems`.
        done: Whether nothing more can be found.
    """

    k: int
    n_items: int
    legal: NDArray[np.bool_] | None
    n_legal: int
    boosts: NDArray[np.float32] | None
    usage: Usage
    keeps: bool
    open: NDArray[np.bool_] | None
    found: list[tuple[NDArray[np.int32], NDArray[np.float32], int]] = field(default_factory=list)
    calls: int = 0
    exact: bool | None = True
    done: bool = False

    @classmethod
    def of(cls, k: int, rules: Rules, seen: NDArray[np.int32], n_items: int) -> OpenList:
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
        return cls(k, n_items, legal, n_legal, rules.boosts, Usage(quotas), kept > 0, legal, done=not n_legal)

    @property
    def missing(self) -> int:
        """Places that are still empty."""
        return self.k - sum(len(items) for items, *_ in self.found)

    def take(self, items: NDArray[np.int32], scores: NDArray[np.float32], exact: bool | None) -> bool:
        """Add items to the list, and find what may still come.

        Returns:
            Whether the places kept for new items were given up, so that the same ranking may hold further items.
        """
        self.found.append((items, scores, self.calls))
        self.usage.take(items)
        self.exact = None if exact is None or self.exact is None else self.exact and exact
        self.done = not self.missing
        if self.done:
            return False
        self.open = self._possible()
        given_up = self.keeps and not self.open.any()
        if given_up:
            self.usage, self.keeps = self.usage.without_last(), False
            self.open = self._possible()
        self.done = not self.open.any()
        return given_up and not self.done

    def _possible(self) -> NDArray[np.bool_]:
        """Return the legal items outside the list that no full group keeps out: bool (n_items,)."""
        possible = np.ones(self.n_items, dtype=np.bool_) if self.legal is None else self.legal.copy()
        full = self.usage.full()
        if full is not None:
            possible &= ~full
        possible[np.concatenate([items for items, *_ in self.found])] = False
        return possible

    def result(self, *, relative: bool) -> RankedItems:
        """Return the list; `relative` scores of different rankings cannot be compared, so later ones come after."""
        items = np.concatenate([np.empty(0, dtype=np.int32), *(items for items, *_ in self.found)])
        scores = np.concatenate([np.empty(0, dtype=np.float32), *(scores for _, scores, _ in self.found)])
        calls = np.repeat([0, *(call for *_, call in self.found)], [0, *(len(items) for items, *_ in self.found)])
        order = np.lexsort((items, -scores, calls)) if relative else np.lexsort((items, -scores))
        items, scores = items[order], scores[order]
        if relative:
            scores = np.minimum.accumulate(scores)
        return RankedItems(items, scores, self.exact, self.n_legal, len(items) < min(self.k, self.n_legal))
