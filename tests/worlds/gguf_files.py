"""Tiny GGUF files of the Llama architecture: written from a model of transformers, with its byte-level tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.worlds.backbones import END, byte_tokenizer

LAYERS, WIDTH, HEADS, INNER, POSITIONS = 3, 32, 2, 64, 128


def llama(tied: bool = True, rows: int | None = None) -> LlamaForCausalLM:
    """Return the model that the file holds, with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=rows if rows is not None else len(byte_tokenizer()),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).eval()


def write(path: Path, *, tied: bool = True, architecture: str = "llama", quantised: bool = False) -> LlamaForCausalLM:
    """Write a GGUF file, and return the model whose weights it holds (quantised ones are rounded to eight bits)."""
    model, tokenizer = llama(tied), byte_tokenizer()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokenizer))
    pieces = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    by_number = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(by_number)
    writer.add_token_types([3 if piece == END else 1 for piece in by_number])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in pieces["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
    for name, weight in _tensors(model):
        if quantised and weight.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _tensors(model: Any) -> list[tuple[str, np.ndarray]]:
    found = {"token_embd.weight": model.model.embed_tokens.weight, "output_norm.weight": model.model.norm.weight}
    if not model.config.tie_word_embeddings:
        found["output.weight"] = model.lm_head.weight
    for number, layer in enumerate(model.model.layers):
        for ours, theirs in _NAMES.items():
            weight = layer.get_submodule(ours).weight
            if theirs in ("attn_q", "attn_k"):
                weight = _interleaved(weight)
            found[f"blk.{number}.{theirs}.weight"] = weight
    return [(name, weight.detach().numpy().astype(np.float32)) for name, weight in found.items()]


def _interleaved(weight: torch.Tensor) -> torch.Tensor:
    """Return a projection with the two halves of each head interleaved, as llama.cpp keeps rotary positions."""
    return weight.view(HEADS, 2, WIDTH // HEADS // 2, WIDTH).transpose(1, 2).reshape(weight.shape).contiguous()
