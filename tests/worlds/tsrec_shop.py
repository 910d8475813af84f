"""A shop whose shoppers walk round a circle, and small causal recommenders that can learn it."""

import copy
from functools import cache
from typing import Any

import numpy as np
import torch

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.examples import Examples
from lexirec.models.tsrec.mixture import mixture
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.settings import TSRecNetworkSettings, TSRecPromptSettings
from lexirec.models.tsrec.tasks import next_item, sid_title
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.t5 import add_tokens
from lexirec.testing import circle_walks
from tests.worlds.ensemble import TEXTS
from tests.worlds.ensemble import tokenizer as plain_tokenizer

ITEMS = 36
WIDTH = 16
TRAIN = circle_walks(ITEMS, shoppers=24)
PIECES = [f"<a_{code}>" for code in range(6)] + [f"<b_{code}>" for code in range(6)]
KNOWN = len(plain_tokenizer())
SPARE = 3  # rows of the table beyond the tokenizer's pieces


@cache
def tokenizer() -> Any:
    """Return the tokenizer with the tokens of identifiers, which are two tokens each."""
    own = copy.deepcopy(plain_tokenizer())
    own.add_tokens(PIECES)
    return own


@cache
def identifiers() -> np.ndarray:
    ids = np.array(tokenizer().convert_tokens_to_ids(PIECES))
    items = np.arange(ITEMS)
    return np.stack([ids[items // 6], ids[6 + items % 6]], axis=1).astype(np.int32)


@cache
def builder() -> PromptBuilder:
    return PromptBuilder(tokenizer(), identifiers(), TSRecPromptSettings(frame="plain", max_history=3))


@cache
def examples() -> Examples:
    """Return questions for the next item and questions for and about titles."""
    tasks = [next_item(builder(), TRAIN), sid_title(builder(), TEXTS[:ITEMS])]
    return mixture(tasks, {"sid_title": 0.5})


def shop(seed: int = 0, *, dropout: float = 0.0, tied: bool = True, **settings: Any) -> TSRecNetwork:
    """Return an untrained recommender in evaluation mode."""
    plan = CausalBackboneSettings(
        name="scratch:tiny", d_model=WIDTH, heads=2, layers=1, feed_forward=32, dropout=dropout
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = load_causal(plan, tokenizer=copy.deepcopy(plain_tokenizer()), seed=seed)
        if not tied:
            model = backbone.model
            model.config.tie_word_embeddings = False
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        add_tokens(backbone, PIECES, seed=seed)
        backbone.model.resize_token_embeddings(len(backbone.tokenizer) + SPARE, mean_resizing=False)
        chosen = TSRecNetworkSettings(neighbor_features=0, neighbor_rows=0, **settings)
        items = ItemRows(ITEMS, WIDTH, None) if chosen.grounded else None
        return TSRecNetwork(backbone.model, chosen, Trie.build(identifiers()), items).eval()


def validation(step: int = 1, cases: int = 12) -> Cases:
    """Cases whose target is so many places further round the circle."""
    starts = np.arange(cases)
    histories = Sequences.from_lists([[(start + i) % ITEMS for i in range(3)] for start in starts])
    return Cases(starts, ((starts + 2 + step) % ITEMS).astype(np.int32), histories)


class PowerCutError(Exception):
    """What stands for a kill."""


def kill_after(model: torch.nn.Module, passes: int) -> None:
    """Let a module break off at some forward pass that gradients are wanted of."""
    left = iter(range(passes))

    def count(module, inputs):
        if torch.is_grad_enabled() and next(left, None) is None:
            raise PowerCutError

    model.register_forward_pre_hook(count)
