from __future__ import annotations

import copy
import json

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Tokenizer,
    Qwen3Config,
    T5Config,
)

from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.nn.causal_lm import (
    CausalBackboneSettings,
    causal_scratch_config,
    load_causal,
    load_causal_tokenizer,
    restore_causal,
    save_causal,
)
from lexirec.nn.pretrained import count_parameters
from lexirec.nn.prompt_templates import PHRASES
from lexirec.nn.t5 import Backbone, add_tokens, save_backbone
from lexirec.nn.tokenizer import train_tokenizer

TEXTS = [f"title: {word} soap {number}; brand: acme" for number, word in enumerate(["red", "blue", "green"] * 5)]
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"num_key_value_heads": 1, "head_dim": 8, "bos_token_id": None, "eos_token_id": 1}
FAMILIES = {"qwen2": Qwen2Config, "qwen3": Qwen3Config, "llama": LlamaConfig}
SPARE = 7


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocabulary_size=200)


def fresh(family: str, tokenizer, *, tied: bool, **more) -> Backbone:
    config = FAMILIES[family](vocab_size=len(tokenizer) + SPARE, tie_word_embeddings=tied, **SMALL, **more)
    torch.manual_seed(0)
    return Backbone(AutoModelForCausalLM.from_config(config).eval(), copy.deepcopy(tokenizer))


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([[5, 6, 1, 9]])).logits


@pytest.mark.parametrize(("family", "tied"), [("qwen2", True), ("qwen2", False), ("qwen3", True), ("llama", False)])
def test_saved_models_load_with_their_weights_and_take_tokens(family, tied, tokenizer, tmp_path, capfd):
    saved = fresh(family, tokenizer, tied=tied)
    save_backbone(saved, tmp_path)
    loaded = load_causal(str(tmp_path))
    assert torch.equal(logits(loaded.model), logits(saved.model))
    assert loaded.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert loaded.tokenizer("title: Red SOAP 7").input_ids == tokenizer("title: Red SOAP 7").input_ids
    assert not loaded.model.training
    assert capfd.readouterr().err == ""

    known = len(tokenizer)
    before = [
        table.weight.clone() for table in (loaded.model.get_input_embeddings(), loaded.model.get_output_embeddings())
    ]
    ids = add_tokens(loaded, [f"<a_{number}>" for number in range(SPARE + 3)])
    assert ids == list(range(known, known + SPARE + 3))
    tables = (loaded.model.get_input_embeddings().weight, loaded.model.get_output_embeddings().weight)
    assert (tables[0] is tables[1]) == tied
    for table, old in zip(tables, before, strict=True):
        assert len(table) == known + SPARE + 3 == loaded.model.config.vocab_size
        assert torch.equal(table[:known], old[:known])
        assert torch.pdist(table[known:]).min() > 1e-3
    save_backbone(loaded, tmp_path / "grown")
    again = load_causal(str(tmp_path / "grown"))
    assert torch.equal(logits(again.model), logits(loaded.model))
    assert again.tokenizer.convert_tokens_to_ids(["<a_1>", "<a_2>"]) == ids[1:3]


