"""Parts of an ensemble as distributions over items, and the candidates on which their weights are chosen.

Legend: `C` cases, `K` candidates, `I` items.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError
from lexirec.core.progress import Progress, quiet
from lexirec.data.neighbors import top_k
from lexirec.data.ranking import Recommender, forbid
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.baselines.base import score_batches
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.ensemble.weights import Candidates, Floats, coverage
from lexirec.models.score_distributions import log_floored, log_softmax, shares
from lexirec.nn.search import TrieSearcher


class Part:
    """A recommender as a distribution over items.

    Attributes:
        name: of the part, for messages.
        recommender: the recommender.
        searcher: of a generative recommender; None for a scorer of all items.
    """

    def __init__(self, name: str, recommender: Recommender) -> None:
        """Detect whether the recommender generates items or scores all of them.

        Raises:
            SettingsError: it does neither.
        """
        self.name, self.recommender = name, recommender
        self.searcher: TrieSearcher | None = None
        self._scorer = getattr(recommender, "scorer", None)
        if self._scorer is None:
            self.searcher = getattr(recommender, "searcher", None)
            if self.searcher is None:
                raise SettingsError(
                    f"ensemble.of: '{name}' neither generates items nor scores all of them; name another part"
                )

    @property
    def trained(self) -> int | None:
        """Number of leading items it was trained with; None for all."""
        trained: int | None = getattr(self.recommender, "trained", None)
        return trained

    @property
    def counts(self) -> bool:
        """Whether its scores are counts, which need a floor, rather than logits."""
        return self._scorer is not None and not getattr(self._scorer, "logits", False)

    def read(
        self,
        histories: Sequences,
        reach: int | None = None,
        *,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """Return log-probabilities of all items (rows, I), or shares without a floor where the scores are counts.

        Args:
            histories: the cases.
            reach: a generative part scores this many items, the best of its search, and gives all others the lowest of
                these scores; None scores the whole catalogue.
            exclude_seen: leave items of the history out of the search.
            allowed: mask (I,) or (rows, I) of items to search among.
        """
        if self.searcher is not None:
            if reach is None or reach >= self.searcher.n_items:
                return self.searcher.log_probabilities(histories)
            return _reached(self.searcher, histories, reach, exclude_seen, allowed)
        assert self._scorer is not None  # what is not generative scores all items
        scores = self._scorer.scores(histories)
        named = f"the part '{self.name}'"
        return shares(scores, of=named, trained=self.trained) if self.counts else log_softmax(scores, of=named)

    def logs(self, read: Floats, floor: float) -> Floats:
        """Turn any columns of the result of `read` into log-probabilities."""
        n_items = len(self.recommender.catalog) if self.trained is None else self.trained
        return log_floored(read, floor, n_items) if self.counts else read

    def log_probabilities(self, histories: Sequences, floor: float, reach: int | None = None, **options: Any) -> Floats:
        """Return log-probabilities of all items: (rows, I); `reach` and options are those of `read`."""
        return self.logs(self.read(histories, reach, **options), floor)


def _reached(
    searcher: TrieSearcher, histories: Sequences, reach: int, exclude_seen: bool, allowed: NDArray[np.bool_] | None
) -> Floats:
    """Return scores of all items (rows, I) from a search: those found have theirs, all others the lowest of them."""
    with quiet():
        result = searcher.rank(histories, reach, exclude_seen=exclude_seen, allowed=allowed, guide=searcher.unguided)
    lowest = np.where(result.items >= 0, result.scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    lowest[np.isinf(lowest)] = 0.0  # nothing was found, so nothing is preferred
    # missing items are −1 and index the extra last column, which is cut off
    logs = np.repeat(lowest.astype(np.float32), searcher.n_items + 1, axis=1)
    logs[np.arange(len(logs))[:, None], result.items] = result.scores
    return logs[:, :-1]


def reciprocal(positions: NDArray[np.int32], constant: float) -> Floats:
    """Return 1 / (constant + rank), ranks from 1, of list positions from 0; 0 for negative positions."""
    return np.where(positions >= 0, 1.0 / (constant + 1 + positions), 0.0).astype(np.float32)


def union(lists: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Join lists (C, k) row by row: the distinct items of each row, ascending, padded with −1."""
    # −1 and duplicates become the largest number, so that sorting moves them behind the items
    last = np.iinfo(np.int32).max
    joined = np.concatenate(lists, axis=1)
    joined = np.sort(np.where(joined < 0, last, joined), axis=1)
    joined[:, 1:][joined[:, 1:] == joined[:, :-1]] = last
    joined = np.sort(joined, axis=1)
    joined = joined[:, : max(1, int((joined != last).sum(axis=1).max(initial=0)))]
    return np.where(joined == last, -1, joined)


def places_in(items_CK: NDArray[np.int32], list_Ck: NDArray[np.int32], n_items: int) -> NDArray[np.int32]:
    """Return the position of each candidate in its row's list: (C, K), −1 where it is not in the list."""
    # an inverse of each list over all items; the extra column takes the padding of lists and candidates
    position_of = np.full((len(items_CK), n_items + 1), -1, dtype=np.int32)
    rows = np.arange(len(items_CK))[:, None]
    position_of[rows, np.where(list_Ck < 0, n_items, list_Ck)] = np.arange(list_Ck.shape[1])
    position_of[:, n_items] = -1
    positions: NDArray[np.int32] = np.take_along_axis(position_of, np.where(items_CK < 0, n_items, items_CK), axis=1)
    return positions


