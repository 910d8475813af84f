"""Tiny random models of every family that is tried, as folders, with any number of spare rows in their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import processors
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MT5Config,
    MT5ForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from lexirec.nn.pretrained import no_bars, no_reports
from tests.worlds.backbones import END, byte_tokenizer

_SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_SHAPE |= {"num_key_value_heads": 1, "eos_token_id": 0, "pad_token_id": 0, "initializer_range": 0.2}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "pad_token_id": 0, "eos_token_id": 1}
_T5 |= {"decoder_start_token_id": 0, "initializer_factor": 0.5}

CAUSAL: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "qwen2-untied": (Qwen2Config, Qwen2ForCausalLM, {"tie_word_embeddings": False}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"tie_word_embeddings": True, "head_dim": 24}),
    "llama": (LlamaConfig, LlamaForCausalLM, {"tie_word_embeddings": False, "bos_token_id": None}),
    "gemma3": (
        Gemma3TextConfig,
        Gemma3ForCausalLM,
        {"head_dim": 12, "sliding_window": 96, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "gpt2": (GPT2Config, GPT2LMHeadModel, {"bos_token_id": 0, "n_positions": 128}),
}
"""Configuration, model and settings of causal families. Qwen3's head_dim is not width / heads; Gemma3 multiplies
embeddings by √width and mixes attention with and without a window; GPT-2 has learned positions and one token for both
ends."""

ENCODER_DECODERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "t5": (T5Config, T5ForConditionalGeneration, {"feed_forward_proj": "relu", "tie_word_embeddings": True}),
    "t5-v1.1": (
        T5Config,
        T5ForConditionalGeneration,
        {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "mt5": (MT5Config, MT5ForConditionalGeneration, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
}
"""The same of encoder-decoders. T5 ties its head to its table and scales what the head reads by 1 / √width; v1.1 and
mT5 have a head of their own."""


def tied(family: str) -> bool:
    """Return whether a family's head is its table of embeddings."""
    if family in ENCODER_DECODERS:
        return bool(ENCODER_DECODERS[family][2]["tie_word_embeddings"])
    return bool(CAUSAL[family][2].get("tie_word_embeddings", True))


def tokenizer_of(family: str) -> Any:
    """Return a byte-level tokenizer; Gemma's puts a token of its own before every text."""
    if family in ENCODER_DECODERS:
        return byte_tokenizer(pad_token="<pad>", eos_token="</s>")
    if family == "gpt2":
        return byte_tokenizer(bos_token=END)
    if family != "gemma3":
        return byte_tokenizer()
    tokenizer = byte_tokenizer(bos_token="<bos>")
    bos = ("<bos>", tokenizer.convert_tokens_to_ids("<bos>"))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[bos]
    )
    return tokenizer


def family_folder(folder: Path, family: str, spare: int = 0) -> str:
    """Write a tiny random model and its tokenizer; return the folder as a name.

    Args:
        folder: to write to.
        family: a key of `CAUSAL` or `ENCODER_DECODERS`.
        spare: rows of the table beyond the tokenizer's pieces.
    """
    tokenizer = tokenizer_of(family)
    config, model, settings = (CAUSAL | ENCODER_DECODERS)[family]
    shape = dict(_T5) if family in ENCODER_DECODERS else dict(_SHAPE)
    if family in ENCODER_DECODERS:
        shape |= {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        shape["decoder_start_token_id"] = tokenizer.pad_token_id
    if family == "gpt2":
        shape = {"n_embd": 32, "n_inner": 48, "n_layer": 2, "n_head": 2, "eos_token_id": 0, "initializer_range": 0.2}
    torch.manual_seed(0)
    made = model(config(vocab_size=len(tokenizer) + spare, **{**shape, **settings}))
    if family in ENCODER_DECODERS and not settings["tie_word_embeddings"]:
        made.lm_head.weight = torch.nn.Parameter(torch.randn(made.lm_head.weight.shape) * 0.2)
    with no_bars(), no_reports():
        made.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)
