"""Tiny backbones as folders, whole ones and such as people bring: without a tokenizer, cut off, of another kind."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import logging as transformers_logging

from lexirec.nn.pretrained import no_bars

WORDS = ["red pan kettle lamp rug chair table guitar drum novel atlas blue green black white oak Acme Kitchen"]
END = "<|endoftext|>"
POSITIONS = 64
VOCABULARIES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@cache
def _bytes() -> str:
    """Return byte-level pieces as JSON: they spell any text and know no unknown piece."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = {"special_tokens": [END], "initial_alphabet": alphabet, "show_progress": False}
    tokenizer.train_from_iterator(WORDS * 20, trainers.BpeTrainer(vocab_size=400, **special))
    return str(tokenizer.to_str())


def byte_tokenizer(**special: Any) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with an end token and no padding token, unless they are given otherwise."""
    given = {"eos_token": END} | special
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_bytes()), **given)


def words_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows these words alone."""
    pieces = {piece: number for number, piece in enumerate(["<unk>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")


def model(kind: str, rows: int | None = None, **settings: Any) -> Any:
    """Return a tiny model with random weights: qwen2, gpt2 (learned positions, 64 of them) or t5."""
    size = {"vocab_size": rows if rows is not None else len(byte_tokenizer())}
    torch.manual_seed(0)
    if kind == "gpt2":
        ends = {"bos_token_id": None, "eos_token_id": 0}
        return GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=POSITIONS, **ends, **size))
    if kind == "t5":
        layers = {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
        return T5ForConditionalGeneration(
            T5Config(
                **layers, **size, **{"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 0, **settings}
            )
        )
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"num_key_value_heads": 2, "bos_token_id": None, "eos_token_id": 0}
    return Qwen2ForCausalLM(Qwen2Config(**layers, **ends, **size, **settings))


def save(folder: Path, kind: str, tokenizer: Any = None, **settings: Any) -> str:
    """Write a tiny backbone into a folder; return the folder as a name."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    with no_bars():
        model(kind, **settings).save_pretrained(folder)
        (tokenizer if tokenizer is not None else byte_tokenizer()).save_pretrained(folder)
    transformers_logging.set_verbosity(level)
    return str(folder)


def without_tokenizer(folder: Path) -> None:
    """Remove the tokenizer of a saved backbone."""
    for name in VOCABULARIES:
        (folder / name).unlink(missing_ok=True)


def configure(folder: Path, **values: Any) -> None:
    """Change settings in the `config.json` of a saved backbone; None removes one."""
    path = folder / "config.json"
    changed = json.loads(path.read_text(encoding="utf-8")) | values
    kept = {name: value for name, value in changed.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")
