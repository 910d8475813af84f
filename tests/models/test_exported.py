import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lexirec.core.errors import ArtifactError
from lexirec.models.exported import EXPORT, check_export, read_export, whole_folder, write_export


def export(target: Path, text: str = "one", *, force: bool = False) -> None:
    with whole_folder(target, force=force) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file.json").write_text(text)
        (folder / "README.md").write_text("a card")
        write_export(folder, "hub", "small", "model")


def test_a_folder_appears_whole_with_the_digests_of_its_files(tmp_path):
    export(tmp_path / "made")
    manifest = check_export(tmp_path / "made", "hub")
    assert list(manifest.files) == ["inner/file.json"]
    assert (manifest.name, manifest.recommender) == ("small", "model")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_files_may_be_read_by_those_who_may_read_the_folder(tmp_path):
    with whole_folder(tmp_path / "made") as folder:
        save_file({"one": np.zeros(1)}, folder / "own.safetensors")
        (folder / "own.safetensors").chmod(0o600)
    mode = (tmp_path / "made").stat().st_mode
    assert (tmp_path / "made" / "own.safetensors").stat().st_mode & 0o777 == mode & 0o666


def test_nothing_stays_of_a_folder_that_failed(tmp_path):
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "made") as folder:
        (folder / "file").rename(folder / "half" / "file")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_unless_it_is_an_export_and_force_is_given(tmp_path):
    target = tmp_path / "made"
    export(target)
    with pytest.raises(ArtifactError, match="is not empty; choose another, or --force"):
        export(target, "two")
    export(target, "two", force=True)
    assert (target / "inner" / "file.json").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("cat")
    with pytest.raises(ArtifactError, match=r"holds no export .* so it stays"):
        export(other, force=True)
    assert (other / "cat.jpg").read_text() == "cat"
    with pytest.raises(ArtifactError, match="is a file"):
        export(other / "cat.jpg", force=True)


def test_a_replacement_that_fails_leaves_the_export_before(tmp_path):
    target = tmp_path / "made"
    export(target)
    with pytest.raises(RuntimeError), whole_folder(target, force=True):
        raise RuntimeError
    check_export(target)


def test_what_killed_processes_left_goes_or_comes_back(tmp_path):
    gone = 2**22 + 1  # no process has this number
    (tmp_path / f".made.{gone}.partial").mkdir()
    export(tmp_path / f".made.{gone}.old", "before")
    (tmp_path / f".made.{os.getpid()}x.partial").mkdir()
    with pytest.raises(ArtifactError, match="not empty"), whole_folder(tmp_path / "made"):
        raise AssertionError("the folder that was there came back, so it is not free")
    assert not (tmp_path / f".made.{gone}.partial").exists()
    assert (tmp_path / "made" / "inner" / "file.json").read_text() == "before"


def test_damage_is_found(tmp_path):
    target = tmp_path / "made"
    export(target)
    file = target / "inner" / "file.json"
    file.write_text("oNe")
    with pytest.raises(ArtifactError, match=r"file\.json is damaged: its content is not that of lexirec\.json"):
        check_export(target)
    file.unlink()
    with pytest.raises(ArtifactError, match=r"file\.json is missing"):
        check_export(target)


def test_people_may_edit_the_card_and_add_texts_but_nothing_that_is_read(tmp_path):
    target = tmp_path / "made"
    export(target)
    (target / "README.md").write_text("another card")
    (target / "LICENSE").write_text("ours")
    (target / ".gitattributes").write_text("")
    check_export(target)
    (target / "semantic_ids.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"semantic_ids\.npy does not belong"):
        check_export(target)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2 of exported folders is unknown; this version of lexirec reads format 1; update"),
        ({"files": {"../x": {"sha256": "", "bytes": 0}}}, r"'\.\./x' is no file of the folder"),
        ({"files": 3}, "is damaged"),
        ({"extra": 3}, "is damaged"),
    ],
)
def test_manifests_of_other_kinds_are_one_line(tmp_path, change, said):
    export(tmp_path / "made")
    file = tmp_path / "made" / EXPORT
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtifactError, match=said) as error:
        read_export(tmp_path / "made")
    assert "\n" not in str(error.value)


def test_no_manifest_and_another_kind_are_one_line(tmp_path):
    with pytest.raises(ArtifactError, match="is no exported folder"):
        read_export(tmp_path)
    (tmp_path / EXPORT).write_text("{")
    with pytest.raises(ArtifactError, match="is damaged"):
        read_export(tmp_path)
    export(tmp_path / "made")
    with pytest.raises(ArtifactError, match="was exported with --format hub; here one of --format engine is needed"):
        check_export(tmp_path / "made", "engine")
