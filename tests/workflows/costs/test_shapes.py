import pytest
from transformers import (
    GPT2Config,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from lexirec.core.errors import SettingsError
from lexirec.nn.causal_lm import CausalBackboneSettings
from lexirec.nn.pretrained import count_parameters
from lexirec.nn.t5 import BackboneSettings, load_backbone
from lexirec.workflows.costs.shapes import NAMED, shape_of, shape_of_config
from tests.worlds import gguf_files

SMALL = {"vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("google-t5/t5-small", 60_506_624),
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen2.5-1.5B", 1_543_714_304),
        ("Qwen/Qwen3-0.6B-Base", 596_049_920),
        ("huggyllama/llama-7b", 6_738_415_616),
    ],
)
def test_named_backbones_have_as_many_weights_as_their_checkpoints(name, weights):
    assert NAMED[name].parameters == weights


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (Qwen2Config(**SMALL, num_key_value_heads=2, tie_word_embeddings=True), Qwen2ForCausalLM),
        (Qwen2Config(**SMALL, num_key_value_heads=4, tie_word_embeddings=False), Qwen2ForCausalLM),
        (Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True), Qwen3ForCausalLM),
        (
            T5Config(vocab_size=50, d_model=24, d_kv=10, d_ff=40, num_layers=3, num_decoder_layers=2, num_heads=4),
            T5ForConditionalGeneration,
        ),
    ],
)
def test_weights_by_part_add_up_to_those_of_the_model(config, model):
    shape, built = shape_of_config(config, "mine", "here"), model(config)
    assert shape.parameters == count_parameters(built)
    if shape.family == "encoder-decoder":
        assert shape.encoder == sum(weight.numel() for weight in built.encoder.parameters()) - shape.table
        assert shape.decoder == sum(weight.numel() for weight in built.decoder.parameters()) - shape.table


def test_scratch_backbones_have_the_sizes_of_the_experiment():
    settings = BackboneSettings(name="scratch:tiger", vocabulary_size=200)
    shape = shape_of(settings, pieces=90)
    assert (shape.width, shape.layers, shape.encoder_layers, shape.inner, shape.feed_forward) == (128, 4, 4, 384, 1024)
    model = load_backbone(settings, texts=["red pan", "blue kettle"]).model
    assert shape_of(settings, pieces=model.config.vocab_size).parameters == count_parameters(model)
    causal = shape_of(CausalBackboneSettings(name="scratch:tiny", layers=3, vocabulary_size=300))
    assert (causal.layers, causal.width, causal.vocabulary, causal.family) == (3, 64, 300, "causal")


@pytest.mark.parametrize(
    ("name", "keep", "layers", "encoder_layers"),
    [("Qwen/Qwen2.5-0.5B", 8, 8, 0), ("google-t5/t5-small", 2, 2, 2), ("google-t5/t5-small", None, 6, 6)],
)
def test_the_cost_is_that_of_the_layers_that_are_kept(name, keep, layers, encoder_layers):
    settings = BackboneSettings if encoder_layers else CausalBackboneSettings
    shape = shape_of(settings(name=name, keep_layers=keep))
    assert (shape.layers, shape.encoder_layers) == (layers, encoder_layers)
    with pytest.raises(SettingsError, match="keep_layers is 99"):
        shape_of(settings(name=name, keep_layers=99))


def test_a_gguf_file_is_read(tmp_path):
    model = gguf_files.write(tmp_path / "model.gguf")
    shape = shape_of(CausalBackboneSettings(name=str(tmp_path / "model.gguf")))
    assert shape.parameters == count_parameters(model)
    assert shape_of(CausalBackboneSettings(name=str(tmp_path / "model.gguf"), keep_layers=1)).layers == 1


def test_a_model_of_another_kind_is_read_as_far_as_its_configuration_goes():
    shape = shape_of_config(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50), "gpt2", "here")
    assert (shape.width, shape.feed_forward, shape.gated) == (16, 64, False)


def test_an_unknown_hub_name_is_refused_with_those_that_are_known():
    with pytest.raises(SettingsError, match=r"'no/such-model': its configuration is not on this machine.*Qwen3-0\.6B"):
        shape_of(CausalBackboneSettings(name="no/such-model"))


def test_activations_of_a_token_are_about_what_others_measured():
    shape = NAMED["Qwen/Qwen3-0.6B-Base"]
    assert shape.layers * shape.activation_bytes() / 2**20 == pytest.approx(2.2, rel=0.15)
