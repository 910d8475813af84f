from __future__ import annotations

import json

import pytest

from tests.worlds.families import family_folder
from tests.worlds.gguf_files import write


def test_doctor_examines_a_backbone(tmp_path, lexirec, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    folder = family_folder(tmp_path / "model", "qwen3", spare=28)
    status, out, _ = lexirec("doctor", "--backbone", folder, "--batch-size", 2, "--length", 32)
    assert status == 0
    for words in ("Qwen3ForCausalLM (qwen3)", "28 spare rows", "2 heads of 24", 'train "lora"', "2 rows of 32 tokens"):
        assert words in out


def test_doctor_writes_json_without_a_probe(tmp_path, lexirec):
    write(tmp_path / "tiny.gguf", quantised=True)
    arguments = ("--backbone", tmp_path / "tiny.gguf", "--keep-layers", 1, "--no-probe", "--json")
    status, out, _ = lexirec("doctor", *arguments)
    assert status == 0
    values = json.loads(out)
    assert (values["backbone"]["layers"], values["backbone"]["layers_stored"]) == (1, 3)
    assert values["backbone"]["source"] == "GGUF file"
    assert all(need["probe"] is None and need["formula"] > 0 for need in values["needs"])


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_doctor_refuses_what_cannot_serve_in_one_line(more, tmp_path, lexirec):
    (tmp_path / "notes.gguf").write_bytes(b"PK\x03\x04")
    status, out, err = lexirec("doctor", "--backbone", tmp_path / "notes.gguf", *more)
    assert (status, out) == (1, "")
    assert err.strip().count("\n") == 0
    assert "notes.gguf is no GGUF file" in err


def test_doctor_of_the_machine_as_json(tmp_path, lexirec):
    status, out, _ = lexirec("doctor", "--json", "--store", tmp_path / "store")
    found = {finding["name"]: finding for finding in json.loads(out)}
    assert status == 0
    assert found["torch"]["state"] == "ok"
    assert found["backbones in GGUF files"]["found"] == "gguf is installed"
