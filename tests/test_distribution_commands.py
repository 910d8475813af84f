"""The commands `export`, `verify` and `parity`, and commands that take an exported folder for an experiment."""

import json
import shutil

import pyarrow as pa
import pytest

from lexirec.models.loading import load_recommender
from lexirec.serving.answering.sources import SourceFinder
from lexirec.serving.starting import served_items
from tests.worlds import engine_shop
from tests.worlds.exported_shop import exported, shop


@pytest.fixture
def lexirec(lexirec):
    return lambda *arguments: lexirec(*arguments, "--store", shop().root)


@pytest.mark.long
def test_export_recommend_evaluate_and_verify(lexirec, tmp_path):
    code, out, _ = lexirec("export", "old-gram", tmp_path / "gram", "--with", "model", "--license", "mit", "--json")
    assert code == 0
    assert json.loads(out)["format"] == "hub"
    folder = tmp_path / "gram"
    of_run = lexirec("recommend", "old-gram", "--with", "model", "--history", "toy-00003", "--json")
    assert lexirec("recommend", folder, "--history", "toy-00003", "--json")[1] == of_run[1]
    code, out, _ = lexirec("evaluate", folder, "--json")
    assert code == 0
    stored = json.loads((folder / "figures.json").read_text())
    assert json.loads(out)["metrics"] == stored["reports"]["excluded"]["metrics"]
    code, out, _ = lexirec("evaluate", folder, "--fold", "validation", "--seen", "included", "--json")
    assert json.loads(out)["protocol"]["fold"] == "validation"
    assert json.loads(out)["protocol"]["exclude_seen"] is False
    code, out, _ = lexirec("verify", folder)
    assert (code, "verified, 0 damaged" in out) == (0, True)
    code, out, _ = lexirec("verify", folder, "--against", folder / "figures.json", "--tolerance", 0)
    assert (code, "ndcg@10" in out, "differs" in out) == (0, True, False)
    code, _, err = lexirec("export", "old-gram", folder)
    assert code == 1
    assert err.count("\n") == 1
    assert "is not empty; choose another, or --force" in err


def test_verify_fails_in_one_line_and_prints_the_table(lexirec, tmp_path):
    (tmp_path / "plain.json").write_text('{"N@10": 0.5, "recall@50": 0.1}')
    code, out, err = lexirec("verify", "old-gram", "--with", "model", "--against", tmp_path / "plain.json")
    assert code == 1
    assert "ndcg@10" in out
    assert "0.500000" in out
    assert "differs" in out
    assert "not compared: recall@50: not measured here" in out
    assert err.count("\n") == 1
    assert "1 of 1 metrics differ by more than 0.01 of their stored value" in err
    code, out, _ = lexirec("verify", "old-gram", "--with", "model", "--against", tmp_path / "plain.json", "--json")
    values = json.loads(out)
    assert code == 1
    assert values["metrics"][0]["alike"] is False
    assert list(values["not_compared"]) == ["recall@50"]
    assert "name the experiment" in lexirec("verify", "--against", tmp_path / "plain.json")[2]


def test_exported_items_are_recommended_within_their_windows_alone(lexirec, tmp_path):
    recommender = load_recommender(exported("old-gram", "model"))
    first = recommender.recommend(["toy-00003"], k=1)[0].item_id
    ends = ["2001-01-01T00:00:00Z" if each == first else None for each in recommender.catalog.item_ids]
    recommender._catalog = recommender.catalog.with_columns({"available_until": pa.chunked_array([ends])})
    recommender.save(tmp_path / "saved")
    assert lexirec("export", tmp_path / "saved", tmp_path / "windows")[0] == 0
    code, out, _ = lexirec("recommend", tmp_path / "windows", "toy-00003", "--json")
    assert code == 0
    assert first not in [each["item_id"] for each in json.loads(out)]


def test_damaged_exports_are_one_line_for_every_command(lexirec, tmp_path):
    folder = shutil.copytree(exported("old-gram", "model"), tmp_path / "damaged")
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    for command in (("verify", folder), ("recommend", folder, "toy-00003"), ("evaluate", folder)):
        code, _, err = lexirec(*command)
        assert code == 1
        assert "model.safetensors is damaged: its content is not that of lexirec.json" in err
        assert err.count("\n") == 1


def test_the_service_takes_an_exported_folder():
    folder = exported("old-gram", "fused")
    assert SourceFinder(shop()).given(str(folder), None).folder == folder
    assert "toy-00003" in served_items(shop(), str(folder))


def test_engine_folders_and_parity(lexirec, tmp_path):
    name = engine_shop.saved(tmp_path / "saved")
    assert lexirec("export", name, tmp_path / "engine", "--format", "engine")[0] == 0
    code, out, _ = lexirec("parity", name, tmp_path / "engine", "--histories", 4, "--json")
    assert code == 0
    assert json.loads(out)["greatest"] < 1e-5
    strict = ("--histories", 4, "--dtype", "bfloat16", "--tolerance", 1e-6)
    code, out, err = lexirec("parity", name, tmp_path / "engine", *strict)
    assert code == 1
    assert "greatest difference" in out
    assert "more than --tolerance 1e-06" in err
    assert "give nats of at least 0" in lexirec("parity", name, tmp_path / "engine", "--tolerance", -1)[2]
    code, _, err = lexirec("recommend", tmp_path / "engine", "item-1")
    assert code == 1
    assert "was exported with --format engine; here one of --format hub is needed" in err
    code, _, err = lexirec("parity", name, tmp_path / "engine", "--backend", "vllm")
    assert (code, "pip install vllm" in err) == (1, True)
