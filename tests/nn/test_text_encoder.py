import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.nn.t5 import (
    Backbone,
    BackboneSettings,
    add_tokens,
    load_backbone,
    load_tokenizer,
    restore_backbone,
    save_configuration,
)
from lexirec.nn.text_encoder import TextEncoderSettings, load_encoder_tokenizer
from lexirec.nn.tokenizer import continuation, encode
from tests.worlds.backbones import save
from tests.worlds.encoders import POSITIONS, save_encoder

TEXTS = ["title: red soap", "", "title: blue kettle; brand: acme"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return {kind: save_encoder(folder / kind, kind) for kind in ("bert", "bert-masked", "roberta")}


def settings(name: str, **how) -> BackboneSettings:
    return BackboneSettings(name="scratch:tiny", d_model=16, heads=2, dropout=0.2, encoder={"name": name, **how})


def padded(backbone: Backbone, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [[*encode(backbone.tokenizer, text), backbone.tokenizer.eos_token_id] for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return ids, torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])


@pytest.mark.parametrize("kind", ["bert", "bert-masked", "roberta"])
def test_states_are_those_of_the_encoder_alone(kind, folders):
    backbone = load_backbone(settings(folders[kind]), texts=TEXTS)
    texts = ["red soap", "a", "what would user purchase", "title: blue items", "b", "c", "item", "red", "soap"]
    ids, mask = padded(backbone, texts)
    with torch.no_grad():
        found, projected = backbone.text_encoder.states(ids, mask), backbone.text_encoder(ids, mask)
    assert projected.shape == (*ids.shape, 16)
    stock = AutoModel.from_pretrained(folders[kind], attn_implementation="eager").eval()
    begin = backbone.tokenizer.cls_token_id
    for row, real in enumerate(mask.sum(1).tolist()):
        with torch.no_grad():
            expected = stock(input_ids=torch.tensor([[begin, *ids[row, :real].tolist()]])).last_hidden_state[0, 1:]
        torch.testing.assert_close(found[row, :real], expected, atol=1e-5, rtol=1e-4)


def test_a_text_ends_with_the_separator_and_the_decoder_has_the_encoders_tokens(folders):
    tokenizer = load_tokenizer(settings(folders["roberta"]), texts=TEXTS)
    assert (tokenizer.eos_token, tokenizer.pad_token_id) == ("[SEP]", 1)
    assert continuation(tokenizer, ";") == encode(tokenizer, ";")
    model = load_backbone(settings(folders["roberta"]), tokenizer=tokenizer).model
    assert (model.config.eos_token_id, model.config.pad_token_id, model.config.decoder_start_token_id) == (2, 1, 1)
    assert len(model.shared.weight) == len(tokenizer)


def test_a_frozen_encoder_stays_and_only_its_projection_learns(folders):
    backbone = load_backbone(settings(folders["bert"], training="frozen"), texts=TEXTS)
    encoder, batch = backbone.text_encoder, padded(backbone, ["red soap", "blue"])
    encoder.train()
    assert torch.equal(encoder.states(*batch), encoder.states(*batch))  # no dropout
    assert not torch.equal(encoder(*batch), encoder(*batch))
    encoder(*batch).sum().backward()
    learned = {name for name, weight in encoder.named_parameters() if weight.grad is not None}
    assert learned == {"projection.weight", "projection.bias", "norm.weight"}


def test_a_trained_encoder_learns_in_every_layer(folders):
    backbone = load_backbone(settings(folders["bert"]), texts=TEXTS)
    encoder, batch = backbone.text_encoder.train(), padded(backbone, ["red soap", "blue"])
    assert not torch.equal(encoder.states(*batch), encoder.states(*batch))
    encoder(*batch).square().sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


@pytest.mark.parametrize("training", ["full", "frozen"])
def test_added_tokens_get_rows_in_encoder_and_decoder(training, folders):
    backbone = load_backbone(settings(folders["bert"], training=training), texts=TEXTS)
    known = len(backbone.tokenizer)
    ids = add_tokens(backbone, ["<a_1>", "red", "<a_2>"])
    assert ids[1] < known == ids[0]
    table = backbone.text_encoder.model.get_input_embeddings().weight
    assert len(table) == len(backbone.model.shared.weight) == known + 2
    assert not torch.equal(table[known], table[known + 1])
    assert (table[known:] - table[:known].mean(0)).abs().max() < table[:known].std()
    assert table.requires_grad == (training == "full")


@pytest.mark.parametrize(("kind", "longest"), [("bert", POSITIONS - 1), ("roberta", POSITIONS - 3)])
def test_prompts_beyond_the_positions_are_refused_in_one_line(kind, longest, folders):
    backbone = load_backbone(settings(folders[kind]), texts=TEXTS)
    encoder = backbone.text_encoder
    assert encoder.positions == longest
    mask = torch.ones(1, longest, dtype=torch.bool)
    assert encoder(torch.full((1, longest), 7), mask).isfinite().all()
    encoder.check_length(longest, "prompts.max_length")
    message = f"have up to {longest + 1} tokens, but the encoder .* at most {longest}; lower prompts.max_length"
    with pytest.raises(SettingsError, match=message):
        encoder.check_length(longest + 1, "prompts.max_length")


@pytest.mark.parametrize("kind", ["t5", "gpt2"])
def test_models_that_are_no_encoders_are_refused(kind, tmp_path):
    name = save(tmp_path, kind)
    for load in (lambda: load_backbone(settings(name), texts=TEXTS), lambda: load_encoder_tokenizer(name)):
        with pytest.raises(SettingsError, match=f"of type '{kind}'; give an encoder such as BERT"):
            load()


def test_weights_that_are_missing_are_not_drawn_at_random_and_heads_are_not_missed(tmp_path, caplog, capfd):
    name = save_encoder(tmp_path, "bert-masked")
    load_backbone(settings(name), texts=TEXTS)
    assert not caplog.records
    assert capfd.readouterr().err == ""
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: value for key, value in weights.items() if ".layer.1." not in key}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ArtifactError, match=r"weights are incomplete: \d+ of them are missing, such as 'encoder.layer.1"
    ):
        load_backbone(settings(name), texts=TEXTS)


