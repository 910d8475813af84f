from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.store import Store
from lexirec.nn.backbone_folder import local_files
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal, load_causal_tokenizer
from lexirec.nn.gguf_file import gguf_file
from lexirec.nn.t5 import BackboneSettings, add_tokens, load_backbone, save_backbone
from lexirec.pipeline.item_stages import backbone_files
from tests.worlds.backbones import byte_tokenizer, save
from tests.worlds.gguf_files import LAYERS, write, write_t5

IDS = torch.tensor([[5, 6, 1, 9]])
TEXT = "The red pan, 12 <a_1><a_2> pcs"


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write(file)
    return file


@pytest.mark.parametrize("tied", [True, False])
def test_model_and_tokenizer_come_from_the_file_and_are_saved_as_a_folder(tied, tmp_path, capfd):
    file = tmp_path / "tiny.gguf"
    stock = write(file, tied=tied)
    loaded = load_causal(str(file), texts=["red pan"])
    said = capfd.readouterr().err.replace("\r", "\n").splitlines()
    assert [line for line in said if line and not line.startswith("Converting and de-quantizing")] == []
    assert torch.allclose(logits(loaded.model), logits(stock), atol=1e-5)
    assert loaded.tokenizer(TEXT).input_ids == byte_tokenizer()(TEXT).input_ids
    assert loaded.tokenizer.eos_token_id == byte_tokenizer().eos_token_id
    tables = loaded.model.get_input_embeddings().weight, loaded.model.get_output_embeddings().weight
    assert (tables[0] is tables[1]) == tied
    assert not hasattr(loaded.model.config, "quantization_config")

    ids = add_tokens(loaded, ["<a_1>", "<a_2>"])
    save_backbone(loaded, tmp_path / "folder")
    again = load_causal(str(tmp_path / "folder"))
    assert torch.equal(logits(again.model), logits(loaded.model))
    assert again.tokenizer(TEXT).input_ids == loaded.tokenizer(TEXT).input_ids
    assert [number for number in again.tokenizer(TEXT).input_ids if number in ids] == ids


@pytest.mark.parametrize(("gated", "tied"), [(True, False), (False, True)])
def test_encoder_decoders_have_the_activation_that_their_tensors_show(gated, tied, tmp_path, caplog):
    file = tmp_path / "t5.gguf"
    stock = write_t5(file, gated=gated, tied=tied)
    loaded = load_backbone(BackboneSettings(name=str(file), dropout=0.2))
    asked = {"input_ids": torch.tensor([[4, 5, 1]]), "decoder_input_ids": torch.tensor([[0, 4, 6]])}
    with torch.no_grad():
        want = stock(**asked).logits
        assert torch.allclose(loaded.model(**asked).logits, want, atol=1e-5)
    assert loaded.model.config.dropout_rate == 0.2
    assert loaded.tokenizer("red pan").input_ids == [4, 5, 1]
    assert (loaded.model.lm_head.weight is loaded.model.shared.weight) == tied
    ids = add_tokens(loaded, ["<a_1>", "<b_2>"])
    assert caplog.text == ""
    save_backbone(loaded, tmp_path / "folder")
    again = load_backbone(str(tmp_path / "folder"))
    with torch.no_grad():
        assert torch.allclose(again.model(**asked).logits[..., : want.shape[-1]], want, atol=1e-5)
    text = "the red <a_1><b_2>, pan"
    assert again.tokenizer(text).input_ids == loaded.tokenizer(text).input_ids
    assert [number for number in again.tokenizer(text).input_ids if number in ids] == ids
    cut = load_backbone(BackboneSettings(name=str(file), keep_layers=1)).model
    assert len(cut.encoder.block) == len(cut.decoder.block) == 1


def test_quantised_weights_are_read_in_full_precision_and_train(tmp_path):
    file = tmp_path / "rounded.gguf"
    stock = write(file, quantised=True)
    model = load_causal(str(file)).model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    difference = (logits(model) - logits(stock)).abs().max()
    assert 0 < difference < 0.05
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
    assert not model.is_quantized


def test_a_folder_with_one_gguf_file_alone_is_that_file(written, tmp_path):
    assert gguf_file(str(written.parent)) == written
    assert local_files(str(written)) == written
    assert torch.equal(logits(load_causal(str(written.parent)).model), logits(load_causal(str(written)).model))
    save(tmp_path / "both", "qwen2")
    shutil.copy(written, tmp_path / "both")
    assert gguf_file(str(tmp_path / "both")) is None
    assert load_causal(str(tmp_path / "both")).model.config.model_type == "qwen2"
    shutil.copy(written, written.parent / "other.GGUF")
    with pytest.raises(SettingsError, match=r"holds 2 GGUF files \(other\.GGUF, tiny\.gguf\); name one of them"):
        load_causal_tokenizer(str(written.parent))
    (written.parent / "other.GGUF").unlink()
    assert gguf_file("owner/model") is None


def test_keys_follow_the_content_of_the_file(written, tmp_path):
    file = tmp_path / "copy.gguf"
    shutil.copy(written, file)
    store = Store(tmp_path / "store")
    files = backbone_files(CausalBackboneSettings(name=str(file)))
    assert files == {"backbone": file}
    before = store.digest(file)
    assert before == store.digest(written)
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert store.digest(file) != before
    assert backbone_files(CausalBackboneSettings(name="scratch:tiny")) == {}


def test_depth_is_cut(written):
    cut = load_causal(CausalBackboneSettings(name=str(written), keep_layers=1)).model
    whole = load_causal(str(written)).model
    assert len(whole.model.layers) == LAYERS
    assert len(cut.model.layers) == cut.config.num_hidden_layers == 1
    assert torch.equal(cut.model.layers[0].mlp.up_proj.weight, whole.model.layers[0].mlp.up_proj.weight)


def refused(name: str | Path, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        load_causal(str(name))
    assert "\n" not in str(caught.value)


def test_what_is_no_whole_gguf_file_is_refused_in_one_line(written, tmp_path):
    refused(tmp_path / "none.gguf", SettingsError, r"none\.gguf', but there is no such file")
    file = tmp_path / "bad.gguf"
    for content, message in (
        (b"", r"bad\.gguf is no GGUF file"),
        (b"PK\x03\x04", r"bad\.gguf is no GGUF file; give one, or a folder of safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"pointer of a large file.*git lfs pull"),
        (written.read_bytes()[:20], r"bad\.gguf is damaged or cut off"),
        (written.read_bytes()[:5000], r"bad\.gguf is damaged or cut off"),
        (written.read_bytes()[:-500], r"bad\.gguf is damaged or cut off"),
    ):
        file.write_bytes(content)
        refused(file, ArtifactError, message)


def test_architectures_that_transformers_does_not_read_are_named(tmp_path):
    write(tmp_path / "strange.gguf", architecture="rwkv6")
    refused(tmp_path / "strange.gguf", SettingsError, r"transformers cannot read this GGUF file \(.*rwkv6.*safetensors")


def test_a_causal_file_is_no_encoder_decoder(written):
    with pytest.raises(SettingsError, match="is of type 'llama'; give an encoder-decoder"):
        load_backbone(str(written))


def test_without_the_package_the_message_says_what_to_install(written, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else found(name))
    refused(written, SettingsError, r'needs the package gguf: pip install "lexirec\[gguf\]"')
