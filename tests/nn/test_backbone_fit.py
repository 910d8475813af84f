from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BloomConfig, FalconConfig, GPT2Config, MistralConfig, Qwen2Config, T5Config, T5EncoderModel

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.nn.backbone_fit import check_reads, fit_table, positions_of, with_padding
from lexirec.nn.causal_lm import load_causal, load_causal_tokenizer
from lexirec.nn.t5 import add_tokens, load_backbone, load_tokenizer
from lexirec.nn.tokenizer import train_tokenizer
from tests.worlds.backbones import END, byte_tokenizer, configure, model, save, words_tokenizer

TEXTS = ["title: red pan", "title: blue lamp; brand: Acme", "", "title: 茶杯"]
LOADERS = {"qwen2": load_causal, "t5": load_backbone}
TOKENIZERS = {"qwen2": load_causal_tokenizer, "t5": load_tokenizer}
KINDS = pytest.mark.parametrize("kind", ["qwen2", "t5"])


def rewrite(folder, change) -> None:
    """Change the weights of a saved backbone."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


# ------------------------------------------------------------------------------------------------------- the weights


@KINDS
def test_weights_that_are_missing_are_not_drawn_at_random(kind, tmp_path, capfd):
    name = save(tmp_path, kind)
    gone = {"qwen2": "model.layers.1.", "t5": "decoder.block.0."}[kind]
    rewrite(tmp_path, lambda weights: {key: value for key, value in weights.items() if not key.startswith(gone)})
    with pytest.raises(ArtifactError, match=rf"its weights are incomplete: \d+ of them are missing, such as '{gone}"):
        LOADERS[kind](name)
    assert "MISSING" not in capfd.readouterr().err


def test_an_encoder_alone_is_no_encoder_decoder(tmp_path):
    T5EncoderModel(model("t5").config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ArtifactError, match=r"its weights are incomplete: .* such as 'decoder"):
        load_backbone(str(tmp_path))


def test_weights_of_another_size_are_said_in_one_line(tmp_path, capfd):
    name = save(tmp_path, "gpt2")
    configure(tmp_path, vocab_size=5)
    with pytest.raises(ArtifactError, match=r"'transformer\.wte\.weight' has the shape \(327, 16\), .* \(5, 16\)"):
        load_causal(name)
    assert "MISMATCH" not in capfd.readouterr().err


def test_weights_that_are_not_used_are_mentioned(tmp_path, caplog):
    name = save(tmp_path, "qwen2")
    configure(tmp_path, num_hidden_layers=1, layer_types=["full_attention"])
    load_causal(name)
    assert "of its weights are not used, such as 'model.layers.1.input_layernorm.weight'" in caplog.text


@KINDS
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(kind, value, tmp_path):
    name = save(tmp_path, kind)
    key = {"qwen2": "model.norm.weight", "t5": "encoder.final_layer_norm.weight"}[kind]
    rewrite(tmp_path, lambda weights: weights | {key: torch.full_like(weights[key], value)})
    with pytest.raises(ArtifactError, match=rf"its weight '{key}' holds NaN or infinity"):
        LOADERS[kind](name)


# ------------------------------------------------------------------------------------------------------ the tokenizer


@KINDS
def test_a_tokenizer_without_padding_pads_with_its_end_and_one_without_end_is_refused(kind, tmp_path):
    name = save(tmp_path, kind)
    for loaded in (TOKENIZERS[kind](name), LOADERS[kind](name).tokenizer, with_padding(byte_tokenizer(), name)):
        assert (loaded.pad_token, loaded.pad_token_id) == (END, 0)
    byte_tokenizer(eos_token=None).save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"no end-of-text token; set eos_token in its tokenizer_config\.json"):
        TOKENIZERS[kind](name)


@KINDS
def test_a_tokenizer_must_read_the_texts(kind, tmp_path):
    name = save(tmp_path, kind, words_tokenizer(["茶杯"]))
    assert TOKENIZERS[kind](name) is not None
    TOKENIZERS[kind](name, texts=TEXTS)
    with pytest.raises(SettingsError, match=r"turns none of the catalogue's texts into .* such as 'title: red pan'"):
        TOKENIZERS[kind](name, texts=TEXTS[:3])
    with pytest.raises(SettingsError, match="turns none of the catalogue's texts"):
        LOADERS[kind](name, texts=TEXTS[:3])


def test_texts_that_are_mostly_unknown_are_mentioned_and_empty_ones_say_nothing(caplog):
    check_reads(words_tokenizer(["red", "title", ":"]), ["", " "], "mine")
    check_reads(words_tokenizer([]), None, "mine")
    check_reads(words_tokenizer(["title", ":", "red"]), ["title: red pan"], "mine")
    check_reads(byte_tokenizer(), TEXTS, "mine")
    assert not caplog.text
    check_reads(words_tokenizer(["title"]), ["title: red pan"], "mine")
    assert "75 % of the pieces of the catalogue's texts are unknown to its tokenizer" in caplog.text


# --------------------------------------------------------------------------------------------------------- the table


@KINDS
def test_a_tokenizer_of_another_model_is_refused(kind, tmp_path):
    name = save(tmp_path, kind, rows=300)
    with pytest.raises(ArtifactError, match="its tokenizer has 327 pieces, its table of embeddings 300 rows"):
        LOADERS[kind](name)


@KINDS
def test_tokens_that_only_the_tokenizer_knows_get_rows(kind, tmp_path, caplog):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    name = save(tmp_path, kind, tokenizer)
    loaded = LOADERS[kind](name)
    table = loaded.model.get_input_embeddings().weight
    assert (len(table), loaded.tokenizer.pad_token_id) == (328, 327)
    assert (table[327] - table[:327].mean(0)).abs().max() < 0.5 * table[:327].std()
    assert "1 tokens beyond its table of embeddings; they get fresh rows" in caplog.text
    assert add_tokens(loaded, ["<a_1>"]) == [328]


def test_spare_rows_are_no_fault():
    plain = model("qwen2", rows=400)
    before = plain.get_input_embeddings().weight
    fit_table(plain, byte_tokenizer(), "mine")
    assert plain.get_input_embeddings().weight is before


def test_a_configuration_learns_the_tokens_that_it_leaves_out(tmp_path, caplog):
    name = save(tmp_path, "t5")
    configure(tmp_path, decoder_start_token_id=None, pad_token_id=None, eos_token_id=None)
    config = load_backbone(name).model.config
    assert (config.decoder_start_token_id, config.pad_token_id) == (0, 0)
    configure(tmp_path, eos_token_id=7)
    load_backbone(name)
    assert "its config.json ends texts with token 7, its tokenizer with 0" in caplog.text
    configure(tmp_path, decoder_start_token_id=99_999)
    with pytest.raises(ArtifactError, match=r"decoder_start_token_id is 99999 .* has 327 rows"):
        load_backbone(name)


# --------------------------------------------------------------------------------------------------------- positions


def test_positions_are_those_of_the_model_or_its_window():
    assert positions_of(GPT2Config(n_positions=64)) == 64
    assert positions_of(Qwen2Config(max_position_embeddings=128)) == 128
    assert positions_of(Qwen2Config(max_position_embeddings=128, use_sliding_window=True, sliding_window=32)) == 32
    assert positions_of(MistralConfig(max_position_embeddings=128, sliding_window=0)) == 128
    assert positions_of(T5Config()) is None


@pytest.mark.parametrize("config", [BloomConfig(), FalconConfig(alibi=True)])
def test_models_without_positions_are_refused_by_their_configuration(config, tmp_path):
    config.save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=f"of type '{config.model_type}', whose model takes no positions"):
        load_causal_tokenizer(str(tmp_path))


def test_scratch_models_are_as_they_were():
    tokenizer = train_tokenizer(TEXTS, vocabulary_size=200)
    loaded = load_backbone("scratch:tiny", tokenizer=tokenizer)
    assert loaded.model.get_input_embeddings().num_embeddings == len(tokenizer)
