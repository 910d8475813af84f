"""Vocabulary head: scores trie children by the backbone's output layer; also the choice among all heads.

A head turns the decoder's hidden states into scores of trie children, and embeds the nodes that a beam has entered.

| head | likelihood | scores of a node's children |
|---|---|---|
| `vocabulary` | `vocabulary` | softmax over the whole vocabulary (GRAM): mass on illegal tokens is lost |
| `vocabulary` | `catalog` | softmax over the legal children: the identifiers' probabilities sum to one |
| `grounded`, pooling `mean` | `catalog` | rows of nodes = means of the item rows below, optionally by cosine |
| `grounded`, pooling `mass` | `catalog` | log-sum-exp of the scores of the items below: no label bias at the root |

`token_log_probabilities` computes a softmax over the whole vocabulary block by block, without its logits in memory.

Shapes: `R` rows, `S` steps, `B` batch, `W` width, `C` children, `V` rows of a table, `D` features, `H` history,
`M` beams of all rows, `U` tokens of a block or distinct tokens of the trie.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.nn.cpu_kernels import look_up, multiply, pack_blocks
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.grounded_head import GroundedHead, MassHead
from lexirec.nn.head_base import Head, HeadSettings, Rows, TrieHolder, children_loss, log_shares, products, wide

__all__ = ["GroundedHead", "Head", "HeadSettings", "MassHead", "Rows", "VocabularyHead", "for_searching", "make_head"]


def make_head(backbone: Any, trie: Trie, items: ItemRows | None, settings: HeadSettings) -> Any:
    """Build the head that the settings choose.

    Args:
        backbone: the language model, for its output layer.
        trie: of all identifiers.
        items: the items' rows, needed by grounded heads.
        settings: the model's head settings.
    """
    if settings.head == "vocabulary":
        return VocabularyHead(backbone, trie, settings.likelihood)
    assert items is not None, "a grounded head needs the items' rows"
    if settings.pooling == "mean":
        return GroundedHead(trie, items, cosine=settings.cosine, temperature=settings.temperature)
    return MassHead(trie, items, cosine=settings.cosine, temperature=settings.temperature, no_repeat=settings.no_repeat)


def for_searching(rows: Rows) -> Rows:
    """Return rows for many searches, with the output layer packed where possible."""
    return rows if rows.vocabulary_VD is None else replace(rows, packed=packed_table(rows.vocabulary_VD))


class VocabularyHead(TrieHolder):
    """Head that scores a child by its token's row of the backbone's output layer."""

    def __init__(self, backbone: Any, trie: Trie, likelihood: Literal["vocabulary", "catalog"]) -> None:
        """Use the output layer of a Hugging Face language model, which keeps owning its weights."""
        super().__init__(trie)
        self._backbone = [backbone]  # in a list, so that it is not registered a second time
        self.likelihood = likelihood
        self._distinct: tuple[Tensor, Tensor] | None = None

    def rows(self) -> Rows:
        """Return the rows of the trie's tokens or, for likelihood `vocabulary`, the whole output layer."""
        table_VD = self._backbone[0].get_output_embeddings().weight
        if self.likelihood == "vocabulary":
            return Rows(table_VD, vocabulary_VD=table_VD)
        return Rows(self._legal(table_VD))

    def _legal(self, table_VD: Tensor) -> Tensor:
        # the trie has far fewer tokens than the vocabulary: score its distinct tokens only
        tokens_U, _ = self._tokens(self.trie_on(table_VD.device))
        return wide(table_VD[tokens_U])

    def _tokens(self, trie: Trie) -> tuple[Tensor, Tensor]:
        """Return the distinct tokens (U,) of the trie, and the index (N,) of each node's token among them."""
        if self._distinct is None or self._distinct[0].device != trie.device:
            self._distinct = torch.unique(trie.token.clamp(min=0), return_inverse=True)
        return self._distinct

    def _queries(self, hidden: Tensor) -> Tensor:
        """Scale hidden states as T5 does before a tied output layer; causal models do not scale."""
        config = self._backbone[0].config
        scaled = config.is_encoder_decoder and getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
        return hidden * config.hidden_size**-0.5 if scaled else hidden

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Embed the token of each node; the root, which pads short paths, gets an arbitrary embedding."""
        tokens = self.trie_on(nodes.device).token[nodes].clamp(min=0)
        if rows.words_VD is not None:
            return look_up(rows.words_VD, tokens)
        embedded: Tensor = self._backbone[0].get_input_embeddings()(tokens)
        return embedded

    def steps(self, path_RS: Tensor) -> int:
        """Return the steps of the longest path: under the full vocabulary a step with one legal token counts, too."""
        if self.likelihood == "catalog":
            return super().steps(path_RS)
        return int((path_RS >= 0).sum(1).max())

    def loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor) -> Tensor:
        """Return the token cross-entropy: mean over tokens (vocabulary; GRAM, spec section 8) or rows (catalog)."""
        trie = self.trie_on(hidden_RSD.device)
        if self.likelihood == "catalog":
            queries_RSD, (_, row_of_N) = self._queries(wide(hidden_RSD)), self._tokens(trie)
            return children_loss(trie, self.branches(trie.device), queries_RSD, path_RS, rows.table_VD, row_of_N)
        real_RS = path_RS >= 0
        return functional.cross_entropy(self._logits(rows, hidden_RSD[real_RS]), trie.token[path_RS[real_RS]])

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the children's tokens under the head's likelihood."""
        if self.likelihood == "catalog":
            return self.score_legal(rows, hidden_BWD, nodes_BW, depth, seen_BH)
        trie = self.trie_on(hidden_BWD.device)
        tokens_BWC = trie.token[trie.children(nodes_BW, trie.max_children[depth]).clamp(min=1)]
        assert rows.vocabulary_VD is not None
        queries_BWD = self._queries(hidden_BWD.to(rows.vocabulary_VD.dtype))
        return token_log_probabilities(queries_BWD, rows.vocabulary_VD, tokens_BWC, rows.packed)

    def score_legal(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the children's tokens, normalised over the legal children."""
        trie = self.trie_on(hidden_BWD.device)
        children_BWC = trie.children(nodes_BW, trie.max_children[depth])
        row_BWC = self._tokens(trie)[1][children_BWC.clamp(min=0)]
        table_UD = rows.table_VD if rows.vocabulary_VD is None else self._legal(rows.vocabulary_VD)
        logits_BWC = products(self._queries(wide(hidden_BWD)), table_UD, row_BWC)
        logits_BWC = logits_BWC.masked_fill(children_BWC < 0, -torch.inf)
        return log_shares(logits_BWC, self.trained_children(children_BWC))

    def _logits(self, rows: Rows, hidden: Tensor) -> Tensor:
        """Score the whole vocabulary."""
        assert rows.vocabulary_VD is not None
        return wide(functional.linear(self._queries(hidden.to(rows.vocabulary_VD.dtype)), rows.vocabulary_VD))


# --------------------------------------------------------------------------------------------------------- token scores

_BLOCK = 1024
"""Tokens scored at a time. The logits of a block stay in a core's cache from the product to the sum of exponentials: a
quarter faster on CPUs than all tokens at once, and fifty beams take 0.2 MB instead of 6."""


def packed_table(table_VD: Tensor) -> tuple[Tensor, ...]:
    """Pack an output layer for many searches; return no blocks where that is not possible."""
    return pack_blocks(table_VD, _BLOCK)


def token_log_probabilities(
    queries_BWD: Tensor, table_VD: Tensor, tokens_BWC: Tensor, packed: tuple[Tensor, ...] = ()
) -> Tensor:
    """Return the log-probabilities (B, W, C) of chosen tokens, in float32 at least; for decoding, not differentiable.

    Args:
        queries_BWD: hidden states, scaled for the output layer.
        table_VD: the output layer.
        tokens_BWC: the chosen rows of the table.
        packed: the table as packed by `packed_table`.
    """
    if queries_BWD.device.type != "cpu":  # other devices are fastest with one large product
        logits_BWV = wide(queries_BWD @ table_VD.mT)
        return logits_BWV.gather(-1, tokens_BWC) - logits_BWV.logsumexp(-1, keepdim=True)
    queries_MD, tokens_MC = queries_BWD.flatten(0, 1), tokens_BWC.flatten(0, 1)
    chosen_MC = torch.zeros(tokens_MC.shape, dtype=torch.promote_types(queries_BWD.dtype, torch.float32))
    masses: list[Tensor] = []
    for block, first in enumerate(range(0, len(table_VD), _BLOCK)):
        rows_UD = table_VD[first : first + _BLOCK]
        logits_MU = multiply(queries_MD, packed[block]) if packed else wide(queries_MD @ rows_UD.mT)
        # the block's logits are overwritten below, so the chosen tokens of this block are read first
        column_MC = tokens_MC - first
        inside_MC = (column_MC >= 0) & (column_MC < logits_MU.shape[1])
        block_MC = logits_MU.gather(1, column_MC.clamp(0, logits_MU.shape[1] - 1))
        chosen_MC = torch.where(inside_MC, block_MC, chosen_MC)
        masses.append(_log_sum_exp_(logits_MU))
    return (chosen_MC - torch.cat(masses, dim=1).logsumexp(1, keepdim=True)).view_as(tokens_BWC)


def _log_sum_exp_(logits_MU: Tensor) -> Tensor:
    """Return the log-sum-exp over the last dimension (M, 1); overwrites the logits."""
    peak_M1 = logits_MU.amax(-1, keepdim=True)
    return logits_MU.sub_(peak_M1).exp_().sum(-1, keepdim=True).log_().add_(peak_M1)
