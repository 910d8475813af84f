"""Vectors of pictures in the pipeline: what enters their key, and what stops them."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.core.manifest import read_manifest
from lexirec.core.runs import Stage
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.semantic_ids.embeddings import picture_vectors
from lexirec.semantic_ids.embeddings.picture_vectors import PictureVectors, encode_pictures

PICTURES = {"kind": "images"}


def experiment(data, **vectors) -> Experiment:
    baselines = {"m": {"kind": "memory", "evidence": "vectors"}}
    return validate_settings({"name": "seen", "data": data, "vectors": vectors, "baselines": baselines}, Experiment)


@pytest.fixture
def tables(tmp_path) -> dict:
    """Settings of two tables with twelve items, whose pictures lie beside them."""
    (tmp_path / "shop" / "img").mkdir(parents=True)
    with (tmp_path / "shop" / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "picture"])
        for number in range(12):
            Image.new("RGB", (8, 8), (20 * number, 99, 250 - 20 * number)).save(tmp_path / f"shop/img/{number}.png")
            rows.writerow([f"i{number}", f"thing {number}", f"img/{number}.png"])
    events = [[f"u{user}", f"i{(user + step) % 12}"] for user in range(20) for step in range(5)]
    with (tmp_path / "shop" / "events.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["user_id", "item_id"], *events])
    return {
        "kind": "tables",
        "items": str(tmp_path / "shop/items.csv"),
        "interactions": str(tmp_path / "shop/events.csv"),
    }


def planned(chosen: Experiment, store: Store, name: str = "vectors.p") -> Stage:
    return next(each for each in plan_experiment(chosen, store) if each.name == name)


def made(chosen: Experiment, store: Store) -> Path:
    """Make the vectors; return their folder."""
    run_experiment(chosen, store, until="vectors")
    assert planned(chosen, store).state == "done"
    return planned(chosen, store).folder


def test_pictures_of_a_table_become_vectors_beside_the_table(tables, tmp_path):
    folder = made(experiment(tables, p=PICTURES), Store(tmp_path / "store"))
    names = [f"img/{number}.png" for number in range(12)]
    expected = encode_pictures(names, PictureVectors(folder=tmp_path / "shop")).vectors
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), expected)
    assert not (folder / "missing_pictures.parquet").exists()


@pytest.mark.long
def test_a_run_reads_them(tables, tmp_path):
    done = run_experiment(experiment(tables, p=PICTURES), Store(tmp_path / "store"))
    assert done is not None
    assert read_manifest(done.stage("baselines.m").folder).inputs["vectors.p"] == done.stage("vectors.p").key


def test_the_key_follows_the_bytes_of_the_pictures_and_nothing_else_of_them(tables, tmp_path):
    store, asked = Store(tmp_path / "store"), experiment(tables, p=PICTURES)
    made(asked, store)

    def state(chosen=asked) -> tuple[str, str]:
        found = planned(chosen, store)
        return found.key, found.state

    first = state()
    assert first[1] == "done"
    (tmp_path / "shop" / "img" / "unrelated.png").write_bytes(b"x")
    assert state(experiment(tables, p={**PICTURES, "shard_size": 3})) == first
    moved = tmp_path / "elsewhere"
    (tmp_path / "shop").joinpath("img").rename(moved)
    (tmp_path / "shop" / "img").mkdir()
    assert state()[0] != first[0]
    moved_names = experiment(tables, p={**PICTURES, "folder": str(tmp_path / "there")})
    (tmp_path / "there").mkdir()
    moved.rename(tmp_path / "there" / "img")
    assert state(moved_names) == first
    one = tmp_path / "there" / "img" / "7.png"
    one.write_bytes(one.read_bytes() + b"\0")
    changed = state(moved_names)
    assert changed[0] != first[0]
    assert changed[1] != "done"
    made(moved_names, store)
    assert state(moved_names) == (changed[0], "done")


def test_the_key_follows_the_content_of_a_local_model(tables, tmp_path):
    store = Store(tmp_path / "store")
    made(experiment(tables, p=PICTURES), store)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("one")
    asked = experiment(tables, p={**PICTURES, "model": str(tmp_path / "model")})
    first = planned(asked, store).key
    assert planned(asked, store).key == first
    (tmp_path / "model" / "weights").write_text("two")
    assert planned(asked, store).key != first


def test_pictures_that_change_while_they_are_read_are_not_stored(tables, tmp_path, monkeypatch):
    encode = picture_vectors._encode

    def changing(paths, encoder, settings):
        shard = encode(paths, encoder, settings)
        shard.digests[3] = "0" * 64  # what was read was not what the key says
        return shard

    monkeypatch.setattr(picture_vectors, "_encode", changing)
    store = Store(tmp_path / "store")
    with pytest.raises(ArtifactError, match=r"pictures in .*shop changed while they were being read"):
        made(experiment(tables, p=PICTURES), store)
    monkeypatch.undo()
    made(experiment(tables, p=PICTURES), store)


def test_items_without_a_picture_are_listed_and_counted(tables, tmp_path):
    (tmp_path / "shop" / "img" / "3.png").unlink()
    (tmp_path / "shop" / "img" / "5.png").write_bytes(b"no picture")
    folder = made(experiment(tables, p=PICTURES), Store(tmp_path / "store"))
    missing = pq.read_table(folder / "missing_pictures.parquet").to_pylist()
    assert [(row["item_id"], row["picture"]) for row in missing] == [("i3", "img/3.png"), ("i5", "img/5.png")]
    assert missing[0]["reason"] == "there is no such file"
    assert "12, of which 2 have no vector" in (folder / "summary.md").read_text()
    (tmp_path / "shop" / "img" / "4.png").unlink()
    with pytest.raises(DataError, match=r"3 of 12 items .* at most 20% may have none"):
        made(experiment(tables, p=PICTURES), Store(tmp_path / "store"))


def test_the_toy_shop_draws_pictures_when_asked(tmp_path):
    store, shop = Store(tmp_path), {"kind": "toy-shop", "products": 90, "shoppers": 60}
    drawing, plain = experiment({**shop, "pictures": True}, p=PICTURES), experiment(shop, p={"kind": "lsa"})
    assert np.load(made(drawing, store) / "vectors.npy").shape == (90, 1344)
    data = planned(drawing, store, "data")
    assert len(list((data.folder / "pictures").iterdir())) == 90
    assert read_manifest(data.folder).settings["pictures"] is True
    assert "pictures" not in json.dumps(plain.model_dump(mode="json")["data"])
    assert planned(plain, store, "data").key != data.key


@pytest.mark.parametrize(
    ("data", "vectors", "message"),
    [
        ({}, PICTURES, r"set data\.pictures = true for the toy shop"),
        ({"pictures": True}, {**PICTURES, "column": "photo"}, "are in the column 'picture', not in 'photo'"),
    ],
)
def test_the_toy_shop_has_pictures_only_when_asked_and_in_one_column(data, vectors, message, tmp_path):
    asked = experiment({"kind": "toy-shop", "products": 90, "shoppers": 60, **data}, p=vectors)
    with pytest.raises(SettingsError, match=message):
        plan_experiment(asked, Store(tmp_path))
