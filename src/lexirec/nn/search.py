"""Trie search over many histories, for any model family: batches of similar length, item filters, item boosts.

Shapes: `B` batch, `H` history, `I` items, `N` nodes, `K` results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from lexirec.core.config import Settings
from lexirec.core.progress import Progress
from lexirec.core.renamed import renamed
from lexirec.data.sequences import Sequences
from lexirec.decoding.beam import StepDecoder, beam_search
from lexirec.decoding.constraints import allowed_bias, boost_bias, seen_mask
from lexirec.decoding.exact import exact_scores
from lexirec.decoding.trie import Trie
from lexirec.nn.cpu_kernels import PackedLinears

Guide = Callable[[Sequences, NDArray[np.int64]], NDArray[np.float32]]
"""A second ranker in the beam search: maps a batch of histories, and their rows in the request, to a number per item
(rows, n_items) that is added to the item's score, such as the weighted log-probabilities of an expert (product of
experts). Batches take rows in any order, so what a request gives per row must be looked up by these numbers."""


class SearchSettings(Settings):
    """Settings of the beam search."""

    model_config = renamed(width="num_beams")
    num_beams: int = Field(default=50, ge=1)
    """Prefixes kept at each depth; raised to the length of the ranking where that is greater."""
    length_penalty: float | None = None
    """None: an item's score is the log-probability of its identifier. A number: scores are divided by length ** number,
    and results equal those of Hugging Face `generate` (GRAM ranks with 1.0)."""
    batch_size: int = Field(default=32, ge=1)
    """Histories searched at a time."""


class SearchResult(NamedTuple):
    """Rankings: item numbers int32 (rows, K), −1 padded; scores float32 (rows, K); the rest (rows,) as in `Beams`."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    exact: NDArray[np.bool_]
    bound: NDArray[np.float32] | None = None


class ReadHistories(StepDecoder, Protocol):
    """An encoded batch of histories: a step decoder that may also score all items at once."""

    def item_logp(self) -> Tensor:
        """Return the items' log-probabilities (B, I) at the first step; needs a head with pooling `mass`."""
        ...


