"""What tokens of identifiers mean, from a lexicon's keywords: the vectors that `rewards.token_semantic` compares.

Legend: `T` tokens with keywords, `V` pieces, `D` features, `N` nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.keywords import Pooling, TokenWords, keyword_shares
from lexirec.models.tsrec.rewards import Meanings


def token_meanings(
    trie: Trie,
    words: Sequence[TokenWords],
    tokenizer: PreTrainedTokenizerBase,
    table_VD: Tensor,
    *,
    pooling: Pooling = "keywords",
) -> Meanings:
    """Give every token the mean vector of its keywords, as SA-Init does, less the mean of its level.

    Without the level's mean all cosines are near 1: rows of a language model share most of their direction, and the
    keywords of deep levels are alike besides.

    Args:
        trie: of identifiers spelled in these tokens; tokens without keywords mean nothing.
        words: tokens with their levels and keywords.
        tokenizer: of the backbone, which knows the tokens.
        table_VD: rows of the backbone's pieces, best those from before training.
        pooling: how keywords become a vector, as in SA-Init.
    """
    table = table_VD.detach().float().cpu().numpy()
    vectors_TD = keyword_shares(tokenizer, words, pooling) @ table[: len(tokenizer)]
    levels_T = np.array([word.level for word in words])
    for level in np.unique(levels_T):
        vectors_TD[levels_T == level] -= vectors_TD[levels_T == level].mean(axis=0)
    known_T = torch.tensor(tokenizer.convert_tokens_to_ids([word.token for word in words]), dtype=torch.int64)
    tokens_T, token_N = torch.unique(trie.token.cpu(), return_inverse=True)
    row_T = torch.zeros(len(tokens_T), vectors_TD.shape[1])
    place_T = torch.searchsorted(tokens_T, known_T).clamp(max=len(tokens_T) - 1)
    used_T = tokens_T[place_T] == known_T
    row_T[place_T[used_T]] = torch.from_numpy(vectors_TD).float()[used_T]
    return Meanings(token_N, row_T)
