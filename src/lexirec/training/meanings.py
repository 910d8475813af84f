"""What tokens of identifiers mean, from a lexicon's terms: the vectors that `rewards.token_semantic` compares.

Legend: `N` nodes, `T` tokens with a meaning, `E` entries of a lexicon's level, `V` pieces, `D` features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from lexirec.codes.codes import Codes
from lexirec.codes.lexicon import Lexicon, LexiconLevel
from lexirec.decoding.trie import Trie
from lexirec.models.tokenizer import encode_all
from lexirec.training.rewards import Meanings


@torch.no_grad()
def term_vectors(terms: Sequence[str], tokenizer: PreTrainedTokenizerBase, table_VD: Tensor) -> Tensor:
    """Embed terms as the mean of the rows of their pieces: float (len(terms), D), zeros for a term without pieces."""
    rows = encode_all(tokenizer, [f" {term}" for term in terms], "Embedding terms")
    return functional.embedding_bag(
        rows.values.long(), table_VD.float().cpu(), rows.offsets[:-1].contiguous(), mode="mean"
    )


@torch.no_grad()
def token_meanings(trie: Trie, codes: Codes, lexicon: Lexicon, terms_D: Tensor) -> Meanings:
    """Give every token the mean of its cell's terms, weighted by their scores, less the mean of its level.

    Without the level's mean all cosines are near 1: vectors of language models share most of their direction, and
    deep levels' keywords are alike besides.

    Args:
        trie: of identifiers whose tokens are the codes, level by level; tokens below the codes mean nothing.
        codes: of the same items.
        lexicon: terms of the codes' cells.
        terms_D: float (len(lexicon.vocabulary), D), vectors of the terms.
    """
    nothing = torch.zeros(1, terms_D.shape[1])
    vectors, row_N, known = [nothing], torch.zeros(trie.n_nodes, dtype=torch.int64), 1
    first_item_N, depth_N = trie.order[trie.first.clamp(max=trie.n_items - 1)].cpu(), trie.depth.cpu()
    for number, level in enumerate(lexicon.levels[: codes.levels]):
        mean_TD = _weighted(level, terms_D)
        vectors.append(mean_TD - mean_TD.mean(0))
        nodes = (depth_N == number + 1).nonzero().squeeze(1)
        row_N[nodes] = known + torch.from_numpy(codes.cells(number))[first_item_N[nodes]]
        known += len(level)
    unknown = (depth_N > min(codes.levels, len(lexicon.levels))).nonzero().squeeze(1)
    tokens = torch.unique(trie.token.cpu()[unknown], return_inverse=True)
    row_N[unknown] = known + tokens[1]  # rows of their own, so that the same number is the same
    vectors.append(nothing.expand(len(tokens[0]), -1))
    return Meanings(row_N, torch.cat(vectors))


def _weighted(level: LexiconLevel, terms_D: Tensor) -> Tensor:
    """Return the mean vector (cells, D) of each cell's terms by their scores."""
    cell_E = torch.from_numpy(np.repeat(np.arange(len(level)), np.diff(level.offsets)))
    weight_E = torch.from_numpy(level.scores).float()
    total = torch.zeros(len(level), terms_D.shape[1])
    total.index_add_(0, cell_E, weight_E[:, None] * terms_D[torch.from_numpy(level.terms).long()].float().cpu())
    mass = torch.zeros(len(level)).index_add_(0, cell_E, weight_E)
    return total / mass.clamp(min=1e-9)[:, None]
