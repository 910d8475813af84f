"""Pictures of the toy shop show type, brand, colour and material, and change nothing of the shop."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.toy_shop.generator import read_words
from lexirec.data.toy_shop.pictures import _COLOURS, SIDE, Look, draw, draw_pictures, look_of
from lexirec.data.toy_shop.shop import mini_world, toy_shop
from lexirec.semantic_ids.embeddings.item_embeddings import PictureVectors, embed_items

LOOK = Look(kind=5, brand=3, material=0, colour="navy")


@pytest.fixture(scope="module")
def shop():
    return toy_shop(items=252, shoppers=1)


def pixels(look: Look) -> np.ndarray:
    return np.asarray(draw(look)).astype(int)


def test_every_item_is_drawn_and_the_tables_are_otherwise_as_before(shop, tmp_path):
    shop.write(tmp_path / "with", pictures=True)
    shop.write(tmp_path / "without")
    items = pq.read_table(tmp_path / "with" / "items.parquet")
    assert items.drop_columns(["picture"]) == pq.read_table(tmp_path / "without" / "items.parquet") == shop.items
    assert not (tmp_path / "without" / "pictures").exists()
    for path in items["picture"].to_pylist():
        with Image.open(tmp_path / "with" / "pictures" / path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (SIDE, SIDE))
    assert len(set(items["picture"].to_pylist())) == 252


def test_equal_items_give_equal_files(shop, tmp_path):
    for folder in ("one", "other"):
        draw_pictures(shop.items.slice(0, 20), tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 20
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_the_look_is_read_from_the_text():
    words, shop = read_words(), toy_shop(items=840, shoppers=1)
    looks = [look_of(row["title"], row["brand"]) for row in shop.items.to_pylist()]
    for row, look in zip(shop.items.to_pylist(), looks, strict=True):
        assert words.types[look.kind]["leaf"] == row["categories"]
        assert words.types[look.kind]["noun"] in row["title"]
        assert words.brands[look.brand]["name"] == row["brand"]
        assert row["title"].endswith(f", {words.types[look.kind]['materials'][look.material]}, {look.colour}")
    assert {look.kind for look in looks} == set(range(len(words.types)))
    assert {look.colour for look in looks} == set(words.colours) == set(_COLOURS)


@pytest.mark.parametrize("changed", [{"kind": 6}, {"brand": 4}, {"material": 1}, {"material": 2}, {"colour": "sand"}])
def test_each_property_shows(changed):
    other = Look(**{**vars(LOOK), **changed})
    assert np.abs(pixels(LOOK) - pixels(other)).max() > 20


def test_colour_is_on_the_thing_and_the_brand_behind_it():
    made = pixels(LOOK)
    assert made[SIDE // 2, SIDE // 2].tolist() == list(_COLOURS["navy"])
    assert made[0, 0].tolist() == pixels(Look(**{**vars(LOOK), "kind": 40, "colour": "sand"}))[0, 0].tolist()


def test_brands_of_a_circle_look_alike_and_all_brands_differ():
    brands = read_words().brands
    grounds = np.array([pixels(Look(**{**vars(LOOK), "brand": number}))[0, 0] for number in range(len(brands))])
    assert len(np.unique(grounds, axis=0)) == len(brands)
    circles = np.array([brand["circle"] for brand in brands])
    hues = np.array(
        [Image.new("RGB", (1, 1), tuple(each)).convert("HSV").getpixel((0, 0))[0] for each in grounds.tolist()]
    )
    apart = np.abs(hues[:, None] - hues)
    apart = np.minimum(apart, 256 - apart)
    same = circles[:, None] == circles
    assert apart[same].max() < 30 < apart[~same].min()


def test_histograms_find_types_and_circles_in_them(shop, tmp_path):
    from lexirec.data.catalog import Catalog

    shop.write(tmp_path, pictures=True)
    catalog = Catalog.read(tmp_path / "items.parquet", text=("title",))
    words = read_words()
    looks = [look_of(row["title"], row["brand"]) for row in shop.items.to_pylist()]
    kind = np.array([look.kind for look in looks])
    circle = np.array([words.brands[look.brand]["circle"] for look in looks])

    def alike(model: str, of: np.ndarray) -> float:
        vectors = embed_items(catalog, PictureVectors(model=model, folder=tmp_path / "pictures"))
        cosine = vectors @ vectors.T
        np.fill_diagonal(cosine, -1)
        return float((of[cosine.argmax(axis=1)] == of).mean())

    assert alike("edge-histogram", kind) > 0.5  # 1 in 84 by chance
    assert alike("color-histogram", circle) > 0.9  # 1 in 4 by chance


def test_other_items_are_refused(tmp_path):
    with pytest.raises(DataError, match="'flour from the bakery' is no item of the toy shop"):
        mini_world().write(tmp_path, pictures=True)
    items = pa.table({"item_id": ["a"], "title": ["Northfell folding spoon, gold, navy"], "brand": ["Northfell"]})
    with pytest.raises(DataError, match="is no item of the toy shop"):
        draw_pictures(items, tmp_path)


def test_missing_pillow_is_said(monkeypatch, shop, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.ImageDraw", raising=False)
    with pytest.raises(SettingsError, match=r"pip install 'lexirec\[images\]'"):
        draw_pictures(shop.items, tmp_path)