def test_a_pretrained_decoder_has_an_encoder_already(tmp_path):
    with pytest.raises(ValidationError, match=r"needs a decoder from scratch, but name is 'google-t5/t5-small'"):
        BackboneSettings(name="google-t5/t5-small", encoder={"name": "bert-base-uncased"})


def test_without_an_encoder_the_settings_are_stored_as_they_were():
    assert "encoder" not in BackboneSettings().model_dump(mode="json")
    with_one = settings("bert-base-uncased", training="frozen")
    assert BackboneSettings.model_validate(with_one.model_dump(mode="json")) == with_one


def test_names_may_hold_variables_and_the_home_folder(monkeypatch):
    monkeypatch.setenv("MODELS", "/models")
    assert TextEncoderSettings(name="$MODELS/minilm").name == "/models/minilm"
    assert TextEncoderSettings(name="${NOWHERE_SET:-org/name}").name == "org/name"
    assert TextEncoderSettings(name="./org/name").name == "./org/name"
    with pytest.raises(ValidationError, match="NOWHERE_SET, which is not set"):
        TextEncoderSettings(name="$NOWHERE_SET")


def test_a_configuration_is_enough_to_rebuild_the_shape(folders, tmp_path):
    backbone = load_backbone(settings(folders["roberta"], training="frozen"), texts=TEXTS)
    add_tokens(backbone, ["<a_1>"])
    save_configuration(backbone, tmp_path)
    again = restore_backbone(tmp_path)
    assert again.text_encoder.settings == backbone.text_encoder.settings
    assert not any(weight.requires_grad for weight in again.text_encoder.model.parameters())
    assert not again.text_encoder.training
    again.text_encoder.load_state_dict(backbone.text_encoder.state_dict())
    batch = padded(backbone, ["red soap <a_1>", "blue"])
    assert torch.equal(again.text_encoder(*batch), backbone.text_encoder(*batch))
