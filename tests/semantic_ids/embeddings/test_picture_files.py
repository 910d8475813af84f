import io
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.embeddings import picture_files
from lexirec.semantic_ids.embeddings.picture_files import (
    UnusablePictureError,
    check_pillow,
    decode,
    picture_names,
    picture_paths,
    read_content,
    why_not,
)


def catalog(values) -> Catalog:
    ids = [f"i{number}" for number in range(len(values))]
    return Catalog(pa.table({"item_id": ids, "title": ids, "picture": values}), ("title",))


def content(picture: Image.Image, format="PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def corner(picture: Image.Image) -> tuple[int, int, int]:
    return picture.getpixel((0, 0))


def test_of_a_list_the_first_name_counts_and_blanks_are_none():
    assert picture_names(catalog([["a.png", "b.png"], [], None, [None, "c.png"]]), "picture") == [
        "a.png",
        "",
        "",
        "c.png",
    ]
    assert picture_names(catalog(["a.png", None, " ", "d e.png"]), "picture") == ["a.png", "", "", "d e.png"]


def test_an_unknown_column_is_named():
    with pytest.raises(DataError, match=r"no such column; it has item_id, title, picture\. Did you mean 'picture'"):
        picture_names(catalog(["a.png"]), "pictures")


@pytest.mark.parametrize(
    "address",
    ["https://shop.example/a.png", "//cdn.example/a.png", "s3://bucket/a.png", "data:image/png;base64,AA", "FILE:///a"],
)
def test_addresses_are_refused(address):
    with pytest.raises(
        DataError, match=r"addresses for 1 of 2 items, such as item 'i1' \(.*\); download the pictures first"
    ):
        picture_names(catalog(["a.png", address]), "picture")


def test_relative_paths_need_a_folder(tmp_path):
    absolute = str(tmp_path / "a.png")
    assert picture_paths([absolute, ""], None) == [tmp_path / "a.png", None]
    assert picture_paths(["b/c.png", absolute], tmp_path) == [tmp_path / "b" / "c.png", tmp_path / "a.png"]
    with pytest.raises(SettingsError, match=r"'b\.png' is relative; give `folder`"):
        picture_paths(["b.png"], None)


def test_why_a_file_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"12345")
    assert why_not(tmp_path / "a.png") == ""
    assert why_not(None) == "no file is named"
    assert why_not(tmp_path / "b.png") == "there is no such file"
    assert why_not(tmp_path) == "this is no file"
    assert "cannot be read" in why_not(tmp_path / ("x" * 5000))
    assert "cannot be read" in why_not(tmp_path / "a\0b")
    assert "cannot be read" in why_not(tmp_path / "a.png" / "b.png")
    monkeypatch.setattr(picture_files, "_MOST_BYTES", 4)
    assert "larger than" in why_not(tmp_path / "a.png")
    with pytest.raises(UnusablePictureError, match="larger than"):
        read_content(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("picture", "format", "expected"),
    [
        (Image.new("RGB", (4, 4), (200, 10, 30)), "PNG", (200, 10, 30)),
        (Image.new("L", (4, 4), 77), "PNG", (77, 77, 77)),
        (Image.new("1", (4, 4), 1), "PNG", (255, 255, 255)),
        (Image.new("P", (4, 4), 3), "GIF", None),
        (Image.new("RGB", (4, 4), (200, 10, 30)).quantize(4), "PNG", (200, 10, 30)),
        (Image.new("RGBA", (4, 4), (200, 10, 30, 0)), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 127)), "WEBP", (128, 128, 128)),
        (Image.new("LA", (4, 4), (0, 0)), "PNG", (255, 255, 255)),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (Image.fromarray(np.full((4, 4), 0x8080, np.uint16)), "PNG", (128, 128, 128)),
        (Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF", (127, 127, 127)),
    ],
    ids=lambda value: getattr(value, "mode", str(value)),
)
def test_every_mode_becomes_rgb(picture, format, expected):
    made = decode(content(picture, format))
    assert (made.mode, made.size) == ("RGB", (4, 4))
    if expected is not None:
        assert corner(made) == pytest.approx(expected, abs=2)


def test_a_palette_with_a_transparent_colour_lies_on_white():
    picture = Image.new("RGB", (4, 4), (200, 10, 30)).quantize(4)
    index = picture.getpixel((0, 0))
    assert corner(decode(content(picture, transparency=index))) == (255, 255, 255)


def test_pictures_are_turned_upright():
    picture = Image.new("RGB", (6, 3), (250, 250, 250))
    picture.paste((0, 0, 0), (0, 0, 3, 3))  # the left half is black
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    made = decode(content(picture, "JPEG", exif=exif, quality=100))
    assert made.size == (3, 6)
    assert max(corner(made)) < 40
    assert min(made.getpixel((0, 5))) > 200


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"", r"no picture \(formats: .*JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", r"no picture \(formats: .*JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"no picture \(formats: .*JPEG"),
        (content(Image.effect_noise((64, 64), 90))[:900], "broken"),
        (content(Image.effect_noise((64, 64), 90), "JPEG")[:900], "broken"),
        (content(Image.new("RGB", (9, 9)))[:20], "no picture|broken"),
    ],
)
def test_broken_and_foreign_files_are_told_from_pictures(damaged, reason):
    with pytest.raises(UnusablePictureError, match=reason):
        decode(damaged)


def bomb(side: int) -> bytes:
    """A PNG whose header promises side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_pictures_beyond_pillows_limit_are_not_decoded(side):
    with pytest.raises(UnusablePictureError, match="more than 89,478,485 pixels"):
        decode(bomb(side))


def test_missing_pillow_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    monkeypatch.delitem(__import__("sys").modules, "PIL.Image", raising=False)
    with pytest.raises(SettingsError, match=r"pip install 'lexirec\[images\]'"):
        check_pillow()
