from __future__ import annotations

import io
import shutil
import zipfile

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers import files
from lexirec.data.importers.base import Conversion
from lexirec.data.importers.files import find_file, in_utf8, optional_file, unzipped
from lexirec.data.readers.duckdb_source import Workspace
from tests.data.importers.reading import write


@pytest.fixture
def conversion(tmp_path):
    with Workspace() as work:
        yield Conversion(work, tmp_path / "out")


def archive(tmp_path, members, compression=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    write(tmp_path, {"x.zip": content.getvalue()})
    return tmp_path / "x.zip"


def test_one_file_none_or_several(tmp_path):
    write(tmp_path, {"a.json": "", "b.json": "", "c.txt": ""})
    assert find_file(tmp_path, "text", lambda name: name.endswith(".txt")) == tmp_path / "c.txt"
    assert optional_file(tmp_path, "table", lambda name: name.endswith(".csv")) is None
    with pytest.raises(DataError, match=r"several files could be the record: a\.json, b\.json; leave one"):
        optional_file(tmp_path, "record", lambda name: name.endswith(".json"))
    with pytest.raises(DataError, match=r"c\.txt: this is no folder; give the folder with text\."):
        find_file(tmp_path / "c.txt", "text", bool)


def test_only_wanted_files_are_unpacked(tmp_path, conversion):
    packed = archive(tmp_path, {"d/train/a.tsv": "1", "d/dev/a.tsv": "2", "__MACOSX/._a.tsv": "x", "d/b.tsv": "3"})
    dev, train = unzipped(conversion, packed, "a.tsv".__eq__)
    assert ((dev / "a.tsv").read_text(), (train / "a.tsv").read_text()) == ("2", "1")
    assert [path.name for path in (train.parent).rglob("*.tsv")].count("b.tsv") == 0


def test_archives_far_larger_than_they_say(tmp_path, conversion, monkeypatch):
    monkeypatch.setattr(files, "_FREELY", 2**20)
    packed = archive(tmp_path, {"a.tsv": b"0" * (3 * 2**20)})
    with pytest.raises(DataError, match=r"would unpack to 3,145,728, more than 100 times as many"):
        unzipped(conversion, packed, "a.tsv".__eq__)
    assert unzipped(conversion, packed, "b.tsv".__eq__) == []


def test_archives_larger_than_the_disk(tmp_path, conversion, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(DataError, match=r"unpacking needs 2 bytes in .*; set TMPDIR to a disk with that space"):
        unzipped(conversion, archive(tmp_path, {"a.tsv": "12"}), "a.tsv".__eq__)


def test_archives_that_are_cut(tmp_path, conversion):
    packed = archive(tmp_path, {"a.tsv": "1" * 1000}, zipfile.ZIP_STORED)
    content = packed.read_bytes().replace(b"1" * 1000, b"1" * 999 + b"2")
    packed.write_bytes(content)
    with pytest.raises(DataError, match="the archive cannot be opened"):
        unzipped(conversion, packed, "a.tsv".__eq__)


def test_old_encodings_become_utf8(tmp_path, conversion):
    write(tmp_path, {"new": "Café", "old": "Café “x”".encode("cp1252"), "latin": b"Caf\xe9 \x81\n"})
    assert in_utf8(conversion, tmp_path / "new") == tmp_path / "new"
    assert in_utf8(conversion, tmp_path / "old").read_text("utf-8") == "Café “x”"
    assert in_utf8(conversion, tmp_path / "latin").read_text("utf-8") == "Café \x81\n"