@pytest.mark.parametrize("tied", [True, False])
def test_configuration_is_restored_without_weights(tied, tokenizer, tmp_path):
    saved = fresh("qwen3", tokenizer, tied=tied)
    ids = add_tokens(saved, [f"<b_{number}>" for number in range(SPARE + 2)])
    save_causal(saved, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    state = torch.random.get_rng_state()
    again = restore_causal(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.equal(logits(again.model), logits(saved.model))
    again.model.load_state_dict(saved.model.state_dict())
    assert torch.equal(logits(again.model), logits(saved.model))
    assert (again.model.get_input_embeddings().weight is again.model.get_output_embeddings().weight) == tied
    assert again.tokenizer.convert_tokens_to_ids("<b_1>") == ids[1]


@pytest.mark.parametrize("text", [json.dumps({"do_sample": True, "top_k": 1, "repetition_penalty": 9.0}), "{ broken"])
def test_generation_config_of_a_checkpoint_does_not_matter(text, tokenizer, tmp_path):
    saved = fresh("qwen2", tokenizer, tied=True)
    save_backbone(saved, tmp_path)
    asked = {"inputs": torch.tensor([[5, 6, 5, 6]]), "max_new_tokens": 3, "num_beams": 2}
    clean = load_causal(str(tmp_path)).model
    (tmp_path / "generation_config.json").write_text(text)
    model = load_causal(str(tmp_path)).model
    assert model.generation_config.to_diff_dict() == clean.generation_config.to_diff_dict()
    assert (model.generation_config.do_sample or False) is False
    assert model.generation_config.repetition_penalty in (None, 1.0)
    if "top_k" in text:
        assert torch.equal(model.generate(**asked), clean.generate(**asked))
    save_backbone(Backbone(model, tokenizer), tmp_path / "again")
    assert "top_k" not in json.loads((tmp_path / "again" / "generation_config.json").read_text())


def test_tokenizers_of_the_family_load_as_such_and_take_tokens(tmp_path):
    pieces = ["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyzĠ,:", "so", "Ġso"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    qwen = Qwen2Tokenizer(vocab=vocabulary, merges=[("s", "o"), ("Ġ", "so")])
    saved = fresh("qwen2", qwen, tied=True)
    (number,) = add_tokens(saved, ["<a_1>"])
    save_backbone(saved, tmp_path)
    again = load_causal(str(tmp_path)).tokenizer
    assert type(again) is Qwen2Tokenizer
    assert again.bos_token_id is None
    spelled = again("so so<a_1>, so").input_ids
    assert spelled == saved.tokenizer("so so<a_1>, so").input_ids
    assert [again.convert_ids_to_tokens(spelled)[place] for place in (0, 1, 2, -1)] == ["so", "Ġso", "<a_1>", "Ġso"]
    assert spelled[2] == number


def test_half_precision_checkpoints_are_loaded_in_float32(tokenizer, tmp_path):
    saved = fresh("llama", tokenizer, tied=False)
    saved.model.to(torch.bfloat16)
    save_backbone(saved, tmp_path)
    assert load_causal(str(tmp_path)).model.dtype == torch.float32


def test_tokenizers_without_padding_pad_with_their_end_and_those_without_end_are_refused(tokenizer, tmp_path):
    inner = copy.deepcopy(tokenizer).backend_tokenizer
    fresh("qwen2", tokenizer, tied=True).model.config.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>").save_pretrained(tmp_path)
    assert load_causal_tokenizer(str(tmp_path)).pad_token_id == tokenizer.eos_token_id
    PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"has no end-of-text token; set eos_token in its tokenizer_config\.json"):
        load_causal_tokenizer(str(tmp_path))


def test_scratch_models_follow_the_seed_and_know_the_words_of_prompts():
    settings = CausalBackboneSettings(name="scratch:tiny", vocabulary_size=600)
    state = torch.random.get_rng_state()
    first, other = load_causal(settings, texts=TEXTS), load_causal(settings, texts=TEXTS, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(logits(load_causal(settings, tokenizer=first.tokenizer).model), logits(first.model))
    assert not torch.equal(logits(other.model), logits(first.model))
    assert first.model.config.tie_word_embeddings
    assert first.model.get_input_embeddings().weight is first.model.get_output_embeddings().weight
    spelled = first.tokenizer(" ".join(PHRASES), add_special_tokens=False).input_ids
    assert first.tokenizer.unk_token_id not in spelled
    assert len(spelled) < 1.3 * len(" ".join(PHRASES).split()) + 100


def test_scratch_sizes_can_be_overridden(tokenizer):
    settings = CausalBackboneSettings(name="scratch:tiny", d_model=48, heads=3, layers=3, feed_forward=40)
    model = load_causal(settings, tokenizer=tokenizer).model
    assert (len(model.model.layers), model.config.hidden_size, model.config.num_attention_heads) == (3, 48, 3)
    assert model.model.layers[0].mlp.up_proj.weight.shape == (40, 48)
    with torch.device("meta"):
        small = AutoModelForCausalLM.from_config(causal_scratch_config(CausalBackboneSettings(), tokenizer))
    assert 3e6 < count_parameters(small) < 4e6


def changes(model) -> bool:
    """Return whether two passes in training differ."""
    ids = torch.tensor([[5, 6, 1, 9]])
    with torch.no_grad():
        return not torch.equal(model.train()(input_ids=ids).logits, model(input_ids=ids).logits)


def test_dropout_reaches_stock_models_and_survives_growing_and_restoring(tokenizer, tmp_path):
    scratch = load_causal(CausalBackboneSettings(name="scratch:tiny"), tokenizer=copy.deepcopy(tokenizer))
    still = logits(scratch.model)
    add_tokens(scratch, ["<a_1>"])
    assert changes(scratch.model)
    assert torch.equal(logits(scratch.model.eval())[..., :-1], still)
    save_causal(scratch, tmp_path)
    assert changes(restore_causal(tmp_path).model)
    assert changes(copy.deepcopy(scratch.model))
    none = load_causal(CausalBackboneSettings(name="scratch:tiny", dropout=0), tokenizer=tokenizer)
    assert not changes(none.model)

    torch.manual_seed(0)
    embedded = scratch.model.train().get_input_embeddings()(torch.zeros(1, 50, dtype=torch.int64) + 5)
    assert 0.03 < (embedded == 0).float().mean() < 0.2


def test_pretrained_models_learn_without_dropout_unless_it_is_asked_for(tokenizer, tmp_path, caplog):
    save_backbone(fresh("qwen2", tokenizer, tied=True), tmp_path)
    assert not changes(load_causal(str(tmp_path)).model)
    asked = load_causal(CausalBackboneSettings(name=str(tmp_path), dropout=0.2, attention_dropout=0.3, layers=5)).model
    assert asked.config.attention_dropout == asked.model.layers[0].self_attn.attention_dropout == 0.3
    assert changes(asked)
    assert "these settings have no effect: layers" in caplog.text


def test_families_with_dropout_of_their_own_get_no_other(tokenizer, tmp_path):
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=1)
    save_backbone(Backbone(AutoModelForCausalLM.from_config(config), tokenizer), tmp_path)
    model = load_causal(CausalBackboneSettings(name=str(tmp_path), dropout=0.25)).model
    assert (model.config.resid_pdrop, model.transformer.drop.p, model.config.attn_pdrop) == (0.25, 0.25, 0.0)
    assert not any(module._forward_hooks for module in model.modules())


def test_wrong_names_and_sizes_are_said_in_one_line(tokenizer, tmp_path):
    with pytest.raises(SettingsError, match=r"'scratch:smal'.*Did you mean 'scratch:small'"):
        load_causal("scratch:smal", texts=TEXTS)
    with pytest.raises(SettingsError, match="heads is 3, which does not divide d_model 64 into even parts"):
        load_causal(CausalBackboneSettings(name="scratch:tiny", heads=3), tokenizer=tokenizer)
    with pytest.raises(DataError, match="trains its tokenizer on the catalogue's text"):
        load_causal("scratch:tiny")
    with pytest.raises(SettingsError, match="no such folder"):
        load_causal("./no/such/folder")
    for config in (T5Config(), BertConfig()):
        config.save_pretrained(tmp_path)
        with pytest.raises(SettingsError, match=f"of type '{config.model_type}'; give a causal language model"):
            load_causal(str(tmp_path))
    save_causal(fresh("qwen2", tokenizer, tied=True), tmp_path)
    with pytest.raises(SettingsError, match="the folder holds no weights"):
        load_causal(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(ArtifactError, match=r"model\.safetensors is damaged or cut off"):
        load_causal(str(tmp_path))