def candidates(parts: Sequence[Part], cases: Cases, settings: EnsembleSettings, support: Floats) -> Candidates:
    """Collect the candidates of all parts for the cases, and every part's terms of all candidates.

    Args:
        parts: the lead first.
        cases: on which weights are chosen.
        settings: of the ensemble.
        support: of items, from which coverage is computed.
    """
    read = _read_product if settings.kind == "product" else _read_ranks
    blocks: list[tuple[NDArray[np.int32], list[NDArray[Any]]]] = []
    with Progress("Choosing weights", total=len(cases)) as progress:
        for rows in score_batches(len(cases), len(support)):
            with quiet():
                blocks.append(read(parts, cases.histories.take(rows), settings))
            progress.advance(len(rows))
    return gathered(blocks, parts, cases, settings, support)


def gathered(
    blocks: Sequence[tuple[NDArray[np.int32], list[NDArray[Any]]]],
    parts: Sequence[Part],
    cases: Cases,
    settings: EnsembleSettings,
    support: Floats,
) -> Candidates:
    """Join blocks of cases: candidates (rows, K) and the scores of each part, the lead first."""
    items = _stacked([items for items, _ in blocks], -1)
    scores = [_stacked([each[number] for _, each in blocks], 0) for number in range(len(parts))]
    terms = partial(_product_terms, parts, scores) if settings.kind == "product" else partial(_rank_terms, scores)
    return Candidates(items, cases.targets, cases.users, coverage(cases.histories, support), terms)


def _product_terms(parts: Sequence[Part], scores: Sequence[Floats], floor: float) -> list[Floats]:
    return [part.logs(each, floor) for part, each in zip(parts, scores, strict=True)]


def _rank_terms(positions: Sequence[NDArray[np.int32]], constant: float) -> list[Floats]:
    return [reciprocal(each, constant) for each in positions]


def _read_product(
    parts: Sequence[Part], histories: Sequences, settings: EnsembleSettings
) -> tuple[NDArray[np.int32], list[NDArray[Any]]]:
    """Return candidates (rows, K) and each part's scores of them."""
    unseen = settings.seen == "excluded"
    lead, *experts = parts
    read = [part.read(histories, settings.reach, exclude_seen=unseen) for part in experts]
    lists = [best(scores, histories, settings.depth, unseen) for scores in read]
    if lead.searcher is None:
        lead_scores = lead.read(histories)
        items = union([best(lead_scores, histories, settings.depth, unseen), *lists])
    else:
        lead_scores, items = _searched(lead.searcher, histories, lists, settings.depth, unseen)
    columns = np.maximum(items, 0)
    return items, [np.take_along_axis(scores, columns, axis=1) for scores in (lead_scores, *read)]


def best(scores: Floats, histories: Sequences, k: int, unseen: bool) -> NDArray[np.int32]:
    """Return the k items with the highest scores, −1 padded: (rows, k); `unseen` leaves out those of the history."""
    permitted = scores.copy()
    forbid(permitted, histories, unseen, None)
    return top_k(permitted, k, of="a part of the ensemble")[0]


def _searched(
    searcher: TrieSearcher, histories: Sequences, lists: Sequence[NDArray[np.int32]], k: int, unseen: bool
) -> tuple[Floats, NDArray[np.int32]]:
    """Return the log-probabilities (rows, I) of the lead's own best items and of the other parts' candidates.

    A second search among the others' candidates alone prunes nothing, so their scores are exact; all other items have
    −inf.
    """
    own = searcher.rank(histories, k, exclude_seen=unseen, guide=searcher.unguided)
    logs = np.full((len(histories), searcher.n_items + 1), -np.inf, dtype=np.float32)
    rows = np.arange(len(histories))[:, None]
    logs[rows, own.items] = own.scores  # −1 goes into the extra last column
    of_others = np.zeros(logs.shape, dtype=np.bool_)
    for items in lists:
        of_others[rows, items] = True
    of_others[rows, own.items] = False
    of_others[:, -1] = False
    widest = int(of_others.sum(axis=1).max(initial=0))
    if widest:
        rest = searcher.rank(histories, widest, allowed=of_others[:, :-1], guide=searcher.unguided)
        logs[rows, rest.items] = rest.scores
    return logs[:, :-1], union([own.items, *lists])


def _read_ranks(
    parts: Sequence[Part], histories: Sequences, settings: EnsembleSettings
) -> tuple[NDArray[np.int32], list[NDArray[Any]]]:
    """Return candidates (rows, K) and their positions in every part's list."""
    unseen, k = settings.seen == "excluded", settings.depth
    lists = [part.recommender.rank(histories, k=k, exclude_seen=unseen).items for part in parts]
    items = union(lists)
    n_items = len(parts[0].recommender.catalog)
    return items, [places_in(items, each, n_items) for each in lists]


def _stacked(blocks: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
    """Stack blocks of unequal width."""
    widest = max((block.shape[1] for block in blocks), default=1)
    padded = [np.pad(block, ((0, 0), (0, widest - block.shape[1])), constant_values=fill) for block in blocks]
    return np.concatenate(padded)
