import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.models.exported import write_export
from lexirec.models.loading import load_recommender
from lexirec.nn.causal_lm import load_causal
from lexirec.workflows.distribution.engine import export_engine
from lexirec.workflows.distribution.engine_backends import TransformersEngine
from lexirec.workflows.distribution.engine_prompts import EnginePrompts
from lexirec.workflows.distribution.parity import ParitySettings, compare_engine
from tests.worlds import backbones, engine_shop

FEW = ParitySettings(histories=6)


def exported(folder, **options):
    name = engine_shop.saved(folder / "saved", **options)
    export_engine(Store(folder), name, folder / "engine")
    return name, folder / "engine"


@pytest.mark.parametrize("options", [{}, {"frame": "plain", "uneven": True}])
def test_transformers_computes_what_lexirec_computes(tmp_path, options):
    name, engine = exported(tmp_path, **options)
    found = compare_engine(Store(tmp_path), name, engine, FEW)
    assert found.histories == 6
    assert 12 <= found.tokens <= 18
    assert 0 <= found.mean <= found.greatest < 1e-5
    assert found.filler_mass > 0


@pytest.mark.parametrize("spare", [0, 100])
def test_parity_holds_where_the_table_was_cut(tmp_path, spare):
    tokenizer = backbones.byte_tokenizer()
    rows = len(tokenizer) + spare
    folder = backbones.save(tmp_path / "qwen2", "qwen2", tokenizer, rows=rows)
    name, engine = exported(tmp_path, backbone=load_causal(folder))
    sizes = json.loads((engine / "engine.json").read_text())
    assert (sizes["rows"] < sizes["rows_before"]) == bool(spare)
    assert compare_engine(Store(tmp_path), name, engine, FEW).greatest < 1e-5


def test_an_engine_scores_items_as_the_beam_search_of_lexirec_does(tmp_path):
    tokenizer = backbones.byte_tokenizer()
    tokenizer.add_tokens([f"<more_{number}>" for number in range(384 - 13 - len(tokenizer))])  # so no row is added
    folder = backbones.save(tmp_path / "qwen2", "qwen2", tokenizer, rows=len(tokenizer))
    name, engine = exported(tmp_path, backbone=load_causal(folder), frame="plain")
    assert json.loads((engine / "engine.json").read_text())["fillers"] == 0
    history = [3, 14, 15]
    ranking = load_recommender(name).rank(Sequences.from_lists([history]), k=10)
    prompts = EnginePrompts.read(engine)
    answers = [prompts.sids[item] for item in ranking.items[0]]
    found = TransformersEngine(engine, "float32")([prompts.prompt(history)] * 10, answers)
    assert [each.sum() for each in found] == pytest.approx(ranking.scores[0].tolist(), abs=1e-4)
    assert len(set(ranking.scores[0].round(3).tolist())) > 5


def test_planted_differences_are_found(tmp_path):
    name, engine = exported(tmp_path)
    weights = load_file(engine / "model.safetensors")
    key = next(each for each in weights if each.endswith("q_proj.weight"))
    weights[key] = weights[key] + torch.randn_like(weights[key])
    save_file(weights, engine / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=r"model\.safetensors is damaged"):
        compare_engine(Store(tmp_path), name, engine, FEW)
    write_export(engine, "engine", "saved", "")
    assert compare_engine(Store(tmp_path), name, engine, FEW).greatest > 1e-3


def test_a_wrong_template_is_found(tmp_path):
    name, engine = exported(tmp_path)
    template = json.loads((engine / "prompt.json").read_text())
    (engine / "prompt.json").write_text(json.dumps(template | {"after": template["after"][:-1]}))
    write_export(engine, "engine", "saved", "")
    assert compare_engine(Store(tmp_path), name, engine, FEW).greatest > 1e-3


def test_other_items_and_unknown_backends_are_refused(tmp_path):
    name, engine = exported(tmp_path)
    with pytest.raises(SettingsError, match="--backend tgi: there are transformers, vllm"):
        compare_engine(Store(tmp_path), name, engine, ParitySettings("tgi"))
    with pytest.raises(SettingsError, match="--histories 0: give at least 1"):
        compare_engine(Store(tmp_path), name, engine, ParitySettings(histories=0))
    with pytest.raises(SettingsError, match="--dtype int8: there are float32"):
        compare_engine(Store(tmp_path), name, engine, ParitySettings(dtype="int8"))
    ids = json.loads((engine / "item_ids.json").read_text())
    (engine / "item_ids.json").write_text(json.dumps(ids[::-1]))
    write_export(engine, "engine", "saved", "")
    with pytest.raises(ArtifactError, match="its items are not those of"):
        compare_engine(Store(tmp_path), name, engine, FEW)
