"""The base class of generative recommenders: rank by trie search, recommend, retrain."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Ranking, check_request, newer_items
from lexirec.data.sequences import Sequences
from lexirec.decoding.trie import Trie
from lexirec.models.recommend import Options, Recommendations, recommend
from lexirec.nn.search import TrieSearcher

AnySearcher = TypeVar("AnySearcher", bound=TrieSearcher)


class GenerativeRecommender(ABC, Generic[AnySearcher]):
    """A network with a searcher of its trie; the searcher is rebuilt after the weights have changed."""

    model: nn.Module

    def __init__(self, catalog: Catalog) -> None:
        """Hold the catalogue that is ranked."""
        self._catalog = catalog
        self._searcher: AnySearcher | None = None

    @abstractmethod
    def _make_searcher(self) -> AnySearcher:
        """Build a searcher for the present weights."""

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """How lists are made, for the protocol card."""

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write the recommender into one complete folder."""

    @property
    def catalog(self) -> Catalog:
        """The items that are ranked."""
        return self._catalog

    @property
    def trained(self) -> int | None:
        """Number of leading items it was trained with; None for all. The others were added (`models.extension`)."""
        trie: Trie = self.model.trie  # type: ignore[assignment]
        return trie.trained

    @property
    def newer_items(self) -> NDArray[np.bool_] | None:
        """The items that it was not trained with, bool (n_items,); None where there are none."""
        return newer_items(len(self._catalog), self.trained)

    @property
    def searcher(self) -> AnySearcher:
        """The searcher for the present weights, built on first use."""
        if self._searcher is None:
            self._searcher = self._make_searcher()
        return self._searcher

    def rank(
        self,
        histories: Sequences,
        *,
        k: int,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        boosts: NDArray[np.float32] | None = None,
    ) -> Ranking:
        """Rank the k best items for every history; see `data.ranking.Recommender.rank`."""
        check_request(histories, len(self._catalog), k, allowed, exclude_seen, boosts)
        result = self.searcher.rank(histories, k, exclude_seen=exclude_seen, allowed=allowed, boosts=boosts)
        return Ranking(result.items, result.scores, result.bound)

    def list_length(self, k: int) -> int:
        """Return the length of the longest list that the search for k items finds; see `data.ranking.list_length`."""
        return self.searcher.list_length(k)

    def recommend(self, history: Sequence[str], *, k: int = 10, **options: Unpack[Options]) -> Recommendations:
        """Recommend items for one history of item ids, oldest first; see `models.recommend.recommend`."""
        return recommend(self, history, k=k, **options)

    def clone(self) -> Self:
        """Return a copy with equal weights of its own, which can be trained independently."""
        clone = copy.copy(self)
        clone.model, clone._searcher = copy.deepcopy(self.model), None
        return clone

    def _to_device(self) -> None:
        """Move the network to the training device and drop the searcher of its old weights."""
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._searcher = None
