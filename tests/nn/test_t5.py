from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, BertConfig, T5Config, T5ForConditionalGeneration, T5Tokenizer

from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.nn.pretrained import count_parameters
from lexirec.nn.t5 import (
    Backbone,
    BackboneSettings,
    add_tokens,
    load_backbone,
    load_tokenizer,
    save_backbone,
    scratch_config,
)
from lexirec.nn.tokenizer import continuation

TEXTS = [f"title: {word} soap {number}; brand: acme" for number, word in enumerate(["red", "blue", "green"] * 5)]


@pytest.fixture(scope="module")
def tiny():
    return load_backbone("scratch:tiny", texts=TEXTS)


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    save_backbone(tiny, folder)
    return folder


def logits(model: T5ForConditionalGeneration) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([[5, 6, 1]]), decoder_input_ids=torch.tensor([[0, 7]])).logits


def test_scratch_weights_follow_the_seed_and_leave_the_global_state_alone(tiny):
    before = torch.random.get_rng_state()
    same, other = load_backbone("scratch:tiny", texts=TEXTS), load_backbone("scratch:tiny", texts=TEXTS, seed=1)
    assert torch.equal(logits(same.model), logits(tiny.model))
    assert not torch.equal(logits(other.model), logits(tiny.model))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_saved_folder_loads_through_the_pretrained_path(tiny, saved, capfd):
    assert (saved / "model.safetensors").exists()
    again = load_backbone(str(saved))
    assert torch.equal(logits(again.model), logits(tiny.model))
    assert again.tokenizer.get_vocab() == tiny.tokenizer.get_vocab()
    text = "title: Red SOAP 7; brand: zzz"
    assert again.tokenizer(text).input_ids == tiny.tokenizer(text).input_ids
    assert not again.model.training
    assert capfd.readouterr().err == ""


