"""Ranking histories with a late-fusion model: one state of the weights, its rows and encodings, many searches."""

from __future__ import annotations

import torch

from lexirec.data.sequences import Sequences
from lexirec.models.gram.decoder import LateFusionSteps, encode_catalog
from lexirec.models.gram.network import LateFusion
from lexirec.nn.cpu_kernels import Packed
from lexirec.nn.search import Found, ReadHistories, Searcher, SearchSettings, on_device
from lexirec.nn.vocabulary_head import for_searching

__all__ = ["Found", "Ranker", "SearchSettings"]


class Ranker(Searcher):
    """A late-fusion model ready to rank: weights as they are now, rows pooled, catalogue encoded."""

    def __init__(self, model: LateFusion, settings: SearchSettings) -> None:
        """Compute once what all searches share; the model is put into evaluation mode."""
        super().__init__(model.trie, settings, Packed(model.backbone.encoder, model.backbone.decoder))
        self._model = model.eval()
        with torch.no_grad(), self._weights.in_use():
            self._rows = for_searching(model.head.rows())
            self._cache = encode_catalog(model) if model.settings.item_prompts else None

    @property
    def flat(self) -> bool:
        """Whether the first step has a distribution over items."""
        return self._model.settings.flat

    def _steps(self, histories: Sequences) -> ReadHistories:
        histories_BH = on_device(histories, self._model.device)
        return LateFusionSteps(self._model, histories_BH, rows=self._rows, cache=self._cache)
