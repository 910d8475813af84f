"""What generative recommenders share, whatever their family: how they rank, recommend and stay up to date."""

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
from lexirec.data.ranking import Ranking, check_request
from lexirec.data.sequences import Sequences
from lexirec.models.recommend import Options, Recommendation, recommend
from lexirec.nn.search import TrieSearcher

AnySearcher = TypeVar("AnySearcher", bound=TrieSearcher)


class GenerativeRecommender(ABC, Generic[AnySearcher]):
    """A network and what searches its trie; the searcher is made anew when the weights have changed."""

    model: nn.Module

    def __init__(self, catalog: Catalog) -> None:
        """Hold the items that are ranked."""
        self._catalog = catalog
        self._searcher: AnySearcher | None = None

    @abstractmethod
    def _make_searcher(self) -> AnySearcher:
        """Make what finds items with the weights as they are."""

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What a protocol card says about how lists are made."""

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write one complete folder."""

    @property
    def catalog(self) -> Catalog:
        """The items that are ranked."""
        return self._catalog

    @property
    def searcher(self) -> AnySearcher:
        """What finds items with the weights as they are; made on first use."""
        if self._searcher is None:
            self._searcher = self._make_searcher()
        return self._searcher

    def rank(
        self, histories: Sequences, *, k: int, exclude_seen: bool = False, allowed: NDArray[np.bool_] | None = None
    ) -> Ranking:
        """Rank the k best items for every history; see `recommenders.Recommender.rank`."""
        check_request(len(histories), len(self._catalog), k, allowed)
        found = self.searcher.rank(histories, k, exclude_seen=exclude_seen, allowed=allowed)
        return Ranking(found.items, found.scores)

    def recommend(self, history: Sequence[str], *, k: int = 10, **options: Unpack[Options]) -> list[Recommendation]:
        """Recommend items for one history of item ids, oldest first; see `recommending.recommend`."""
        return recommend(self, history, k=k, **options)

    def apart(self) -> Self:
        """Return this recommender with weights of its own, which are equal and learn apart."""
        made = copy.copy(self)
        made.model, made._searcher = copy.deepcopy(self.model), None
        return made

    def _to_device(self) -> None:
        """Bring the network to where it learns; what was made of its old weights is forgotten."""
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._searcher = None
