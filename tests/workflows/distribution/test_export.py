import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors import safe_open

from lexirec.core.digests import files_of
from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.runs import find_run
from lexirec.data.catalog import Catalog
from lexirec.models.exported import check_export
from lexirec.models.living_catalog import Facts, LivingRecommender
from lexirec.models.loading import load_recommender
from lexirec.pipeline.stages.data import load_split
from lexirec.workflows.distribution.export import ExportSettings, backbone_name, export_hub
from tests.worlds.exported_shop import MEMBERS, exported, shop

PLAIN = {".json", ".safetensors", ".parquet", ".npy", ".md"}
ASK = "unknown: ask before you publish"


def lengths(folder):
    """Yield the lengths of all arrays of all files."""
    for _, path in files_of(folder):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as opened:
                for name in opened.keys():  # noqa: SIM118  it is no mapping
                    yield from ((f"{path}: {name}", size) for size in opened.get_slice(name).get_shape())
        elif path.suffix == ".npy":
            yield from ((str(path), size) for size in np.load(path, allow_pickle=False).shape)
        elif path.suffix == ".parquet":
            yield str(path), pq.read_metadata(path).num_rows


@pytest.mark.parametrize("member", MEMBERS[:2])
def test_no_events_and_no_users_are_exported(member):
    run = find_run(shop(), member[0])
    split = load_split(run.stage("data").folder)
    events = {len(split.train.items), len(split.test.histories.items), len(split.validation.histories.items)}
    of_people = events | {len(split.train), len(split.test), int(split.protocol["interactions"])}
    folder = exported(*member)
    assert not [(name, size) for name, size in lengths(folder) if size in of_people]
    assert {path.suffix for _, path in files_of(folder)} <= PLAIN
    card = (folder / "README.md").read_text()
    assert "No events, no histories and no user ids are in this folder." in card
    assert "memory-based" not in card


def test_a_memory_is_said_to_hold_counts_of_histories():
    card = (exported("old-gram", "fused") / "README.md").read_text()
    assert "**But `memory` is memory-based**: its tables hold which items were taken together" in card
    assert "Its parts: `memory` (memory), `model` (GRAM)." in card


@pytest.mark.parametrize("member", MEMBERS)
def test_the_card_has_the_figures_of_the_run(member):
    folder = exported(*member)
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "lexirec"
    assert card.data.license == "unknown"
    assert "recommender-system" in card.data.tags
    stored = json.loads((folder / "figures.json").read_text())["reports"]
    metrics = stored["excluded"]["metrics"]
    found = {each.metric_name: each.metric_value for each in card.data.eval_results}
    assert len(found) == 2 * len(metrics)
    for name, value in metrics.items():
        assert found[f"{name}, seen items excluded"] == pytest.approx(value, abs=1e-6)
        assert re.search(rf"\| {name} \| {value:.4f} \|", card.text)
    entry = yaml.safe_load(card.content.split("---")[1])["model-index"][0]
    assert entry["results"][0]["task"]["type"]
    assert entry["results"][0]["dataset"] == {"name": member[0], "type": member[0], "split": "test"}


def test_the_card_asks_for_licences_and_tells_protocol_seeds_and_what_is_not_equal():
    text = (exported("old-gram", "model") / "README.md").read_text()
    assert f"- this folder: {ASK}" in text
    assert f"histories that it learned from): {ASK}" in text
    assert "backbone: `scratch:tiny`, random weights" in text
    assert "candidates: all 84 items; metrics per item" in text
    assert "One seed: how much the figures vary between seeds is unknown." in text
    assert "seed 0" in text
    assert 'load_recommender("ORGANISATION/NAME")' in text
    for title in ("How to load it", "Figures", "What is not equal", "Data about people", "Licences", "Intended use"):
        assert f"\n## {title}\n" in text


def test_columns_that_nobody_asked_for_stay_here(tmp_path):
    catalog = Catalog.load(find_run(shop(), "old-gram").stage("data").folder / "catalog")
    others = {*catalog.table.column_names} - {"item_id", *catalog.text_fields}
    assert others == {"price"}
    manifest = export_hub(shop(), "old-gram", tmp_path / "fewer", wanted="fused")
    assert manifest.recommender == "fused"
    fewer = load_recommender(tmp_path / "fewer")
    assert set(fewer.catalog.table.column_names) == {"item_id", *catalog.text_fields}
    assert "left out, so no filter knows them: price" in (tmp_path / "fewer" / "README.md").read_text()
    assert "price" in load_recommender(exported("old-gram", "fused")).catalog.table.column_names
    with pytest.raises(SettingsError, match=r"has no column 'prise'; .* Did you mean 'price'"):
        export_hub(shop(), "old-gram", tmp_path / "other", ExportSettings(("prise",)))
    assert not (tmp_path / "other").exists()


def test_an_export_is_the_same_twice_and_can_be_exported_again(tmp_path):
    first = exported("old-tsrec", "reinforced")
    for name, source in (("again", "old-tsrec"), ("from the folder", str(first))):
        part = "reinforced" if source == "old-tsrec" else None
        export_hub(shop(), source, tmp_path / name, ExportSettings(("all",), "mit"), wanted=part)
        assert check_export(tmp_path / name).files == check_export(first).files
        assert "license: mit" in (tmp_path / name / "README.md").read_text()


def test_baselines_are_exported_too(tmp_path):
    export_hub(shop(), "old-gram", tmp_path / "memory", wanted="memory")
    assert load_recommender(tmp_path / "memory").kind == "memory"
    assert "`memory` is memory-based" in (tmp_path / "memory" / "README.md").read_text()


def test_a_full_folder_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    with pytest.raises(ArtifactError, match="is not empty"):
        export_hub(shop(), "no such experiment", tmp_path / "photos")


def test_backbones_are_named_but_never_paths_of_this_machine(tmp_path, monkeypatch):
    settings = find_run(shop(), "old-gram").settings

    def named(value):
        run = type("Run", (), {"settings": {**settings, "backbone": {"name": value}}})
        monkeypatch.setattr("lexirec.workflows.distribution.export.find_run", lambda *_: run)
        return backbone_name(shop(), "old-gram")

    assert named("scratch:tiny") == "scratch:tiny"
    assert named("google-t5/t5-small") == "google-t5/t5-small"
    assert named("gpt2") == "gpt2"
    assert [named(path) for path in (str(tmp_path), "/models/a/b", "~/t5", "./t5", "a/b/c")] == ["local"] * 5


def test_facts_of_the_store_are_said_to_stay_there(tmp_path, monkeypatch, caplog):
    recommender = load_recommender(exported("old-gram", "model"))
    for facts, said in ((Facts(hidden=frozenset({"toy-00003"})), True), (Facts(), False)):
        living = LivingRecommender(recommender, facts)
        monkeypatch.setattr("lexirec.workflows.distribution.export.load_named", lambda *_, given=living: given)
        caplog.clear()
        export_hub(shop(), "old-gram", tmp_path / str(said), wanted="model")
        assert ("facts of today and hidden items of old-gram are not exported" in caplog.text) == said