class TrieSearcher(ABC):
    """Ranks items for histories by beam search; a model family implements how a batch is encoded (`_steps`)."""

    def __init__(self, trie: Trie, settings: SearchSettings, weights: PackedLinears) -> None:
        """Prepare a search.

        Args:
            trie: of all identifiers, on the model's device.
            settings: of the beam search.
            weights: the model's packed linear layers, in use while it searches.
        """
        self._trie, self._settings, self._weights = trie, settings, weights

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return self._trie.n_items

    @property
    @abstractmethod
    def flat(self) -> bool:
        """Whether the first step has a distribution over items, as `item_log_probabilities` needs."""

    def list_length(self, k: int) -> int:
        """Return the length of the longest ranking that the search for `k` items finds without another search.

        A request of this length searches equally wide, so its first k items are those of a request for k.
        """
        return max(self._settings.num_beams, k)

    def unguided(self, histories: Sequences, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return zeros (rows, n_items): the guide under which scores are plain log-probabilities."""
        return np.zeros((len(histories), self._trie.n_items), dtype=np.float32)

    @abstractmethod
    def _steps(self, histories: Sequences) -> ReadHistories:
        """Encode a batch of histories."""

    def rank(
        self,
        histories: Sequences,
        k: int,
        *,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        guide: Guide | None = None,
        boosts: NDArray[np.float32] | None = None,
    ) -> SearchResult:
        """Find the best `k` items of each history.

        Args:
            histories: item numbers, oldest first.
            k: length of the rankings.
            exclude_seen: leave out all items of the given history.
            allowed: bool (n_items,) or (rows, n_items); other items are never generated.
            guide: numbers added to the items' log-probabilities. A prefix gets the greatest number below it, an upper
                bound of what its items get, so results can be provably exact with a guide, too. Scores are then plain
                sums: the length penalty is ignored.
            boosts: float32 (n_items,) or (rows, n_items), added to the items' final scores and bounded per prefix as
                the guide is; the length penalty stays in force.

        Raises:
            TrainingError: the model's scores are NaN.
        """
        histories.check(self.n_items)
        result = SearchResult(
            np.full((len(histories), k), -1, dtype=np.int32),
            np.full((len(histories), k), -np.inf, dtype=np.float32),
            np.zeros(len(histories), dtype=np.bool_),
            np.full(len(histories), np.inf, dtype=np.float32),
        )
        # batches of similar length are processed in any order: each writes its own rows
        with Progress("Searching", total=len(histories)) as progress:
            for rows in _of_like_length(histories, self._settings.batch_size):
                batch = histories.take(rows)
                added_BI = self._added(batch, rows, guide, boosts)
                bias_BN = self._bias(self._allowed(batch, rows, exclude_seen, allowed), added_BI)
                self._search(batch, rows, result, bias_BN, plain=guide is not None)
                progress.advance(len(rows))
        return result

    @torch.no_grad()
    def _search(
        self,
        histories: Sequences,
        rows: NDArray[np.int64],
        result: SearchResult,
        bias_BN: Tensor | None,
        *,
        plain: bool,
    ) -> None:
        """Search a batch and write its rankings into the given rows of the result."""
        k = min(result.items.shape[1], self._trie.n_items)  # shorter rankings keep the padding −1
        with self._weights.in_use():
            beams = beam_search(
                self._trie,
                self._steps(histories),
                width=max(self._settings.num_beams, k),
                k=k,
                length_penalty=None if plain else self._settings.length_penalty,
                bias_BN=bias_BN,
            ).checked()
        result.items[rows, :k] = beams.items.cpu().numpy()
        result.scores[rows, :k] = beams.scores.float().cpu().numpy()
        result.exact[rows] = beams.exact.cpu().numpy()
        assert result.bound is not None  # `rank` made it
        assert beams.bound is not None  # a search has one
        result.bound[rows] = beams.bound.float().cpu().numpy()

    @torch.no_grad()
    def log_probabilities(self, histories: Sequences) -> NDArray[np.float32]:
        """Return the log-probability of every item without pruning: float32 (rows, n_items); runs the whole trie."""
        histories.check(self.n_items)
        scores = np.empty((len(histories), self._trie.n_items), dtype=np.float32)
        for rows in _of_like_length(histories, self._settings.batch_size):
            with self._weights.in_use():
                scores[rows] = exact_scores(self._trie, self._steps(histories.take(rows))).cpu().numpy()
        return scores

    @torch.no_grad()
    def item_log_probabilities(self, histories: Sequences) -> NDArray[np.float32]:
        """Return the items' log-probabilities at the first step, float32 (rows, n_items), without decoding identifiers.

        Needs a head with pooling `mass`; later steps may change the ranking, see `log_probabilities`.
        """
        histories.check(self.n_items)
        scores = np.empty((len(histories), self._trie.n_items), dtype=np.float32)
        for rows in _of_like_length(histories, self._settings.batch_size):
            with self._weights.in_use():
                scores[rows] = self._steps(histories.take(rows)).item_logp().cpu().numpy()
        return scores

    def _added(
        self,
        histories: Sequences,
        rows: NDArray[np.int64],
        guide: Guide | None,
        boosts: NDArray[np.float32] | None,
    ) -> Tensor | None:
        """Return what is added to the items' sums of log-probabilities (B or 1, I); None for nothing."""
        trie = self._trie
        added_BI = None if guide is None else torch.from_numpy(guide(histories, rows)).to(trie.device)
        if boosts is None:
            return added_BI
        boost_BI = torch.from_numpy(boosts[None] if boosts.ndim == 1 else boosts[rows]).to(trie.device)
        if added_BI is not None:
            return added_BI + boost_BI
        if self._settings.length_penalty is None:
            return boost_BI
        # sums are divided by length ** penalty in the end, a boost is not
        return boost_BI * trie.depth[trie.item_node] ** self._settings.length_penalty

    def _bias(self, allowed_BI: Tensor | None, added_BI: Tensor | None) -> Tensor | None:
        """Return the bias per node (B or 1, N): −inf where no item below is allowed, what is added elsewhere."""
        trie = self._trie
        if added_BI is None:
            return None if allowed_BI is None else allowed_bias(trie, allowed_BI.to(trie.device))
        # filter and boosts share one bias: a forbidden item is a boost of −inf
        if allowed_BI is not None:
            added_BI = torch.where(allowed_BI.to(trie.device), added_BI, -torch.inf)
        return boost_bias(trie, added_BI)

    def _allowed(
        self, histories: Sequences, rows: NDArray[np.int64], exclude_seen: bool, allowed: NDArray[np.bool_] | None
    ) -> Tensor | None:
        """Return which items may be recommended (B, I); None allows all."""
        if not exclude_seen and allowed is None:
            return None
        allowed_BI = torch.ones(len(rows), self._trie.n_items, dtype=torch.bool)
        if exclude_seen:
            allowed_BI &= ~seen_mask(histories, self._trie.n_items)
        if allowed is not None:
            allowed_BI &= torch.from_numpy(allowed if allowed.ndim == 1 else allowed[rows])
        return allowed_BI


def on_device(histories: Sequences, device: torch.device) -> Tensor:
    """Return histories as int64 (B, H), oldest first, −1 beyond their ends."""
    longest = int(histories.lengths.max()) if len(histories) else 0
    return torch.from_numpy(histories.padded(longest)).long().to(device)


def _of_like_length(histories: Sequences, batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in batches of similar length, so that little padding is computed."""
    order = np.argsort(histories.lengths, kind="stable")
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]
