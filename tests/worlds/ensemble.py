"""A tiny catalogue, and late-fusion models over it in every combination of settings."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from lexirec.decoding.trie import Trie
from lexirec.models.gram.item_prompts import item_prompts
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.settings import GramNetworkSettings, PromptSettings
from lexirec.models.gram.user_prompts import UserPrompts
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.t5 import Backbone, BackboneSettings, load_backbone, load_tokenizer
from tests.worlds.tables import random_identifiers

ITEMS = 40
FIRST_PIECE = 20  # identifiers are spelled in pieces above the special ones
TEXTS = [f"red blue item number {i} green {i % 7} thing" for i in range(ITEMS)]
SCRATCH = BackboneSettings(
    name="scratch:tiny", d_model=16, heads=2, feed_forward=32, vocabulary_size=128, dropout=0, residual_scale=1
)


def combinations() -> list[dict[str, Any]]:
    """Return every combination of what is read and what is scored that the settings accept, and some switches."""
    choices: dict[str, list[Any]] = {
        "user_prompt": ["identifiers", "grounded", "none"],
        "head": ["vocabulary", "grounded"],
        "pooling": ["mean", "mass"],
        "likelihood": ["catalog", "vocabulary"],
        "item_prompts": [True, False],
    }
    found = []
    for values in product(*choices.values()):
        chosen = dict(zip(choices, values))
        if chosen["head"] == "vocabulary" and chosen["pooling"] == "mean":
            continue  # pooling is the grounded head's
        try:
            GramNetworkSettings(**chosen)
        except ValidationError:
            continue
        found.append(chosen)
    switched = [{"head": "grounded", "cosine": False}, {"head": "grounded", "no_repeat": False}, {"positions": False}]
    return found + switched


def name(chosen: dict[str, Any]) -> str:
    return "-".join(str(value) if isinstance(value, str) else f"{key}:{value}" for key, value in chosen.items())


@cache
def identifiers() -> np.ndarray:
    """Return identifiers of unequal length for `ITEMS` items."""
    rows = random_identifiers(np.random.default_rng(3), items=400, vocabulary=7, longest=4)
    rows = rows[:ITEMS]  # a part of a prefix-free set is prefix-free
    return np.where(rows >= 0, rows + FIRST_PIECE, -1).astype(np.int32)


@cache
def tokenizer() -> Any:
    return load_tokenizer(SCRATCH, texts=TEXTS)


def backbone(seed: int = 0, **settings: Any) -> Backbone:
    return load_backbone(SCRATCH.model_copy(update=settings), tokenizer=tokenizer(), seed=seed)


def fusion(seed: int = 0, *, dropout: float = 0.0, max_history: int = 4, **settings: Any) -> GramNetwork:
    """Return an untrained model in evaluation mode."""
    chosen = GramNetworkSettings(max_history=max_history, **settings)
    language = backbone(seed, dropout=dropout)
    layout = PromptSettings(metadata_tokens=8, parts=("item", "metadata"))
    rows, _ = item_prompts({"title": TEXTS}, identifiers(), None, language.tokenizer, layout)
    features = np.random.default_rng(5).normal(size=(ITEMS, 6)).astype(np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GramNetwork(
            language.model,
            chosen,
            Trie.build(identifiers(), end=1 if chosen.likelihood == "vocabulary" else None),
            (rows, UserPrompts(identifiers(), language.tokenizer, layout)),
            ItemRows(ITEMS, SCRATCH.d_model or 0, features) if chosen.grounded else None,
        )
    return model.eval()


def windows(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return packed windows: full, short, of one target, with its first target late, and a padded target list."""
    items_BM = torch.from_numpy(np.random.default_rng(seed).integers(0, ITEMS, size=(5, 6)))
    items_BM[1, 4:] = -1
    items_BM[2, 2:] = -1
    items_BM[4, 1] = items_BM[4, 3]  # an item that comes again
    targets_BQ = torch.tensor(
        [[1, 2, 3, 4, 5], [1, 2, 3, -1, -1], [1, -1, -1, -1, -1], [4, 5, -1, -1, -1], [1, 2, 3, 4, 5]]
    )
    return items_BM, targets_BQ


def separate(items_BM: Tensor, targets_BQ: Tensor) -> tuple[Tensor, Tensor]:
    """Write every target of packed windows out as a window of its own."""
    pairs = [(b, int(t)) for b in range(len(items_BM)) for t in targets_BQ[b] if t >= 0]
    rows = torch.full((len(pairs), items_BM.shape[1]), -1)
    for row, (b, target) in zip(rows, pairs):
        row[: target + 1] = items_BM[b, : target + 1]
    return rows, torch.tensor([[target] for _, target in pairs])


def padded(rows: list[list[int]]) -> Tensor:
    """Lay histories out: (B, H), −1 beyond their ends."""
    longest = max(map(len, rows))
    return torch.tensor([row + [-1] * (longest - len(row)) for row in rows], dtype=torch.int64).view(len(rows), longest)


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {key: weight.grad.clone() for key, weight in model.named_parameters() if weight.grad is not None}


def apart(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Return the greatest difference of two sets of tensors, relative to each tensor's greatest entry."""
    assert one.keys() == two.keys()
    return max(float((one[key] - two[key]).abs().max() / one[key].abs().max().clamp(min=1e-6)) for key in one)
