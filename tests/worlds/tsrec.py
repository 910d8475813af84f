"""Tiny stock causal models of five families over a tiny catalogue, and what they say the plain way."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from lexirec.nn.embedding_table import ItemRows
from tests.worlds.tables import random_identifiers

ITEMS = 40
WIDTH = 16
VOCABULARY = 60
END = 1
FIRST_TOKEN = 50  # identifiers are spelled in tokens of their own
FAMILIES: dict[str, tuple[Any, Any]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM),
    "gpt2": (GPT2Config, GPT2LMHeadModel),
}
HEADS: dict[str, dict[str, Any]] = {
    "vocabulary": {"likelihood": "vocabulary"},
    "catalog": {},
    "mean": {"head": "grounded", "pooling": "mean"},
    "mass": {"head": "grounded", "pooling": "mass", "embeddings": "grounded"},
}


@cache
def identifiers() -> np.ndarray:
    """Return identifiers of one to four tokens for `ITEMS` items."""
    rows = random_identifiers(np.random.default_rng(3), items=400, vocabulary=7, longest=4)[:ITEMS]
    return np.where(rows >= 0, rows + FIRST_TOKEN, -1).astype(np.int32)


def language(family: str = "qwen2", *, attention: str = "sdpa", tied: bool = True, seed: int = 0) -> Any:
    """Return a stock model with random weights; they are large, so that answers differ clearly."""
    config, model = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = model(
            config(
                vocab_size=VOCABULARY,
                hidden_size=WIDTH,
                intermediate_size=24,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=4,
                initializer_range=0.3,
                tie_word_embeddings=tied,
                attn_implementation=attention,
                eos_token_id=END,
                pad_token_id=0,
            )
        )
    return made.eval()


def causal(backbone: Any = None, *, end: bool = False, seed: int = 0, **settings: Any) -> TSRecNetwork:
    """Return an untrained model in evaluation mode; scalars that start at zero are moved, so that they matter."""
    chosen = TSRecNetworkSettings(neighbor_features=0, **settings)
    features = np.random.default_rng(5).normal(size=(ITEMS, 6)).astype(np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TSRecNetwork(
            backbone if backbone is not None else language(),
            chosen,
            Trie.build(identifiers(), end=END if end else None),
            ItemRows(ITEMS, WIDTH, features) if chosen.grounded else None,
        )
    if model.share is not None:
        torch.nn.init.constant_(model.share, 0.7)
    return model.eval()


def prompts(rows: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return prompts of unequal length with identifiers in them, padded on the right, and their mask."""
    rng = np.random.default_rng(seed)
    spelled = identifiers()
    texts = []
    for row in range(rows):
        items = [spelled[item][spelled[item] >= 0].tolist() for item in rng.integers(0, ITEMS, size=1 + 2 * row)]
        texts.append([2, *rng.integers(3, 20, size=3).tolist(), *(token for item in items for token in [*item, 4]), 5])
    longest = max(map(len, texts))
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    lengths = torch.tensor([[len(text)] for text in texts])
    return ids, torch.arange(longest) < lengths


def histories(rows: int = 4) -> Tensor:
    """Return items that were seen: (B, H), −1 padded."""
    seen = np.random.default_rng(9).integers(0, ITEMS, size=(rows, 5))
    seen[0, 2:] = -1
    return torch.from_numpy(seen)


@torch.no_grad()
def plain_paths(model: TSRecNetwork, prompt: list[int], seen: list[int], only: int | None = None) -> Tensor:
    """Return the sum of log-probabilities (I,) of every item behind a prompt: every beginning is a text of its own.

    With `only`, that of one item is right.
    """
    rows, trie = model.rows(), model.trie
    hidden_of, total = {}, torch.zeros(trie.n_nodes)
    inside = trie.node_item < 0
    if only is not None:
        inside &= (trie.first <= trie.first[trie.item_node[only]]) & (trie.last > trie.first[trie.item_node[only]])
    for node in inside.nonzero().squeeze(1).tolist():
        text = prompt + trie.path(node)
        hidden_of[node] = model.read(torch.tensor([text]), rows)[0, -1]
        hidden = hidden_of[node]
        if model.share is not None and node:
            hidden = hidden_of[0] + model.share * hidden
        arguments = torch.tensor([[node]]), int(trie.depth[node]), torch.tensor([seen])
        step = model.head.score_children(rows, hidden[None, None], *arguments)[0, 0]
        first, last = (int(trie.child_offsets[node + more]) + 1 for more in (0, 1))
        total[first:last] = total[node] + step[: last - first]
    return total[trie.item_node]
