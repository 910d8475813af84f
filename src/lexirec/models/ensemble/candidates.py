"""The parts of a fusion as distributions and as lists, and the candidates on which its weights are chosen.

Legend: `C` cases, `K` candidates, `I` items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from lexirec.models.distillation import log_floored, log_softmax, shares
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.ensemble.weights import Candidates, Floats, coverage
from lexirec.nn.search import TrieSearcher

_CELLS = 1 << 24
"""Most scores held at a time: 64 MiB in float32."""


class Part:
    """A recommender as a distribution over items.

    Attributes:
        recommender: what it is made of.
        searcher: how items are found where it is generative; None for a scorer of all items.
    """

    def __init__(self, name: str, recommender: Recommender) -> None:
        """Find out what speaks.

        Raises:
            SettingsError: it is neither generative nor a scorer of all items.
        """
        self.recommender = recommender
        self.searcher: TrieSearcher | None = None
        self._scorer = getattr(recommender, "scorer", None)
        if self._scorer is None:
            self.searcher = getattr(recommender, "searcher", None)
            if self.searcher is None:
                raise SettingsError(f"ensemble: '{name}' neither generates nor scores all items; take another part")

    @property
    def counts(self) -> bool:
        """Whether its scores are counts, which need a floor, and not logits."""
        return self._scorer is not None and not getattr(self._scorer, "logits", False)

    def read(
        self,
        histories: Sequences,
        reach: int | None = None,
        *,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """Return log-probabilities of all items (rows, I), or shares without a floor where it counts.

        Args:
            histories: the cases.
            reach: a generative part speaks of this many items, the best it finds, and gives all others the least of
                theirs; None reads the whole catalogue.
            exclude_seen: items of the history are not looked for.
            allowed: nor those that are False here, (I,) or (rows, I).
        """
        if self.searcher is not None:
            if reach is None or reach >= self.searcher.n_items:
                return self.searcher.log_probabilities(histories)
            return _reached(self.searcher, histories, reach, exclude_seen, allowed)
        assert self._scorer is not None  # what is not generative scores all items
        scores = self._scorer.scores(histories)
        return shares(scores) if self.counts else log_softmax(scores)

    def logs(self, read: Floats, floor: float) -> Floats:
        """Turn any columns of what `read` gave into log-probabilities."""
        return log_floored(read, floor, len(self.recommender.catalog)) if self.counts else read

    def log_probabilities(self, histories: Sequences, floor: float, reach: int | None = None, **options: Any) -> Floats:
        """Return log-probabilities of all items: (rows, I); `reach` and options are those of `read`."""
        return self.logs(self.read(histories, reach, **options), floor)


def _reached(
    searcher: TrieSearcher, histories: Sequences, reach: int, exclude_seen: bool, allowed: NDArray[np.bool_] | None
) -> Floats:
    with quiet():
        found = searcher.rank(histories, reach, exclude_seen=exclude_seen, allowed=allowed, guide=searcher.unguided)
    least = np.where(found.items >= 0, found.scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    least[np.isinf(least)] = 0.0  # nothing was found, so nothing is preferred
    logs = np.repeat(least.astype(np.float32), searcher.n_items + 1, axis=1)
    logs[np.arange(len(logs))[:, None], found.items] = (
        found.scores
    )  # an item of −1 goes into the column beyond the last
    return logs[:, :-1]


def batches(rows: int, n_items: int) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers, as many at a time as fit into memory with a score for every item."""
    size = max(1, _CELLS // max(n_items, 1))
    for first in range(0, rows, size):
        yield np.arange(first, min(first + size, rows))


def reciprocal(places: NDArray[np.int32], constant: float) -> Floats:
    """Return 1 / (constant + rank) of places from 0; 0 where a place is negative."""
    return np.where(places >= 0, 1.0 / (constant + 1 + places), 0.0).astype(np.float32)


def union(lists: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Join lists (C, k) row by row: the different items of each row, ascending, then −1."""
    last = np.iinfo(np.int32).max
    joined = np.concatenate(lists, axis=1)
    joined = np.sort(np.where(joined < 0, last, joined), axis=1)
    joined[:, 1:][joined[:, 1:] == joined[:, :-1]] = last
    joined = np.sort(joined, axis=1)
    joined = joined[:, : max(1, int((joined != last).sum(axis=1).max(initial=0)))]
    return np.where(joined == last, -1, joined)


def places_in(items_CK: NDArray[np.int32], list_Ck: NDArray[np.int32], n_items: int) -> NDArray[np.int32]:
    """Return the place of each candidate in its row's list: (C, K), −1 where it does not stand there."""
    place = np.full((len(items_CK), n_items + 1), -1, dtype=np.int32)
    rows = np.arange(len(items_CK))[:, None]
    place[rows, np.where(list_Ck < 0, n_items, list_Ck)] = np.arange(list_Ck.shape[1])
    place[:, n_items] = -1
    found: NDArray[np.int32] = np.take_along_axis(place, np.where(items_CK < 0, n_items, items_CK), axis=1)
    return found


def candidates(parts: Sequence[Part], cases: Cases, settings: EnsembleSettings, support: Floats) -> Candidates:
    """Gather what every part puts forward for the cases and what each says of all of it.

    Args:
        parts: the lead first.
        cases: on which weights are chosen.
        settings: of the fusion.
        support: what coverage is computed from.
    """
    read = _read_product if settings.kind == "product" else _read_ranks
    blocks: list[tuple[NDArray[np.int32], list[NDArray[Any]]]] = []
    with Progress("Weighing", total=len(cases)) as progress:
        for rows in batches(len(cases), len(support)):
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
    """Put blocks of cases together: candidates (rows, K) and what each part, the lead first, says of them."""
    items = _stacked([items for items, _ in blocks], -1)
    told = [_stacked([each[number] for _, each in blocks], 0) for number in range(len(parts))]
    terms = partial(_product_terms, parts, told) if settings.kind == "product" else partial(_rank_terms, told)
    return Candidates(items, cases.targets, cases.users, coverage(cases.histories, support), terms)


def _product_terms(parts: Sequence[Part], told: Sequence[Floats], floor: float) -> list[Floats]:
    return [part.logs(read, floor) for part, read in zip(parts, told, strict=True)]


def _rank_terms(told: Sequence[NDArray[np.int32]], constant: float) -> list[Floats]:
    return [reciprocal(places, constant) for places in told]


def _read_product(
    parts: Sequence[Part], histories: Sequences, settings: EnsembleSettings
) -> tuple[NDArray[np.int32], list[NDArray[Any]]]:
    """Return candidates (rows, K) and what each part reads of them."""
    unseen = settings.seen == "excluded"
    lead, *experts = parts
    read = [part.read(histories, settings.reach, exclude_seen=unseen) for part in experts]
    lists = [best(scores, histories, settings.depth, unseen) for scores in read]
    if lead.searcher is None:
        of_lead = lead.read(histories)
        items = union([best(of_lead, histories, settings.depth, unseen), *lists])
    else:
        of_lead, items = _searched(lead.searcher, histories, lists, settings.depth, unseen)
    columns = np.maximum(items, 0)
    return items, [np.take_along_axis(scores, columns, axis=1) for scores in (of_lead, *read)]


def best(scores: Floats, histories: Sequences, k: int, unseen: bool) -> NDArray[np.int32]:
    """Return the k items of greatest score, −1 beyond them: (rows, k); `unseen` leaves out those of the history."""
    left = scores.copy()
    forbid(left, histories, unseen, None)
    return top_k(left, k)[0]


def _searched(
    searcher: TrieSearcher, histories: Sequences, lists: Sequence[NDArray[np.int32]], k: int, unseen: bool
) -> tuple[Floats, NDArray[np.int32]]:
    """Return the log-probabilities (rows, I) of the lead's own best items and of those that others put forward.

    A second search for the others' items alone prunes nothing, so theirs are exact; all other items have −inf.
    """
    found = searcher.rank(histories, k, exclude_seen=unseen, guide=searcher.unguided)
    logs = np.full((len(histories), searcher.n_items + 1), -np.inf, dtype=np.float32)
    rows = np.arange(len(histories))[:, None]
    logs[rows, found.items] = found.scores  # an item of −1 goes into the column beyond the last
    others = np.zeros(logs.shape, dtype=np.bool_)
    for items in lists:
        others[rows, items] = True
    others[rows, found.items] = False
    others[:, -1] = False
    most = int(others.sum(axis=1).max(initial=0))
    if most:
        rest = searcher.rank(histories, most, allowed=others[:, :-1], guide=searcher.unguided)
        logs[rows, rest.items] = rest.scores
    return logs[:, :-1], union([found.items, *lists])


def _read_ranks(
    parts: Sequence[Part], histories: Sequences, settings: EnsembleSettings
) -> tuple[NDArray[np.int32], list[NDArray[Any]]]:
    """Return candidates (rows, K) and their places in every part's list."""
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
