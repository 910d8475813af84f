"""Decoding with a causal model: the step decoder of a batch of prompts.

Legend: `B` batch, `L` tokens, `H` history, `W` width, `K` beams that need the model, `C` children.
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

    Prompts are read once. A beam below which only one item is left needs the model no more: among legal children the
    rest of its identifier is certain. Under the vocabulary likelihood every token counts.
    """

    def __init__(
        self, model: CachedLM, prompts: tuple[Tensor, Tensor], seen_BH: Tensor, *, rows: Rows | None = None
    ) -> None:
        """Read the prompts.

        Args:
            model: in evaluation mode.
            prompts: token ids (B, L), padded on the right, and their mask.
            seen_BH: items of the histories, −1 padded.
            rows: what `model.rows()` gave, to share it between batches.
        """
        self._model, self._rows = model, rows if rows is not None else model.rows()
        self._seen_BH = seen_BH
        self._prefix = model.encode(*prompts, rows=self._rows)
        self._place_BW = torch.zeros_like(self._prefix.lengths_B).unsqueeze(1)

    def start(self) -> Tensor:
        """Score the root's children: (B, 1, C)."""
        hidden_B1D = self._prefix.hidden_BD.unsqueeze(1)
        return self._model.score(self._rows, hidden_B1D, torch.zeros_like(self._place_BW), 0, self._seen_BH)

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
        chosen_BK = open_BW.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :needed]
        # an open beam's parent was open: it has a place among the tokens of the step before
        parents_BK = self._place_BW.gather(1, parents_BW).gather(1, chosen_BK)
        nodes_BK = nodes_BW.gather(1, chosen_BK)
        self._place_BW = (open_BW.cumsum(1) - 1).clamp(min=0)
        hidden_BKD = model.extend(self._prefix, parents_BK, trie.token[nodes_BK], rows=self._rows)
        step_BKC = model.score(self._rows, hidden_BKD, nodes_BK, depth, self._seen_BH)
        step_BWC = step_BKC.gather(1, self._place_BW.unsqueeze(-1).expand(-1, -1, step_BKC.shape[-1]))
        return step_BWC.where(open_BW.unsqueeze(-1), 0)


# ------------------------------------------------------------------------------------------------------- causal ranking
# Ranking histories with a causal model: the prompt of each is read once, many beams share it.


class NextItemPrompts(Protocol):
    """What writes prompts: `causal_prompts.PromptBuilder`, or a stand-in."""

    def next_item(self, histories: Sequences) -> Ragged:
        """Return one row of token ids per history."""


class TSRecSearcher(TrieSearcher):
    """A causal model ready to rank: weights as they are now, rows computed once."""

    def __init__(self, model: CachedLM, builder: NextItemPrompts, search: SearchSettings) -> None:
        """Compute once what all searches share; the model is put into evaluation mode.

        Args:
            model: what is asked.
            builder: writes the prompts, as it did for training.
            search: width, batches and length penalty.
        """
        super().__init__(model.trie, search, PackedLinears(model.backbone.get_decoder()))
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
        return TSRecStepDecoder(self._model, told, on_device(histories, device), rows=self._rows)
