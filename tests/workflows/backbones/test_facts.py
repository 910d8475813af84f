from __future__ import annotations

import json

import pytest
from transformers import BertConfig, BertForMaskedLM, Gemma3Config, Gemma3TextConfig, SiglipVisionConfig, T5Gemma2Config

from lexirec.core.errors import SettingsError
from lexirec.workflows.backbones.facts import load_facts
from tests.worlds.backbones import configure, save, without_tokenizer
from tests.worlds.families import family_folder
from tests.worlds.gguf_files import LAYERS, write


def test_a_causal_model_is_told_as_it_is(tmp_path):
    facts, backbone = load_facts(family_folder(tmp_path, "qwen3", spare=28))
    assert (facts.kind, facts.family, facts.architecture, facts.source) == (
        "causal",
        "qwen3",
        "Qwen3ForCausalLM",
        "folder",
    )
    assert (facts.layers, facts.layers_stored, facts.width, facts.heads, facts.key_value_heads) == (2, 2, 32, 2, 1)
    assert facts.head_dim == 24, "which is not width / heads"
    assert facts.spare_rows == 28 == facts.rows - len(backbone.tokenizer)
    assert facts.tied
    assert facts.embedding_scale == 1
    assert facts.parameters == sum(weight.numel() for weight in backbone.model.parameters())
    assert facts.ends == {"eos": ("<|endoftext|>", 0), "pad": ("<|endoftext|>", 0)}
    assert set(facts.stored_as) == {"F32"}
    assert facts.prompt_limit == ""


def test_gemma_scales_begins_and_has_a_window(tmp_path):
    facts, _ = load_facts(family_folder(tmp_path, "gemma3"), keep_layers=1)
    assert facts.embedding_scale == pytest.approx(32**0.5, rel=1e-3)
    assert facts.begins
    assert (facts.layers, facts.layers_stored) == (1, 2)
    assert facts.positions == 96
    assert "prompts are cut to 92 tokens" in facts.prompt_limit


def test_an_encoder_decoder(tmp_path):
    facts, _ = load_facts(family_folder(tmp_path, "t5-v1.1"))
    assert (facts.kind, facts.tied, facts.positions, facts.head_dim, facts.feed_forward) == (
        "encoder-decoder",
        False,
        None,
        8,
        48,
    )


def test_a_gguf_file(tmp_path):
    write(tmp_path / "tiny.gguf", quantised=True)
    facts, _ = load_facts(str(tmp_path / "tiny.gguf"))
    assert facts.source == "GGUF file"
    assert set(facts.stored_as) == {"F32", "Q8_0"}
    assert facts.layers == LAYERS


def test_generation_settings_that_are_left_behind(tmp_path):
    folder = family_folder(tmp_path, "llama")
    (tmp_path / "generation_config.json").write_text(json.dumps({"do_sample": True, "top_k": 20, "eos_token_id": 0}))
    assert load_facts(folder)[0].generation == {"do_sample": True, "top_k": 20}


def refused(folder, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load_facts(str(folder))
    assert "\n" not in str(caught.value)


def test_what_cannot_serve_is_refused_in_one_line(tmp_path):
    save(tmp_path / "bare", "qwen2")
    without_tokenizer(tmp_path / "bare")
    refused(tmp_path / "bare", "holds no tokenizer")

    save(tmp_path / "bits", "qwen2")
    for method in ("bitsandbytes", "gptq", "awq"):
        configure(tmp_path / "bits", quantization_config={"quant_method": method})
        refused(tmp_path / "bits", rf"weights are quantised \({method}\).*model\.dequantize\(\).*or a GGUF file")

    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=20, **shape)).save_pretrained(tmp_path / "bert")
    refused(tmp_path / "bert", "an encoder, which cannot write identifiers; it serves for item vectors")

    T5Gemma2Config().save_pretrained(tmp_path / "merged")
    refused(tmp_path / "merged", "type 't5gemma2'; give an encoder-decoder .* merges self- and cross-attention")

    vision = SiglipVisionConfig(num_hidden_layers=1)
    Gemma3Config(text_config=Gemma3TextConfig(**shape), vision_config=vision).save_pretrained(tmp_path / "pictures")
    refused(tmp_path / "pictures", "type 'gemma3'; give a causal .* reads pictures or sound, too; save its language")

    save(tmp_path / "short", "qwen2", max_position_embeddings=4)
    refused(tmp_path / "short", "has 4 positions, too few for the question")
