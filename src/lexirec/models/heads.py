"""Heads: what turns the decoder's hidden states into scores of trie children, and embeds the nodes it has entered.

| head | likelihood | scores of a node's children |
|---|---|---|
| `vocabulary` | `vocabulary` | softmax over the whole vocabulary (GRAM): mass on illegal tokens is lost |
| `vocabulary` | `catalog` | softmax over the legal children only: identifiers' probabilities sum to one |
| `grounded`, pooling `mean` | `catalog` | rows of nodes = means of the item rows below, optionally by cosine |
| `grounded`, pooling `mass` | `catalog` | log-sum-exp of the scores of the items below: no label bias at the root |

Legend: `R` rows, `S` steps, `B` batch, `W` width, `C` children, `V` rows of a table, `D` features, `H` history.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.models.grounded_head import GroundedHead
from lexirec.models.head_parts import Head, Rows, TrieHolder, children_loss, products
from lexirec.models.mass_head import MassHead

__all__ = ["GroundedHead", "Head", "MassHead", "Rows", "VocabularyHead"]


class VocabularyHead(TrieHolder):
    """Children are tokens, their rows those of the backbone's output layer."""

    def __init__(self, backbone: Any, trie: Trie, likelihood: Literal["vocabulary", "catalog"]) -> None:
        """Read the output layer of any Hugging Face language model, which stays the owner of its weights."""
        super().__init__(trie)
        self._backbone = [backbone]  # in a list, so that it is not registered a second time
        self.likelihood = likelihood

    def rows(self) -> Rows:
        """Return the output layer."""
        return Rows(self._backbone[0].get_output_embeddings().weight)

    def _queries(self, hidden: Tensor) -> Tensor:
        """Scale hidden states as T5 does before tied embeddings; causal models do not."""
        config = self._backbone[0].config
        scaled = config.is_encoder_decoder and getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
        return hidden * config.hidden_size**-0.5 if scaled else hidden

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Embed the token of each node."""
        embedded: Tensor = self._backbone[0].get_input_embeddings()(self.trie_on(nodes.device).token[nodes])
        return embedded

    def steps(self, path_RS: Tensor) -> int:
        """Under the full vocabulary every token counts, also where only one is legal."""
        if self.likelihood == "catalog":
            return super().steps(path_RS)
        return int((path_RS >= 0).sum(1).max())

    def loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor) -> Tensor:
        """Token cross-entropy: mean over tokens (vocabulary; GRAM, spec section 8) or rows (catalog)."""
        trie = self.trie_on(hidden_RSD.device)
        if self.likelihood == "catalog":
            return children_loss(
                trie, self.branches(trie.device), self._queries(hidden_RSD), path_RS, rows.table_VD, trie.token
            )
        real_RS = path_RS >= 0
        logits = functional.linear(self._queries(hidden_RSD[real_RS]), rows.table_VD)
        return functional.cross_entropy(logits.float(), trie.token[path_RS[real_RS]])

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the tokens of the children."""
        trie = self.trie_on(hidden_BWD.device)
        children_BWC = trie.children(nodes_BW, trie.max_children[depth])
        tokens_BWC = trie.token[children_BWC.clamp(min=1)]
        if self.likelihood == "catalog":
            logits = products(self._queries(hidden_BWD), rows.table_VD, tokens_BWC)
            return logits.masked_fill(children_BWC < 0, -torch.inf).log_softmax(-1)
        logits_BWV = functional.linear(self._queries(hidden_BWD), rows.table_VD).float()
        return logits_BWV.gather(-1, tokens_BWC) - _log_sum_exp_(logits_BWV)


def _log_sum_exp_(logits_BWV: Tensor) -> Tensor:
    """Return the log-sum-exp over the last dimension (B, W, 1); the logits are used up.

    In place, because a fresh tensor of this size costs more than all that is computed with it (16 times on CPUs).
    """
    peak_BW1 = logits_BWV.amax(-1, keepdim=True)
    return logits_BWV.sub_(peak_BW1).exp_().sum(-1, keepdim=True).log_().add_(peak_BW1)
