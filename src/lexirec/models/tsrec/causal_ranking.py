"""Ranking histories with a causal model: the prompt of each is read once, many beams share it."""

from __future__ import annotations

from typing import Protocol

import torch

from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.cached_lm import CausalReading
from lexirec.models.tsrec.decoder import CausalSteps
from lexirec.nn.cpu_kernels import Packed
from lexirec.nn.ragged import Ragged
from lexirec.nn.search import ReadHistories, Searcher, SearchSettings, on_device
from lexirec.nn.vocabulary_head import for_searching


class AsksForItems(Protocol):
    """What writes prompts: `causal_prompts.PromptBuilder`, or a stand-in."""

    def next_item(self, histories: Sequences) -> Ragged:
        """Return one row of token ids per history."""


class CausalRanker(Searcher):
    """A causal model ready to rank: weights as they are now, rows computed once."""

    def __init__(self, model: CausalReading, builder: AsksForItems, search: SearchSettings) -> None:
        """Compute once what all searches share; the model is put into evaluation mode.

        Args:
            model: what is asked.
            builder: writes the prompts, as it did for training.
            search: width, batches and length penalty.
        """
        super().__init__(model.trie, search, Packed(model.backbone.get_decoder()))
        self._model, self._builder = model.eval(), builder
        with torch.no_grad():
            self._rows = for_searching(model.rows())

    @property
    def flat(self) -> bool:
        """Whether the first step has a distribution over items."""
        return self._model.settings.flat

    def _steps(self, histories: Sequences) -> ReadHistories:
        device = self._model.device
        prompts = self._builder.next_item(histories)
        ids_BL, mask_BL = prompts.pad(torch.arange(len(prompts)))
        told = ids_BL.to(device), mask_BL.to(device)
        return CausalSteps(self._model, told, on_device(histories, device), rows=self._rows)
