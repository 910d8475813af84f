import logging

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lexirec.core.config import validate_settings
from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.embeddings import picture_vectors
from lexirec.semantic_ids.embeddings.histograms import ColorHistogram
from lexirec.semantic_ids.embeddings.item_embeddings import embed_items
from lexirec.semantic_ids.embeddings.picture_vectors import PictureVectors, encode_pictures

NAMES = [f"{number}.png" for number in range(10)]
SETTINGS = PictureVectors(shard_size=4, batch_size=3)
ENCODE = picture_vectors._encode


@pytest.fixture
def folder(tmp_path):
    """Folder of ten pictures in ten colours."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (255 - 25 * number, 25 * number, number % 2 * 200)).save(folder / name)
    return folder


def count_encoded(monkeypatch, stop_after=None):
    encoded = []

    def counted(paths, encoder, settings):
        if stop_after is not None and len(encoded) == stop_after:
            raise KeyboardInterrupt
        encoded.append(len(paths))
        return ENCODE(paths, encoder, settings)

    monkeypatch.setattr(picture_vectors, "_encode", counted)
    return encoded


def test_vectors_are_normalised_and_in_the_order_of_the_items(folder):
    made = encode_pictures(NAMES, SETTINGS, base=folder)
    assert made.vectors.shape == (10, 1344)
    assert made.vectors.dtype == np.float32
    assert np.linalg.norm(made.vectors, axis=1) == pytest.approx(np.ones(10), abs=1e-5)
    turned = encode_pictures(NAMES[::-1], PictureVectors(folder=folder))
    np.testing.assert_array_equal(turned.vectors, made.vectors[::-1])
    assert made.reasons == {}


def test_other_models_give_other_vectors(folder):
    for number, name in enumerate(NAMES):
        Image.effect_noise((32, 32), 10 * number + 5).convert("RGB").save(folder / name)
    edges = encode_pictures(NAMES, PictureVectors(model="edge-histogram"), base=folder)
    assert edges.vectors.shape == (10, 576)


def test_a_killed_run_carries_on_where_it_was(folder, tmp_path, monkeypatch):
    whole = encode_pictures(NAMES, SETTINGS, base=folder)
    encoded = count_encoded(monkeypatch, stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        encode_pictures(NAMES, SETTINGS, base=folder, folder=tmp_path / "shards")
    assert encoded == [4, 4]
    encoded = count_encoded(monkeypatch)
    resumed = encode_pictures(NAMES, SETTINGS, base=folder, folder=tmp_path / "shards")
    assert encoded == [2]
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    assert resumed.content == whole.content
    encoded.clear()
    again = SETTINGS.model_copy(update={"batch_size": 1, "max_missing": 0.5})
    encode_pictures(NAMES, again, base=folder, folder=tmp_path / "shards")
    assert encoded == []


def test_shards_whose_pictures_changed_since_are_made_again(folder, tmp_path, monkeypatch):
    encode_pictures(NAMES, SETTINGS, base=folder, folder=tmp_path / "shards")
    Image.new("RGB", (8, 8), "white").save(folder / NAMES[5])
    encoded = count_encoded(monkeypatch)
    made = encode_pictures(NAMES, SETTINGS, base=folder, folder=tmp_path / "shards")
    assert encoded == [4]
    np.testing.assert_array_equal(made.vectors, encode_pictures(NAMES, SETTINGS, base=folder).vectors)
    assert len(list((tmp_path / "shards").glob("from-*.npz"))) == 3


def test_shards_of_other_names_or_settings_are_not_used(folder, tmp_path, monkeypatch):
    encode_pictures(NAMES, SETTINGS, base=folder, folder=tmp_path / "shards")
    (tmp_path / "shards" / "mine.txt").write_text("keep")
    encoded = count_encoded(monkeypatch)
    encode_pictures(NAMES[::-1], SETTINGS, base=folder, folder=tmp_path / "shards")
    assert encoded == [4, 4, 2]
    edges = SETTINGS.model_copy(update={"model": "edge-histogram", "max_missing": 1.0})
    encode_pictures(NAMES[::-1], edges, base=folder, folder=tmp_path / "shards")
    assert encoded == [4, 4, 2] * 2
    assert (tmp_path / "shards" / "mine.txt").exists()


def test_a_damaged_shard_is_computed_again(folder, tmp_path, monkeypatch, caplog):
    whole = encode_pictures(NAMES, SETTINGS, base=folder, folder=tmp_path)
    shard = sorted(tmp_path.glob("from-*.npz"))[1]
    shard.write_bytes(shard.read_bytes()[:-9])
    encoded = count_encoded(monkeypatch)
    made = encode_pictures(NAMES, SETTINGS, base=folder, folder=tmp_path)
    assert encoded == [4]
    np.testing.assert_array_equal(made.vectors, whole.vectors)
    assert "is damaged; it is made again" in caplog.text


def spoil(folder):
    (folder / NAMES[1]).unlink()
    Image.effect_noise((64, 64), 90).save(folder / NAMES[4])
    (folder / NAMES[4]).write_bytes((folder / NAMES[4]).read_bytes()[:900])
    return ["", *NAMES[1:]]


def test_missing_and_broken_pictures_are_told_and_get_zeros(folder, caplog):
    names = spoil(folder)
    ids = [f"item-{number}" for number in range(10)]
    with caplog.at_level(logging.WARNING):
        made = encode_pictures(names, SETTINGS.model_copy(update={"max_missing": 0.3}), base=folder, ids=ids)
    assert made.reasons.keys() == {0, 1, 4}
    assert made.reasons[0] == "no file is named"
    assert made.reasons[1] == "there is no such file"
    assert made.reasons[4].startswith("it is broken")
    assert np.flatnonzero(~made.vectors.any(axis=1)).tolist() == [0, 1, 4]
    assert caplog.text.count("usable picture") == 1
    assert (
        "3 of 10 items (30.0%) have no usable picture (no file is named: 1, there is no such file: 1, it is broken: 1)"
        in caplog.text
    )
    assert "such as 'item-0' (''), 'item-1' ('1.png'), 'item-4' ('4.png'); their vectors are zero" in caplog.text
    good = encode_pictures(NAMES[5:], SETTINGS, base=folder)
    np.testing.assert_array_equal(made.vectors[5:], good.vectors)


def test_too_many_missing_pictures_are_an_error_that_says_what_to_do(folder, monkeypatch):
    encoded = count_encoded(monkeypatch)
    with pytest.raises(DataError, match=r"3 of 10 items .* at most 20% may have none: check 'column' and 'folder'"):
        encode_pictures(["", "", "nothing.png", *NAMES[3:]], SETTINGS, base=folder)
    assert encoded == []  # before anything was encoded
    with pytest.raises(DataError, match=r"3 of 10 items .*it is broken"):
        encode_pictures(spoil(folder), SETTINGS, base=folder)
    with pytest.raises(DataError, match="10 of 10 items"):
        encode_pictures(NAMES, SETTINGS.model_copy(update={"max_missing": 1.0}), base=folder / "elsewhere")


def test_a_shard_without_any_picture_is_no_obstacle(folder):
    made = encode_pictures(["", "", *NAMES], SETTINGS.model_copy(update={"shard_size": 2}), base=folder)
    np.testing.assert_array_equal(made.vectors[2:], encode_pictures(NAMES, SETTINGS, base=folder).vectors)
    assert not made.vectors[:2].any()


def test_the_digest_of_the_content_follows_bytes_not_names(folder, tmp_path):
    before = encode_pictures(NAMES, SETTINGS, base=folder).content
    folder.rename(tmp_path / "moved")
    assert encode_pictures(NAMES, SETTINGS, base=tmp_path / "moved").content == before
    picture = tmp_path / "moved" / NAMES[3]
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert encode_pictures(NAMES, SETTINGS, base=tmp_path / "moved").content != before


def test_a_model_that_gives_no_numbers_is_named_with_the_items_and_nothing_is_stored(folder, tmp_path, monkeypatch):
    prepare = ColorHistogram.prepare

    def broken(self, picture):
        made = prepare(self, picture)
        return made * np.nan if picture.getpixel((0, 0)) == (255 - 25 * 6, 25 * 6, 0) else made

    monkeypatch.setattr(ColorHistogram, "prepare", broken)
    names, ids = ["", *NAMES[1:]], [f"id-{number}" for number in range(10)]
    with pytest.raises(DataError, match=r"NaN or infinity for 1 of 4 pictures, those of items such as 'id-6'"):
        encode_pictures(names, SETTINGS, base=folder, folder=tmp_path, ids=ids)
    assert [path.name.partition(".")[0] for path in tmp_path.glob("from-*")] == ["from-0000000000"]


def test_embed_items_reads_the_column_of_a_catalogue(folder):
    catalog = Catalog(pa.table({"item_id": NAMES, "title": NAMES, "photos": [[name] for name in NAMES]}), ("title",))
    made = embed_items(catalog, PictureVectors(column="photos", folder=folder))
    np.testing.assert_array_equal(made, encode_pictures(NAMES, SETTINGS, base=folder).vectors)
    with pytest.raises(SettingsError, match="give `folder`"):
        embed_items(catalog, PictureVectors(column="photos"))


@pytest.mark.parametrize("changed", [{"pooling": "mean"}, {"dtype": "bfloat16"}])
def test_settings_of_vision_models_are_refused_for_histograms(changed):
    with pytest.raises(SettingsError, match=r"'pooling' and 'dtype' are for vision models"):
        validate_settings({"model": "edge-histogram", **changed}, PictureVectors)


def test_a_vision_model_is_loaded_once_and_only_where_a_picture_needs_it(folder, tmp_path, monkeypatch):
    class Double:
        loaded = 0

        def __init__(self, name, pooling, dtype):
            Double.loaded += 1
            assert (name, pooling, dtype) == ("org/model", "cls", "bfloat16")

        def prepare(self, picture):
            return np.asarray(picture, np.float32).mean(axis=(0, 1))

        def encode(self, prepared):
            return np.stack(prepared)

    monkeypatch.setattr(picture_vectors, "VisionModel", Double)
    settings = SETTINGS.model_copy(update={"model": "org/model", "pooling": "cls", "dtype": "bfloat16"})
    first = encode_pictures(NAMES, settings, base=folder, folder=tmp_path / "shards")
    assert (Double.loaded, first.vectors.shape) == (1, (10, 3))
    again = encode_pictures(NAMES, settings, base=folder, folder=tmp_path / "shards")
    assert Double.loaded == 1
    np.testing.assert_array_equal(again.vectors, first.vectors)
