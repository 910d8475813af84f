from __future__ import annotations

import json

import pytest

from lexirec.core.errors import SettingsError
from lexirec.workflows.backbones import examine
from lexirec.workflows.backbones.examine import examine_backbone
from lexirec.workflows.backbones.needs import Batch
from tests.worlds.families import family_folder


def test_the_report_as_rows_and_as_json(tmp_path):
    report = examine_backbone(family_folder(tmp_path, "gemma3", spare=28), 1, Batch(2, 32))
    found = {finding.name: finding for finding in report.findings()}
    assert found["backbone"].found == "Gemma3ForCausalLM (gemma3_text), causal, from a folder"
    assert "1 layers of 2" in found["size"].found
    assert found["positions"].state == "note"
    assert "28 spare rows; the language head is the table (tied), looked-up rows are" in found["table"].found
    assert "prompts begin with <bos>" in found["tokens"].found
    for way in ("full", "lora", "embeddings"):
        assert "by the formula" in found[f'train "{way}"'].found
        assert "s a step of 2 rows of 32 tokens" in found[f'train "{way}"'].found
    values = json.loads(json.dumps(report.as_json()))
    assert values["backbone"]["spare_rows"] == 28
    assert values["batch"] == {"rows": 2, "length": 32}
    assert [need["way"] for need in values["needs"]] == ["full", "lora", "embeddings"]
    assert all(need["probe"] > 0 and need["seconds"] > 0 for need in values["needs"])


def test_what_is_too_large_for_the_machine_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(examine, "_available", lambda: 1000)
    report = examine_backbone(family_folder(tmp_path, "qwen2"))
    found = {finding.name: finding for finding in report.findings()}['train "full"']
    assert found.state == "note"
    assert "no probe" in found.found
    assert "keep_layers" in found.advice


def test_wrong_arguments_are_one_line(tmp_path):
    folder = family_folder(tmp_path, "gpt2")
    for arguments, message in (
        (("scratch:small",), "has random weights; name a pretrained model"),
        ((folder, None, Batch(1, 500)), "--length is 500, but .* has 128 positions"),
        ((folder, 3), "keep_layers is 3, but .* has 2 layers; give at most 2"),
        ((str(tmp_path / "none.gguf"),), "there is no such file"),
    ):
        with pytest.raises(SettingsError, match=message) as caught:
            examine_backbone(*arguments)
        assert "\n" not in str(caught.value)
