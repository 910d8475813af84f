from __future__ import annotations

import gzip

import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.readers import plain_text
from lexirec.data.readers.text_format import TextFormat

TABLE = "item_id,title\ni1,Grüße\ni2,Ärger\n"
TITLES = ["Grüße", "Ärger"]


def titles(path, **format):
    return Catalog.read(path, text=["title"], format=TextFormat(**format)).field("title")


@pytest.mark.parametrize(
    "name", ["x[12].csv", "a*.csv", "what?.csv", "[!a].csv", "{a,b}.csv", "back\\slash.csv", "d[1]/x.csv", "y=3/x.csv",
             "%20.csv", "it's.csv", "new\nline.csv", "http:/host/x.csv", "~/x.csv", "${HOME}.csv", "d*/[x]/?.csv"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_path_is_read_literally(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    for other in ("x1.csv", "ab.csv", "whats.csv", "b.csv", "a.csv", "d1/x.csv", "dd/x/y.csv"):
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other.replace("csv", kind)).write_text("item_id,title\nwrong,Wrong\n")
    path = tmp_path / name.replace(".csv", f".{kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        Catalog.read(_written(tmp_path / "plain.csv"), text=["title"]).save(tmp_path / "saved")
        (tmp_path / "saved/items.parquet").rename(path)
    elif kind == "jsonl":
        path.write_text('{"item_id": "i1", "title": "Grüße"}\n{"item_id": "i2", "title": "Ärger"}\n')
    else:
        path.write_text(TABLE)
    for given in (path, path.relative_to(tmp_path)):
        catalog = Catalog.read(given, text=["title"])
        assert catalog.field("title") == TITLES
        assert catalog.table.column_names == ["item_id", "title"]  # no column from a folder called y=3


def _written(path):
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.zst", "t.csv.gz", "t.tsv"])
def test_what_a_file_is_decides_its_content(tmp_path, name):
    table = TABLE.replace(",", "\t") if "tsv" in name else TABLE
    for content in (table.encode(), gzip.compress(table.encode())):
        (tmp_path / name).write_bytes(content)
        assert titles(tmp_path / name) == TITLES


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-32", "utf-8-sig", "utf-16-le", "cp437"])
def test_every_encoding_is_read_where_it_is_set_or_marked(tmp_path, encoding):
    (tmp_path / "t.csv").write_text(TABLE, encoding=encoding)
    assert titles(tmp_path / "t.csv", encoding=encoding) == TITLES
    if encoding in ("utf-16", "utf-32", "utf-8-sig"):  # a byte order mark says it
        assert titles(tmp_path / "t.csv") == TITLES


def test_a_wrong_encoding_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes(TABLE.encode("utf-8"))
    with pytest.raises(DataError, match="the text is not utf-16-le"):
        titles(tmp_path / "t.csv", encoding="utf-16-le")


def test_unpacking_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"item_id,title\n" + b"i,x\n" * 2**20))
    monkeypatch.setattr(plain_text, "_ALWAYS", 2**20)
    with pytest.raises(DataError, match=r"unpacks to more than .* over 250 times its size"):
        titles(tmp_path / "t.csv.gz")
    monkeypatch.setattr(plain_text, "_ALWAYS", 2**31)
    monkeypatch.setattr(plain_text, "_SPARE", 2**62)
    with pytest.raises(DataError, match="the scratch disk is full"):
        titles(tmp_path / "t.csv.gz")
