"""Constrained decoding of GRAM: the step decoder of a batch of histories, and the searcher that ranks with it.

Item prompts depend on the item alone, so the whole catalogue is encoded once per state of the weights and shared by
all histories.

Legend: `B` batch, `H` history, `W` beams, `C` children, `I` items, `U` some items, `L` tokens, `D` features,
`T` nodes read ahead, `N` trie nodes.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lexirec.core.progress import Progress
from lexirec.data.sequences import Sequences
from lexirec.decoding.lookahead import Ahead, look_ahead
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.window_batch import Batch
from lexirec.nn.cpu_kernels import PackedLinears
from lexirec.nn.grounded_head import MassHead
from lexirec.nn.head_base import Rows
from lexirec.nn.search import ReadHistories, SearchSettings, TrieSearcher, on_device
from lexirec.nn.t5_layers import BeamSteps, TokenTree
from lexirec.nn.vocabulary_head import for_searching


class ItemStates(NamedTuple):
    """Encodings of the whole catalogue: states (I, L, D) and mask (I, L)."""

    states_ILD: Tensor
    mask_IL: Tensor

    def take(self, items_U: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (U, L, D) and mask (U, L) of some items, cut to the longest of them."""
        mask_UL = self.mask_IL[items_U]
        longest = int(mask_UL.sum(1).max())
        return self.states_ILD[items_U, :longest], mask_UL[:, :longest]


@torch.no_grad()
def encode_catalog(model: GramNetwork, batch_size: int = 256, items: Tensor | None = None) -> ItemStates:
    """Encode every item's prompt once, or those of some items; the model must be in evaluation mode."""
    numbers = torch.arange(model.trie.n_items) if items is None else items
    count = len(numbers)
    # batches are as wide as their longest prompt; the widest of all decides the table, which is allocated once
    parts: list[tuple[Tensor, Tensor]] = []
    with Progress("Encoding items", total=count) as progress:
        for first in range(0, count, batch_size):
            chosen = numbers[first : first + batch_size].to(model.device)
            parts.append(model.encode_items(chosen))
            progress.advance(len(chosen))
    longest = max(mask.shape[1] for _, mask in parts)
    mask_IL = torch.zeros(count, longest, dtype=torch.bool, device=model.device)
    states_ILD = parts[0][0].new_zeros(count, longest, parts[0][0].shape[-1])
    first = 0
    for states, mask in parts:
        states_ILD[first : first + len(mask), : mask.shape[1]] = states
        mask_IL[first : first + len(mask), : mask.shape[1]] = mask
        first += len(mask)
    return ItemStates(states_ILD, mask_IL)


