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

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.grounded_head import MassHead
from lexirec.nn.head_base import Head, Rows, TrieHolder, children_loss, products, wide
from lexirec.nn.head_settings import HeadSettings
from lexirec.nn.lookups import look_up
from lexirec.nn.mean_head import GroundedHead
from lexirec.nn.token_scores import packed_table, token_log_probabilities

__all__ = ["GroundedHead", "Head", "HeadSettings", "MassHead", "Rows", "VocabularyHead", "for_searching", "make_head"]


def make_head(backbone: Any, trie: Trie, items: ItemRows | None, settings: HeadSettings) -> Any:
    """Make the head that settings ask for.

    Args:
        backbone: the language model, for its output layer.
        trie: of all identifiers.
        items: the items' rows; a grounded head needs them.
        settings: of the family.
    """
    if settings.head == "vocabulary":
        return VocabularyHead(backbone, trie, settings.likelihood)
    assert items is not None, "a grounded head needs the items' rows"
    if settings.pooling == "mean":
        return GroundedHead(trie, items, cosine=settings.cosine, temperature=settings.temperature)
    return MassHead(trie, items, cosine=settings.cosine, temperature=settings.temperature, no_repeat=settings.no_repeat)


def for_searching(rows: Rows) -> Rows:
    """Return rows that many searches share, the output layer packed where that is possible."""
    return rows if rows.vocabulary_VD is None else replace(rows, packed=packed_table(rows.vocabulary_VD))


class VocabularyHead(TrieHolder):
    """Children are tokens, their rows those of the backbone's output layer."""

    def __init__(self, backbone: Any, trie: Trie, likelihood: Literal["vocabulary", "catalog"]) -> None:
        """Read the output layer of any Hugging Face language model, which stays the owner of its weights."""
        super().__init__(trie)
        self._backbone = [backbone]  # in a list, so that it is not registered a second time
        self.likelihood = likelihood
        self._distinct: tuple[Tensor, Tensor] | None = None

    def rows(self) -> Rows:
        """Return the rows of the trie's tokens, or the whole output layer where all of it counts."""
        table_VD = self._backbone[0].get_output_embeddings().weight
        if self.likelihood == "vocabulary":
            return Rows(table_VD, vocabulary_VD=table_VD)
        return Rows(self._legal(table_VD))

    def _legal(self, table_VD: Tensor) -> Tensor:
        tokens_U, _ = self._tokens(self.trie_on(table_VD.device))
        return wide(table_VD[tokens_U])

    def _tokens(self, trie: Trie) -> tuple[Tensor, Tensor]:
        """Return the distinct tokens (U,) of the trie and the place (N,) of each node's token among them."""
        if self._distinct is None or self._distinct[0].device != trie.device:
            self._distinct = torch.unique(trie.token.clamp(min=0), return_inverse=True)
        return self._distinct

    def _queries(self, hidden: Tensor) -> Tensor:
        """Scale hidden states as T5 does before tied embeddings; causal models do not."""
        config = self._backbone[0].config
        scaled = config.is_encoder_decoder and getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
        return hidden * config.hidden_size**-0.5 if scaled else hidden

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Embed the token of each node; of the root, which stands behind the end of short paths, any."""
        tokens = self.trie_on(nodes.device).token[nodes].clamp(min=0)
        if rows.words_VD is not None:
            return look_up(rows.words_VD, tokens)
        embedded: Tensor = self._backbone[0].get_input_embeddings()(tokens)
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
            queries_RSD, (_, place_N) = self._queries(wide(hidden_RSD)), self._tokens(trie)
            return children_loss(trie, self.branches(trie.device), queries_RSD, path_RS, rows.table_VD, place_N)
        real_RS = path_RS >= 0
        return functional.cross_entropy(self._logits(rows, hidden_RSD[real_RS]), trie.token[path_RS[real_RS]])

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the tokens of the children."""
        if self.likelihood == "catalog":
            return self.score_legal(rows, hidden_BWD, nodes_BW, depth, seen_BH)
        trie = self.trie_on(hidden_BWD.device)
        tokens_BWC = trie.token[trie.children(nodes_BW, trie.max_children[depth]).clamp(min=1)]
        assert rows.vocabulary_VD is not None
        queries_BWD = self._queries(hidden_BWD.to(rows.vocabulary_VD.dtype))
        return token_log_probabilities(queries_BWD, rows.vocabulary_VD, tokens_BWC, rows.packed)

    def score_legal(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the tokens of the children among themselves."""
        trie = self.trie_on(hidden_BWD.device)
        children_BWC = trie.children(nodes_BW, trie.max_children[depth])
        place_BWC = self._tokens(trie)[1][children_BWC.clamp(min=0)]
        table_UD = rows.table_VD if rows.vocabulary_VD is None else self._legal(rows.vocabulary_VD)
        logits_BWC = products(self._queries(wide(hidden_BWD)), table_UD, place_BWC)
        return logits_BWC.masked_fill(children_BWC < 0, -torch.inf).log_softmax(-1)

    def _logits(self, rows: Rows, hidden: Tensor) -> Tensor:
        """Score the whole vocabulary."""
        assert rows.vocabulary_VD is not None
        return wide(functional.linear(self._queries(hidden.to(rows.vocabulary_VD.dtype)), rows.vocabulary_VD))
