"""Constrained decoding of TS-Rec: the step decoder of a batch of prompts, and the searcher that ranks with it.

Legend: `B` batch, `L` tokens, `H` history, `W` beams, `K` beams that need the model, `C` children.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.cached_lm import CachedLM
from lexirec.nn.cpu_kernels import PackedLinears
from lexirec.nn.head_base import Rows
from lexirec.nn.ragged import Ragged
from lexirec.nn.search import ReadHistories, SearchSettings, TrieSearcher, on_device
from lexirec.nn.vocabulary_head import for_searching


class TSRecStepDecoder:
    """The step decoder of one batch of prompts (see `decoding.beam.StepDecoder`).

    Prompts are read once. A beam with a single item left below it no longer needs the model: over legal children the
    rest of the identifier has probability 1. Under the vocabulary likelihood every token is scored.
    """

    def __init__(
        self, model: CachedLM, prompts: tuple[Tensor, Tensor], seen_BH: Tensor, *, rows: Rows | None = None
    ) -> None:
        """Read the prompts.

        Args:
            model: in evaluation mode.
            prompts: token ids (B, L), padded on the right, and their mask.
            seen_BH: items of the histories, −1 padded.
            rows: the result of `model.rows()`, shared between batches.
        """
        self._model, self._rows = model, rows if rows is not None else model.rows()
        self._seen_BH = seen_BH
        self._prefix = model.encode(*prompts, rows=self._rows)
        # index of each beam among the tokens of the last forward pass, which skipped finished beams
        self._index_BW = torch.zeros_like(self._prefix.lengths_B).unsqueeze(1)

    def start(self) -> Tensor:
        """Score the root's children: (B, 1, C)."""
        hidden_B1D = self._prefix.hidden_BD.unsqueeze(1)
        return self._model.score(self._rows, hidden_B1D, torch.zeros_like(self._index_BW), 0, self._seen_BH)

    def item_logp(self) -> Tensor:
        """Return the log-probabilities (B, I) of the items at the root, from a head with pooling `mass`."""
        return self._model.item_logp(self._rows, self._prefix.hidden_BD, self._seen_BH)

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        """Enter nodes and score their children: (B, W, C)."""
        model, trie = self._model, self._model.trie
        open_BW = torch.ones_like(nodes_BW, dtype=torch.bool)
        if model.settings.likelihood == "catalog":
            open_BW = trie.last[nodes_BW] - trie.first[nodes_BW] > 1
        needed = int(open_BW.sum(1).max()) if open_BW.numel() else 0
        if not needed:
            return torch.zeros(*nodes_BW.shape, trie.max_children[depth], device=nodes_BW.device)
        # open beams come first, in their order; rows with fewer of them than others fill up with finished beams
        chosen_BK = open_BW.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :needed]
        # an open beam's parent was open, so it has an index among the tokens of the last step
        parents_BK = self._index_BW.gather(1, parents_BW).gather(1, chosen_BK)
        nodes_BK = nodes_BW.gather(1, chosen_BK)
        self._index_BW = (open_BW.cumsum(1) - 1).clamp(min=0)
        hidden_BKD = model.extend(self._prefix, parents_BK, trie.token[nodes_BK], rows=self._rows)
        step_BKC = model.score(self._rows, hidden_BKD, nodes_BK, depth, self._seen_BH)
        # back from the K scored beams to all W; finished beams continue with log-probability 0
        step_BWC = step_BKC.gather(1, self._index_BW.unsqueeze(-1).expand(-1, -1, step_BKC.shape[-1]))
        return step_BWC.where(open_BW.unsqueeze(-1), 0)


class NextItemPrompts(Protocol):
    """Writes next-item prompts: `prompts.PromptBuilder`, or a substitute."""

    def next_item(self, histories: Sequences) -> Ragged:
        """Return one row of token ids per history."""


class TSRecSearcher(TrieSearcher):
    """Ranks histories with the present weights; the head's rows are computed once."""

    def __init__(self, model: CachedLM, builder: NextItemPrompts, search: SearchSettings) -> None:
        """Put the model into evaluation mode and compute what all searches share.

        Args:
            model: the network.
            builder: of the prompts, the same as in training.
            search: beams, batches and length penalty.
        """
        super().__init__(model.trie, search, PackedLinears(model.backbone.get_decoder()))
        self._model, self._builder = model.eval(), builder
        with torch.no_grad():
            self._rows = for_searching(model.rows())

    @property
    def flat(self) -> bool:
        """Whether the head has a distribution over items at the root."""
        return self._model.settings.flat

    def _steps(self, histories: Sequences) -> ReadHistories:
        device = self._model.device
        prompts = self._builder.next_item(histories)
        ids_BL, mask_BL = prompts.pad(torch.arange(len(prompts)))
        inputs = ids_BL.to(device), mask_BL.to(device)
        return TSRecStepDecoder(self._model, inputs, on_device(histories, device), rows=self._rows)