class StatesOfItems(Protocol):
    """Encodings of a catalogue, in memory or in files."""

    def take(self, items_U: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (U, L, D) and mask (U, L) of some items, cut to the longest of them."""


class _Table(NamedTuple):
    """Nodes read ahead: hidden states (B, T, D), and scores of children (B, T, C) under the vocabulary likelihood.

    Scores over the whole vocabulary stream the largest matrix of the model, so they are computed for all nodes at once.
    """

    ahead: Ahead
    hidden_BTD: Tensor
    scores_BTC: Tensor | None


class GramStepDecoder:
    """The step decoder of one batch of histories (see `decoding.beam.StepDecoder`)."""

    def __init__(
        self, model: GramNetwork, histories_BH: Tensor, *, rows: Rows | None = None, cache: StatesOfItems | None = None
    ) -> None:
        """Encode the histories.

        Args:
            model: in evaluation mode.
            histories_BH: item numbers, oldest first, −1 beyond a history's end. All of them count as seen; the newest
                `max_history` are read.
            rows: the result of `model.head.rows()`, shared between batches.
            cache: the catalogue's encodings, shared between histories; without them the items are encoded here.
        """
        self._model, self._rows = model, rows if rows is not None else model.head.rows()
        self._seen_BH = histories_BH
        recent_BH = _newest(histories_BH, model.settings.max_history)
        lengths_B1 = (recent_BH >= 0).sum(1, keepdim=True)
        encode = cache.take if cache is not None else None
        fused, self._start_B1D = model.fuse(Batch(recent_BH, lengths_B1), self._rows, encode)
        self._prompts = fused.flat()
        self._steps = BeamSteps(model.backbone.decoder)
        self._needed_N: Tensor | None = None
        self._table: _Table | None = None  # once filled, no further decoder step is run

    def item_logp(self) -> Tensor:
        """Return the log-probabilities (B, I) of the items at the root, from a head with pooling `mass`."""
        head = self._model.head
        assert isinstance(head, MassHead), "only a head with pooling mass scores items at the root"
        hidden_B1D = self._steps.advance(self._start_B1D, self._prompts, None)
        return head.item_logp(self._rows, hidden_B1D[:, 0], self._seen_BH)

    def start(self) -> Tensor:
        """Score the root's children: (B, 1, C)."""
        hidden_B1D = self._steps.advance(self._start_B1D, self._prompts, None)
        self._first_B1D = hidden_B1D  # refined heads add a share of later states to this one
        root_B1 = torch.zeros(hidden_B1D.shape[:2], dtype=torch.int64, device=hidden_B1D.device)
        return self._model.head.score_children(self._rows, hidden_B1D, root_B1, 0, self._seen_BH)

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        """Enter nodes and score their children: (B, W, C)."""
        if self._table is None:
            ahead = self._look_ahead(nodes_BW, depth)
            if ahead is None:
                # too much is left below the beams: one ordinary step, which reorders the caches by parent
                inputs_BWD = self._model.head.embed(self._rows, nodes_BW)
                return self._score(self._steps.advance(inputs_BWD, self._prompts, parents_BW), nodes_BW, depth)
            self._table = self._read(ahead, parents_BW, depth)
        # everything below these beams was read in one pass: a step is a look-up of the entered nodes
        index_BW1 = self._table.ahead.find(nodes_BW).unsqueeze(2)
        if self._table.scores_BTC is None:
            hidden_BTD = self._table.hidden_BTD
            return self._score(hidden_BTD.gather(1, index_BW1.expand(-1, -1, hidden_BTD.shape[2])), nodes_BW, depth)
        return self._table.scores_BTC.gather(1, index_BW1.expand(-1, -1, self._model.trie.max_children[depth]))

    def _score(self, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        hidden_BWD = self._model.refined(self._first_B1D, hidden_BWD)
        return self._model.head.score_children(self._rows, hidden_BWD, nodes_BW, depth, self._seen_BH)

    def _look_ahead(self, nodes_BW: Tensor, depth: int) -> Ahead | None:
        """Return all nodes that may still be entered, where they are few; None on GPUs, where steps are cheap."""
        trie = self._model.trie
        if trie.device.type != "cpu":
            return None
        if self._needed_N is None:
            # over legal children, a prefix of a single item continues with probability 1 and needs no state
            certain = self._model.settings.likelihood == "catalog"
            self._needed_N = trie.last - trie.first > 1 if certain else trie.node_item < 0
        return look_ahead(trie, nodes_BW, depth, needed_N=self._needed_N)

    def _read(self, ahead: Ahead, parents_BW: Tensor, depth: int) -> _Table:
        """Run the decoder once over all nodes ahead, as a tree below the present beams."""
        tree = TokenTree(parents_BW.gather(1, ahead.beams_BT), ahead.levels_BT, ahead.above_BTJ)
        inputs_BTD = self._model.head.embed(self._rows, ahead.nodes_BT)
        hidden_BTD = self._steps.finish(inputs_BTD, self._prompts, tree)
        if self._model.settings.likelihood == "catalog":
            return _Table(ahead, hidden_BTD, None)
        # one width fits the children of every depth; `advance` cuts it to that of its step
        children = self._model.trie.max_children
        widest = max(range(depth, len(children)), key=children.__getitem__)
        return _Table(ahead, hidden_BTD, self._score(hidden_BTD, ahead.nodes_BT, widest))


def _newest(histories_BH: Tensor, limit: int) -> Tensor:
    """Return the newest `limit` items of each history, oldest first, aligned left; at least one column."""
    lengths_B1 = (histories_BH >= 0).sum(1, keepdim=True)
    width = max(1, min(limit, histories_BH.shape[1]))
    index_BH = (lengths_B1 - limit).clamp(min=0) + torch.arange(width, device=histories_BH.device)
    if not histories_BH.shape[1]:
        return torch.full_like(index_BH, -1)
    recent = histories_BH.gather(1, index_BH.clamp(max=histories_BH.shape[1] - 1))
    return recent.masked_fill(index_BH >= lengths_B1, -1)


class GramSearcher(TrieSearcher):
    """Ranks histories with the present weights: the head's rows and the catalogue's encodings are computed once."""

    def __init__(self, model: GramNetwork, settings: SearchSettings, states: StatesOfItems | None = None) -> None:
        """Put the model into evaluation mode and compute what all searches share; `states`: the items', if known."""
        super().__init__(model.trie, settings, PackedLinears(*model.encoders, model.backbone.decoder))
        self._model = model.eval()
        with torch.no_grad(), self._weights.in_use():
            self._rows = for_searching(model.head.rows())
            self._cache = states
            if states is None and model.settings.item_prompts:
                self._cache = encode_catalog(model)

    @property
    def flat(self) -> bool:
        """Whether the head has a distribution over items at the root."""
        return self._model.settings.flat

    def _steps(self, histories: Sequences) -> ReadHistories:
        histories_BH = on_device(histories, self._model.device)
        return GramStepDecoder(self._model, histories_BH, rows=self._rows, cache=self._cache)
