from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.nn.backbone_folder import check_config, check_tokenizer_files, check_weight_files, local_folder
from lexirec.nn.causal_lm import load_causal
from tests.worlds.backbones import byte_tokenizer, configure, model, save, without_tokenizer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    save(folder, "qwen2")
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "model")
    return tmp_path / "model"


def check(name: str) -> None:
    check_config(name)
    check_tokenizer_files(name)
    check_weight_files(name)


def refused(folder: Path, kind: type[Exception], message: str) -> None:
    """Check that a folder is refused in one line, by its files alone and when it is loaded."""
    for use in (check, load_causal):
        with pytest.raises(kind, match=message) as caught:
            use(str(folder))
        assert "\n" not in str(caught.value)
        assert folder.name in str(caught.value)


def test_a_whole_folder_and_hub_names_pass(folder, monkeypatch):
    check(str(folder))
    check("owner/model")
    assert local_folder("owner/model") is None
    monkeypatch.setenv("HOME", str(folder.parent))
    assert local_folder("~/model") == folder


def test_a_folder_without_a_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    refused(folder, SettingsError, r"the folder holds no tokenizer .*; copy it there with tokenizer\.save_pretrained")
    without_tokenizer(folder)
    refused(folder, SettingsError, "the folder holds no tokenizer")


@pytest.mark.parametrize("name", ["vocab.json", "vocab.txt", "spiece.model", "tokenizer.model", "qwen.tiktoken"])
def test_vocabularies_of_other_families_are_tokenizers_too(name, folder):
    without_tokenizer(folder)
    (folder / name).write_text("{}")
    check_tokenizer_files(str(folder))


def test_a_folder_without_a_configuration_or_with_a_broken_one(folder):
    (folder / "config.json").write_text("{")
    refused(folder, ArtifactError, r"config\.json is no readable JSON")
    (folder / "config.json").write_text("[]")
    refused(folder, ArtifactError, r"config\.json holds no settings")
    (folder / "config.json").unlink()
    refused(folder, SettingsError, r"a folder without config\.json; give a folder written by save_pretrained")


@pytest.mark.parametrize("with_model", [True, False])
def test_an_adapter_is_no_model(with_model, folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/model"}))
    if not with_model:
        (folder / "config.json").unlink()
    refused(folder, SettingsError, "holds an adapter .*, not a model; merge it into its base model")


def test_quantised_weights_and_code_of_its_own(folder):
    configure(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    refused(folder, SettingsError, r"its weights are quantised \(gptq\), which cannot be trained")
    configure(folder, quantization_config={"quant_method": "fp8", "dequantize": True})
    check(str(folder))
    configure(folder, quantization_config=None, model_type="mine", auto_map={"AutoConfig": "mine.Config"})
    (folder / "mine.py").write_text("raise SystemExit('this code was run')\n")
    refused(folder, SettingsError, "its type 'mine' needs code of its own, which is not run")


def test_a_folder_without_weights_or_with_weights_cut_off(folder):
    weights = (folder / "model.safetensors").read_bytes()
    for cut in (b"", weights[:4], weights[: len(weights) // 2], weights[:-1]):
        (folder / "model.safetensors").write_bytes(cut)
        refused(folder, ArtifactError, r"model\.safetensors is damaged or cut off .*; copy it again")
    (folder / "model.safetensors").unlink()
    refused(folder, SettingsError, r"holds no weights \(model\.safetensors\); copy them there")


def test_weights_in_parts_are_all_needed(tmp_path):
    folder = tmp_path / "parts"
    model("qwen2").save_pretrained(folder, max_shard_size="10KB")
    byte_tokenizer().save_pretrained(folder)
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 2
    check(str(folder))
    load_causal(str(folder))
    parts[1].unlink()
    refused(folder, ArtifactError, rf"its weights are incomplete, {parts[1].name} is missing")
    (folder / "model.safetensors.index.json").write_text("{}")
    refused(folder, ArtifactError, r"model\.safetensors\.index\.json names no parts")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_pointers_of_large_files_are_not_the_files(name, folder):
    (folder / name).write_bytes(POINTER)
    refused(folder, ArtifactError, rf"{name} is the pointer of a large file.*git lfs pull")
