"""Tables of the form that the recipes of papers read, made of the toy shop, and tiny backbones that stand in."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from lexirec.data.toy_shop.shop import toy_shop
from lexirec.nn.pretrained import no_bars
from lexirec.nn.tokenizer import train_tokenizer

ITEMS, SHOPPERS = 84, 60
LEVELS = 3


def write_beauty(root: Path) -> None:
    """Write `beauty/`: items with prices and ranks, events, lexical identifiers of pieces, neighbours."""
    folder, shop = root / "beauty", toy_shop(items=ITEMS, shoppers=SHOPPERS)
    folder.mkdir(parents=True)
    ids = shop.items["item_id"].to_pylist()
    ranks = pa.array([1000.0 + number for number in range(ITEMS)])
    pq.write_table(shop.items.append_column("sales_rank", ranks), folder / "items.parquet")
    pq.write_table(shop.interactions, folder / "interactions.parquet")
    letters = np.array(list(string.ascii_lowercase))
    pieces = ["".join(f"|{letters[code]}" for code in codes) for codes in _codes(len(letters))]
    pq.write_table(pa.table({"item_id": ids, "gram_lexical_id": pieces}), folder / "lexical_ids.parquet")
    near = [[ids[(number + step) % ITEMS] for step in range(1, 21)] for number in range(ITEMS)]
    pq.write_table(pa.table({"item_id": ids, "sasrec_top20": near}), folder / "gram_sasrec_top20.parquet")


def write_industrial(root: Path) -> None:
    """Write `industrial18/`: items with semantic IDs, events with a split, keywords of all tokens."""
    folder, shop = root / "industrial18", toy_shop(items=ITEMS, shoppers=SHOPPERS)
    folder.mkdir(parents=True)
    sids = ["".join(f"<{letter}_{code}>" for letter, code in zip("abc", codes, strict=True)) for codes in _codes(6)]
    sids[1] = sids[0]  # two items share theirs, as some do there
    pq.write_table(shop.items.append_column("sid", pa.array(sids)), folder / "items.parquet")
    users = shop.interactions["user_id"].to_numpy(zero_copy_only=False)
    place = np.array([int((users[number + 1 :] == user).sum()) for number, user in enumerate(users)])
    split = np.select([place == 0, place == 1], ["test", "valid"], "train")
    pq.write_table(shop.interactions.append_column("split", pa.array(split)), folder / "interactions.parquet")
    tokens = sorted({f"<{part}>" for sid in sids for part in sid.strip("<>").split("><")})
    words = {
        "token": tokens,
        "description": [f"Things of the family {token[1:-1]}, for daily use." for token in tokens],
        "keywords": [["red", "pan", token[1]] for token in tokens],
    }
    pq.write_table(pa.table(words), folder / "tsrec_token_keywords.parquet")


def _codes(branching: int) -> list[tuple[int, ...]]:
    """Return distinct paths for all items."""
    return [(number % branching, number // branching % branching, number % 5) for number in range(ITEMS)]


def tokenizer(root: Path) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on the toy shop's texts and on all letters as words."""
    items = toy_shop(items=ITEMS, shoppers=SHOPPERS).items
    texts = [f"{row['title']} {row['brand']} {row['description'] or ''}" for row in items.to_pylist()]
    return train_tokenizer([*texts, *(f"{letter} " * 4 for letter in string.ascii_lowercase)], vocabulary_size=600)


def save_backbone(folder: Path, kind: str) -> str:
    """Write a tiny t5, qwen2 or qwen3 of random weights; return the folder as a name."""
    own = tokenizer(folder)
    size = {"vocab_size": len(own), "pad_token_id": own.pad_token_id, "eos_token_id": own.eos_token_id}
    small: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    small |= {"num_attention_heads": 2, "num_key_value_heads": 1, "bos_token_id": None, "tie_word_embeddings": True}
    torch.manual_seed(0)
    model: Any
    if kind == "t5":
        layers = {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
        model = T5ForConditionalGeneration(T5Config(**layers, **size, decoder_start_token_id=own.pad_token_id))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**small, **size))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**small, **size, head_dim=16))
    with no_bars():
        model.save_pretrained(folder)
        own.save_pretrained(folder)
    return str(folder)
