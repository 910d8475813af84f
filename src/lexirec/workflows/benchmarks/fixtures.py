"""Data of the benchmarks: a model with random weights, identifiers in a tree like GRAM's, prompts of full length.

Legend: `I` items, `L` tokens, `U` users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import T5ForConditionalGeneration

from lexirec.decoding.trie import Trie
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.settings import GramNetworkSettings, PromptSettings
from lexirec.models.gram.user_prompts import UserPrompts
from lexirec.nn.ragged import Ragged
from lexirec.nn.t5 import BackboneSettings, scratch_config
from lexirec.nn.tokenizer import train_tokenizer

END = 1
LEVELS = 7
"""Tokens of an identifier without collision counter and end (GRAM's Beauty)."""

_FIRST_WORD = 200
"""Smaller token ids are reserved for the template and for collision counters."""
_CELLS = 128
_CHILDREN = 84
_FAVOURED = (0.42, 0.5, 0.6, 0.7, 0.8)
"""Probability that an item takes its node's favourite token, at levels 3 to 7; with these values the tree has the shape
of the one that GRAM published for Beauty (spec section 4.3: 108, 6,600, 10,126, 11,257 prefixes of one to four
tokens)."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the benchmark; by default T5-small on Beauty.

    Attributes:
        backbone: a scratch backbone, which defines layers and widths.
        vocabulary: rows of the embedding.
        items: items of the catalogue.
        prompt: tokens of every item prompt, and largest number of a user prompt.
        history: items of a history.
        width: beam width, and number of items returned.
    """

    backbone: str = "scratch:small"
    vocabulary: int = 32_128
    items: int = 12_101
    prompt: int = 128
    history: int = 20
    width: int = 50


class World(NamedTuple):
    """A model with its identifiers (I, longest), without the end token, and its item and user prompts."""

    model: GramNetwork
    tokens: NDArray[np.int32]
    item_prompts: Ragged
    user_prompts: UserPrompts


def make_world(sizes: Sizes, seed: int) -> World:
    """Build a GRAM model as in the paper (full-vocabulary likelihood, no dropout) with random weights."""
    tokens = gram_like_identifiers(sizes.items, sizes.vocabulary, seed)
    rng = np.random.default_rng([seed, 1])
    words = rng.integers(_FIRST_WORD, sizes.vocabulary, size=sizes.items * sizes.prompt, dtype=np.int32)
    item_prompts = Ragged(torch.from_numpy(words), torch.arange(sizes.items + 1) * sizes.prompt)
    settings = PromptSettings(layout="paper", max_length=sizes.prompt)
    tokenizer = train_tokenizer([settings.user_template, ";"], vocabulary_size=128, lower_case=True)
    user_prompts = UserPrompts(tokens, tokenizer, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = T5ForConditionalGeneration(
            scratch_config(BackboneSettings(name=sizes.backbone, dropout=0), sizes.vocabulary)
        )
        model = GramNetwork(
            backbone,
            GramNetworkSettings(likelihood="vocabulary", max_history=sizes.history),
            Trie.build(tokens, end=END),
            (item_prompts, user_prompts),
        )
    return World(model.eval(), tokens, item_prompts, user_prompts)


def gram_like_identifiers(items: int, vocabulary: int, seed: int) -> NDArray[np.int32]:
    """Return identifiers (I, 8) of seven tokens, −1 padded; equal ones get a counter, as in GRAM.

    Items fall into 128 cells of unequal size, then into up to 84 children each; below, an item takes its node's
    favourite token or a random one.
    """
    rng = np.random.default_rng([seed, 0])
    words = vocabulary - _FIRST_WORD
    prefix = rng.choice(_CELLS, size=items, p=rng.dirichlet(np.full(_CELLS, 1.2)))
    columns = [_FIRST_WORD + rng.permutation(words)[prefix % words]]
    for level in range(1, LEVELS):
        if level == 1:
            words_I = (prefix * 7919 + rng.integers(0, _CHILDREN, items) * 104_729) % words
        else:
            favourite_I = (prefix * 7919 + level * 104_729) % words
            favoured_I = rng.random(items) < _FAVOURED[level - 2]
            words_I = np.where(favoured_I, favourite_I, rng.integers(0, words, items))
        columns.append(_FIRST_WORD + words_I)
        prefix = np.unique(np.stack([prefix, words_I], axis=1), axis=0, return_inverse=True)[1].ravel()
    return np.stack([*columns, _counters(prefix)], axis=1).astype(np.int32)


def _counters(group_I: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a token that distinguishes the items of a group, −1 where an item is alone."""
    order = np.argsort(group_I, kind="stable")
    sizes = np.bincount(group_I)
    place_I = np.empty_like(order)
    place_I[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.where(sizes[group_I] > 1, END + 2 + place_I, -1)


def beauty_like_lengths(users: int) -> NDArray[np.int64]:
    """Return the lengths of training rows (U,), longest first, each row representing an equal share of users.

    Lengths follow 3 + ⌊5.25 · (u^(−1/2.2) − 1)⌋, at most 202, fitted to the training rows of Beauty: mean 6.9 items and
    6.7 items in the history of a target, both as there. A row has the mean length of the rows of its share.
    """
    per_share = 10_000
    chance = (np.arange(users * per_share) + 0.5) / (users * per_share)
    lengths = np.minimum(3 + np.floor(5.25 * (chance ** (-1 / 2.2) - 1)), 202)
    return np.asarray(lengths.reshape(users, per_share).mean(axis=1).round(), dtype=np.int64)