def test_folders_with_the_tokenizer_class_of_t5_load_too(tmp_path):
    pieces = ["<pad>", "</s>", "<unk>", "▁red", "▁soap", "▁", ";", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = T5Tokenizer(vocab=[(piece, -float(rank)) for rank, piece in enumerate(pieces)], extra_ids=2)
    config = T5Config(vocab_size=len(tokenizer) + 7, d_model=16, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    save_backbone(Backbone(T5ForConditionalGeneration(config), tokenizer), tmp_path)
    again = load_backbone(str(tmp_path))
    assert again.tokenizer("red soap").input_ids == [3, 4, 1]
    assert continuation(again.tokenizer, ";") == [6]
    assert continuation(again.tokenizer, " ;") == [5, 6]


def test_pretrained_models_take_the_dropout_asked_for_and_say_which_settings_do_nothing(saved, caplog):
    loaded = load_backbone(BackboneSettings(name=str(saved), dropout=0.25, d_model=32))
    assert loaded.model.config.dropout_rate == 0.25
    assert loaded.model.encoder.dropout.p == 0.25
    assert loaded.model.config.d_model == 64
    assert "these settings have no effect: d_model" in caplog.text


def test_half_precision_checkpoints_are_loaded_in_float32(tiny, tmp_path):
    half = load_backbone("scratch:tiny", tokenizer=tiny.tokenizer)
    half.model.to(torch.bfloat16)
    save_backbone(half, tmp_path)
    assert load_backbone(str(tmp_path)).model.dtype == torch.float32


def test_sizes_can_be_overridden(tiny):
    settings = BackboneSettings(
        name="scratch:tiny", d_model=48, heads=3, layers=3, decoder_layers=1, feed_forward=96, activation="gated-gelu"
    )
    model = load_backbone(settings, tokenizer=tiny.tokenizer).model
    assert (len(model.encoder.block), len(model.decoder.block)) == (3, 1)
    assert model.config.d_kv == 16
    assert model.decoder.block[0].layer[-1].DenseReluDense.wi_0.weight.shape == (96, 48)
    assert model.get_input_embeddings().weight.shape == (len(tiny.tokenizer), 48)


def test_small_has_the_sizes_of_t5_small_and_the_parameters_of_the_paper():
    # 60,517,376 = T5-small and a table of 21 positions (spec section 7).
    with torch.device("meta"):
        small = T5ForConditionalGeneration(T5Config(vocab_size=32_128))
        ours = T5ForConditionalGeneration(scratch_config(BackboneSettings(name="scratch:small"), 32_128))
    assert count_parameters(small) == count_parameters(ours) == 60_506_624
    assert count_parameters(ours) + 21 * 512 == 60_517_376


def test_added_tokens_get_rows_near_the_mean_and_apart_from_each_other():
    backbone = load_backbone("scratch:tiny", texts=TEXTS)
    known, before = len(backbone.tokenizer), logits(backbone.model)
    ids = add_tokens(backbone, ["<a_1>", "▁soap", "<b_1>", "<b_2>"])
    assert ids == [known, backbone.tokenizer.convert_tokens_to_ids("▁soap"), known + 1, known + 2]
    assert backbone.tokenizer("soap <b_1><a_1>", add_special_tokens=False).input_ids[-2:] == [known + 1, known]
    assert torch.allclose(logits(backbone.model)[..., :known], before, atol=1e-4)
    table = backbone.model.get_input_embeddings().weight
    assert table.shape[0] == backbone.model.config.vocab_size == known + 3
    assert (table[known:] - table[:known].mean(0)).abs().max() < 0.5 * table[:known].std()
    assert torch.pdist(table[known:]).min() > 0.1
    assert backbone.model.get_output_embeddings().weight is table


def test_added_rows_are_as_far_apart_as_is_asked():
    spreads = {}
    for spread in (0.1, 1.0):
        backbone = load_backbone("scratch:tiny", texts=TEXTS)
        known = len(backbone.tokenizer)
        add_tokens(backbone, [f"<{number}>" for number in range(200)], spread=spread)
        table = backbone.model.get_input_embeddings().weight.detach()
        spreads[spread] = float(table[known:].std(0).mean() / table[:known].std(0).mean())
    assert spreads == pytest.approx({0.1: 0.1, 1.0: 1.0}, rel=0.2)


def test_added_tokens_use_spare_rows_first_and_fill_untied_heads(tiny):
    config = T5Config(vocab_size=len(tiny.tokenizer) + 5, d_model=16, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    config.tie_word_embeddings = False
    tokenizer = load_tokenizer("scratch:tiny", texts=TEXTS)
    model = T5ForConditionalGeneration(config)
    head = model.lm_head.weight.clone()
    (number,) = add_tokens(type(tiny)(model, tokenizer), ["<a_1>"])
    assert model.get_input_embeddings().num_embeddings == len(tiny.tokenizer) + 5
    assert not torch.equal(model.lm_head.weight[number], head[number])
    assert torch.equal(model.lm_head.weight[:number], head[:number])


def test_added_tokens_survive_saving(tiny, tmp_path):
    backbone = load_backbone("scratch:tiny", texts=TEXTS)
    ids = add_tokens(backbone, ["<a_1>", "<a_2>"])
    save_backbone(backbone, tmp_path)
    again = load_backbone(str(tmp_path))
    assert again.tokenizer.convert_tokens_to_ids(["<a_1>", "<a_2>"]) == ids
    assert torch.equal(logits(again.model), logits(backbone.model))


def test_equal_pieces_are_refused(tiny):
    with pytest.raises(SettingsError, match="different and not empty"):
        add_tokens(tiny, ["<a>", "<a>"])


def test_wrong_sizes_and_names_are_said_in_one_line(tiny):
    with pytest.raises(SettingsError, match=r"'scratch:smal'.*Did you mean 'scratch:small'"):
        load_backbone("scratch:smal", texts=TEXTS)
    with pytest.raises(SettingsError, match="heads is 3, which does not divide d_model 64"):
        load_backbone(BackboneSettings(name="scratch:tiny", heads=3), tokenizer=tiny.tokenizer)
    with pytest.raises(DataError, match="trains its tokenizer on the catalogue's text"):
        load_backbone("scratch:tiny")


def test_missing_folder_hub_name_and_other_models_are_said_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="no such folder"):
        load_backbone("./no/such/folder")
    with pytest.raises(SettingsError, match=r"a folder without config\.json"):
        load_backbone(str(tmp_path))
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match="of type 'bert'; give an encoder-decoder of the T5 family"):
        load_backbone(str(tmp_path))

    def offline(*_, **__):
        raise OSError("We couldn't connect to the hub\nand more lines")

    monkeypatch.setattr(AutoConfig, "from_pretrained", offline)
    with pytest.raises(SettingsError) as caught:
        load_backbone("google-t5/t5-small")
    assert "couldn't connect to the hub); give a folder" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_folder_is_said_in_one_line(saved, tmp_path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    with pytest.raises(SettingsError, match="the folder holds no weights"):
        load_backbone(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(ArtifactError, match=r"model\.safetensors is damaged or cut off"):
        load_backbone(str(tmp_path))


def test_tigers_size_has_heads_wider_than_a_share_of_the_width():
    model = load_backbone("scratch:tiger", texts=["red pan", "blue kettle"]).model
    attention = model.encoder.block[0].layer[0].SelfAttention
    assert (model.config.d_model, model.config.num_layers, attention.n_heads, attention.inner_dim) == (128, 4, 6, 384)
