import os
from pathlib import Path

import pytest

from lexirec.core import digests
from lexirec.core.digests import Digests, RawInputs, file_digest, files_of
from lexirec.core.errors import ArtifactError


@pytest.fixture
def known(tmp_path, monkeypatch) -> Digests:
    monkeypatch.setattr(digests, "RACY_SECONDS", -1.0)
    return Digests(tmp_path / "store" / "digests.json")


def test_file_digest_is_the_sha256_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_folder_digest_depends_on_names_and_content(tmp_path):
    (tmp_path / "a").write_text("x")
    first = file_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = file_digest(tmp_path)
    (tmp_path / "b").write_text("y")
    assert len({first, second, file_digest(tmp_path)}) == 3


def test_digest_of_a_missing_file_is_a_users_error(tmp_path):
    with pytest.raises(ArtifactError, match=r"there is no file .*gone"):
        file_digest(tmp_path / "gone")


def test_digests_are_remembered_but_not_of_changed_files(known, tmp_path, monkeypatch):
    path = tmp_path / "data.csv"
    path.write_text("one")
    os.utime(path, (1, 1))
    first = known.of(path)
    monkeypatch.setattr(digests, "file_digest", lambda path: "hashed again")
    assert known.of(path) == first
    path.write_text("two")
    os.utime(path, (1, 1))
    assert known.of(path) == "hashed again"


def test_a_file_written_just_now_is_not_remembered(tmp_path):
    (tmp_path / "data.csv").write_text("one")
    Digests(tmp_path / "digests.json").of(tmp_path / "data.csv")
    assert not (tmp_path / "digests.json").exists()


def test_the_files_of_a_folder_are_remembered_and_its_digest_is_that_of_file_digest(known, tmp_path, monkeypatch):
    (tmp_path / "model" / "inner").mkdir(parents=True)
    (tmp_path / "model" / "weights").write_text("w")
    (tmp_path / "model" / "inner" / "words").write_text("x")
    first = known.of(tmp_path / "model")
    assert first == file_digest(tmp_path / "model")
    hashed = []
    monkeypatch.setattr(digests, "file_digest", lambda path: hashed.append(path) or "other")
    assert known.of(tmp_path / "model") == first
    (tmp_path / "model" / "weights").write_text("v")
    assert known.of(tmp_path / "model") != first
    assert [path.name for path in hashed] == ["weights"]


def test_many_files_are_remembered_with_one_reading_and_one_writing(known, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        path.write_text(path.name)
        os.utime(path, (1, 1))
    calls = []
    for name in ("read_json", "write_json"):
        original = getattr(digests, name)
        monkeypatch.setattr(
            digests, name, lambda *given, name=name, original=original: calls.append(name) or original(*given)
        )
    assert known.of_each(paths) == [file_digest(path) for path in paths]
    assert calls == ["read_json", "read_json", "write_json"]  # what others noted meanwhile is kept
    monkeypatch.setattr(digests, "file_digest", lambda path: "hashed again")
    assert "hashed again" not in known.of_each(paths)
    assert known.of_each([]) == []


def test_digests_of_an_interrupted_hashing_are_kept(known, tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    paths[0].write_text("one")
    with pytest.raises(ArtifactError, match=r"no file .*b\.png"):
        known.of_each(paths)
    assert str(paths[0]) in (tmp_path / "store" / "digests.json").read_text()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', '{"PATH": 3}', '{"PATH": {"stamp": 1}}', "\x00"])
def test_a_damaged_memory_is_no_memory(known, tmp_path, content):
    path = tmp_path / "data.csv"
    path.write_text("one")
    known.of(path)
    memory = tmp_path / "store" / "digests.json"
    memory.write_text(content.replace("PATH", str(path)))
    assert known.of(path) == file_digest(path)


def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(known, tmp_path, monkeypatch):
    path, hash_it = tmp_path / "data.csv", digests.file_digest
    path.write_text("one")
    changes = iter(["longer", "longer still"])

    def slow(given: Path) -> str:
        digest = hash_it(given)
        given.write_text(next(changes, given.read_text()))
        os.utime(given)
        return digest

    monkeypatch.setattr(digests, "file_digest", slow)
    with pytest.raises(ArtifactError, match=r"data\.csv changes while it is read; run again when it is complete"):
        known.of(path)
    monkeypatch.setattr(digests, "file_digest", hash_it)
    assert known.of(path) == file_digest(path)


def raw(known: Digests, *paths: Path) -> RawInputs:
    named = {path.name: path for path in paths}
    return RawInputs("data", named, {name: file_digest(path) for name, path in named.items()}, known)


def test_raw_inputs_must_be_what_they_were(known, tmp_path):
    items, folder = tmp_path / "items.csv", tmp_path / "backbone"
    items.write_text("one")
    folder.mkdir()
    (folder / "weights").write_text("w")
    inputs = raw(known, items, folder)
    inputs.check()
    os.utime(items, (5, 5))
    inputs.check()  # touched, not changed
    items.write_text("two")
    with pytest.raises(
        ArtifactError, match=r"^data: \S*items\.csv changed while it was being read, so nothing was stored"
    ):
        inputs.check()
    items.write_text("one")
    (folder / "more").write_text("m")
    with pytest.raises(ArtifactError, match=r"backbone changed while it was being read"):
        inputs.check()
    (folder / "more").unlink()
    inputs.check()
    items.unlink()
    with pytest.raises(ArtifactError, match=r"there is no file \S*items\.csv; nothing was stored"):
        inputs.check()


def test_progress_that_may_rest_on_other_content_is_discarded(known, tmp_path, caplog):
    items, record, progress = tmp_path / "items.csv", tmp_path / "raw.json", tmp_path / "progress"
    items.write_text("other")
    inputs = RawInputs("data", {"items": items}, {"items": "of the content before"}, known)
    inputs.begin(record, progress)
    progress.mkdir()
    (progress / "step").write_text("made of other")
    inputs.begin(record, progress)
    assert (progress / "step").exists(), "nothing was written between"
    items.write_text("again")
    inputs.begin(record, progress)
    assert not progress.exists()
    assert "its files were written since the interrupted attempt" in caplog.text


def test_large_files_are_hashed_in_pieces_alike(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(bytes(range(256)) * 100)
    whole = file_digest(tmp_path / "x")
    monkeypatch.setattr(digests, "_LARGE", 1)
    monkeypatch.setattr(digests, "_CHUNK", 1000)
    assert file_digest(tmp_path / "x") == whole


def test_files_are_listed_in_order_with_their_paths(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/x", "a", "b/a"):
        (tmp_path / name).write_text(name)
    assert [name for name, _ in files_of(tmp_path)] == ["a", "b/a", "b/x"]
