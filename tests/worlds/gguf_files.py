"""Tiny GGUF files of the Llama and T5 architectures, written from models of transformers with their tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

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


T5_PIECES = ["<pad>", "</s>", "<unk>", "▁", "▁red", "▁pan", *"abcdenpr", "▁the", ",", "1", "2", "<", ">", "_"]


def write_t5(path: Path, *, gated: bool, tied: bool) -> T5ForConditionalGeneration:
    """Write a GGUF file of a T5 (plain layers) or T5 v1.1 (gated ones), and return the model whose weights it holds."""
    pieces = [*T5_PIECES, *(f"[PAD{number}]" for number in range(100))]  # as llama.cpp names T5's blanks
    torch.manual_seed(0)
    shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": len(pieces)}
    ends = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "tie_word_embeddings": tied}
    model = T5ForConditionalGeneration(
        T5Config(**shape, **ends, feed_forward_proj="gated-gelu" if gated else "relu")
    ).eval()
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    writer = gguf.GGUFWriter(path, "t5")
    writer.add_name("tiny")
    writer.add_block_count(2)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_key_length(8)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-6)
    writer.add_relative_attn_buckets_count(32)
    writer.add_decoder_start_token_id(0)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("t5")
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(rank) for rank in range(len(pieces))])
    writer.add_token_types([3, 3, 2, *[1] * (len(pieces) - 3)])
    writer.add_pad_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, 2)
    left_out = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", *(["lm_head.weight"] if tied else [])}
    for name, weight in model.state_dict().items():
        if name not in left_out:
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), weight.numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model
