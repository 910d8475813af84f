"""Searching the trie for many histories, whatever the family: batches of like length, filters in the beam.

Legend: `B` batch, `H` history, `I` items, `N` nodes, `K` results.
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

Guide = Callable[[Sequences], NDArray[np.float32]]
"""What else speaks in the beam: from a batch of histories to a number per item (rows, n_items), such as the weighted
log-probabilities of an expert."""


class SearchSettings(Settings):
    """How items are looked for."""

    model_config = renamed(width="num_beams")
    num_beams: int = Field(default=50, ge=1)
    """Prefixes kept at each depth; what is asked for is never more than this under a length penalty."""
    length_penalty: float | None = None
    """None: an item's score is the log-probability of its identifier. A number: scores are divided by length ** number
    and results are those of Hugging Face `generate` (GRAM ranks with 1.0)."""
    batch_size: int = Field(default=32, ge=1)
    """Histories searched at a time."""


class SearchResult(NamedTuple):
    """What a search gives: item numbers int32 (rows, K), −1 padded; scores float32; and where it was provably exact."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    exact: NDArray[np.bool_]


class ReadHistories(StepDecoder, Protocol):
    """A batch of histories that was read: what may follow them, step by step or all at once."""

    def item_logp(self) -> Tensor:
        """Return the log-probabilities (B, I) that the first step gives the items, from a head with pooling `mass`."""
        ...


class TrieSearcher(ABC):
    """Ranks histories by beam search; a family says how a batch of them is read."""

    def __init__(self, trie: Trie, settings: SearchSettings, weights: PackedLinears) -> None:
        """Take the trie, on the model's device, how to search it, and the model's weights, packed."""
        self._trie, self._settings, self._weights = trie, settings, weights

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return self._trie.n_items

    @property
    @abstractmethod
    def flat(self) -> bool:
        """Whether the first step has a distribution over items, which `item_log_probabilities` reads."""

    def unguided(self, histories: Sequences) -> NDArray[np.float32]:
        """Say nothing: the guide that leaves an item's score its plain log-probability."""
        return np.zeros((len(histories), self._trie.n_items), dtype=np.float32)

    @abstractmethod
    def _steps(self, histories: Sequences) -> ReadHistories:
        """Read a batch of histories."""

    def rank(
        self,
        histories: Sequences,
        k: int,
        *,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        guide: Guide | None = None,
    ) -> SearchResult:
        """Find the best `k` items of each history.

        Args:
            histories: item numbers, oldest first.
            k: places.
            exclude_seen: leave out all items of the history that is given.
            allowed: bool (n_items,) or (rows, n_items); nothing else is ever spelled.
            guide: says numbers that are added to the items' log-probabilities. A prefix bears the greatest number
                below it, which is never less than what an item will get, so what is provably exact without a guide
                may be so with one. Scores are then plain sums: a length penalty is left out.
        """
        found = SearchResult(
            np.full((len(histories), k), -1, dtype=np.int32),
            np.full((len(histories), k), -np.inf, dtype=np.float32),
            np.zeros(len(histories), dtype=np.bool_),
        )
        with Progress("Searching", total=len(histories)) as progress:
            for rows in _of_like_length(histories, self._settings.batch_size):
                batch = histories.take(rows)
                bias_BN = self._bias(batch, rows, exclude_seen, allowed, guide)
                self._search(batch, rows, found, bias_BN, plain=guide is not None)
                progress.advance(len(rows))
        return found

    @torch.no_grad()
    def _search(
        self,
        histories: Sequences,
        rows: NDArray[np.int64],
        found: SearchResult,
        bias_BN: Tensor | None,
        *,
        plain: bool,
    ) -> None:
        k = min(found.items.shape[1], self._trie.n_items)
        with self._weights.in_use():
            beams = beam_search(
                self._trie,
                self._steps(histories),
                batch=len(rows),
                width=max(self._settings.num_beams, k),
                k=k,
                length_penalty=None if plain else self._settings.length_penalty,
                bias_BN=bias_BN,
            )
        found.items[rows, :k] = beams.items.cpu().numpy()
        found.scores[rows, :k] = beams.scores.float().cpu().numpy()
        found.exact[rows] = beams.exact.cpu().numpy()

    @torch.no_grad()
    def log_probabilities(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item of the catalogue without pruning: float32 (rows, n_items). Costs a pass over the trie."""
        found = np.empty((len(histories), self._trie.n_items), dtype=np.float32)
        for rows in _of_like_length(histories, self._settings.batch_size):
            with self._weights.in_use():
                found[rows] = exact_scores(self._trie, self._steps(histories.take(rows))).cpu().numpy()
        return found

    @torch.no_grad()
    def item_log_probabilities(self, histories: Sequences) -> NDArray[np.float32]:
        """Return what the first step says of every item, float32 (rows, n_items), without spelling any.

        Only a head with pooling `mass` says it; later steps may correct it, see `log_probabilities`.
        """
        found = np.empty((len(histories), self._trie.n_items), dtype=np.float32)
        for rows in _of_like_length(histories, self._settings.batch_size):
            with self._weights.in_use():
                found[rows] = self._steps(histories.take(rows)).item_logp().cpu().numpy()
        return found

    def _bias(
        self,
        histories: Sequences,
        rows: NDArray[np.int64],
        exclude_seen: bool,
        allowed: NDArray[np.bool_] | None,
        guide: Guide | None,
    ) -> Tensor | None:
        """Return a number per node: −inf where nothing below may be recommended, what the guide says elsewhere."""
        trie = self._trie
        may_BI = self._may(histories, rows, exclude_seen, allowed)
        if guide is None:
            return None if may_BI is None else allowed_bias(trie, may_BI.to(trie.device))
        told_BI = torch.from_numpy(guide(histories)).to(trie.device)
        if may_BI is not None:
            told_BI = told_BI.masked_fill(~may_BI.to(trie.device), -torch.inf)
        return boost_bias(trie, told_BI)

    def _may(
        self, histories: Sequences, rows: NDArray[np.int64], exclude_seen: bool, allowed: NDArray[np.bool_] | None
    ) -> Tensor | None:
        """Return which items may be recommended (B, I); None where all may."""
        if not exclude_seen and allowed is None:
            return None
        may_BI = torch.ones(len(rows), self._trie.n_items, dtype=torch.bool)
        if exclude_seen:
            may_BI &= ~seen_mask(histories, self._trie.n_items)
        if allowed is not None:
            may_BI &= torch.from_numpy(allowed if allowed.ndim == 1 else allowed[rows])
        return may_BI


def on_device(histories: Sequences, device: torch.device) -> Tensor:
    """Return histories as int64 (B, H), oldest first, −1 beyond their ends."""
    longest = int(histories.lengths.max()) if len(histories) else 0
    return torch.from_numpy(histories.padded(longest)).long().to(device)


def _of_like_length(histories: Sequences, batch_size: int) -> Iterator[NDArray[np.int64]]:
    order = np.argsort(histories.lengths, kind="stable")
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]
