import json

import pytest

from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import Recipe, read_manifest, stage_key, verify
from lexirec.core.store import Store


def test_a_recipe_has_the_key_of_what_it_is_made_from():
    recipe = Recipe("codes", 2, {"branching": 4}, {"vectors": "v"}, seed=1)
    assert recipe.key == stage_key("codes", 2, {"branching": 4}, {"vectors": "v"}, seed=1)
    assert len(recipe.key) == 64


def test_keys_refuse_what_json_cannot_hold():
    with pytest.raises(ValueError, match="JSON"):
        stage_key("codes", 1, {"x": float("nan")}, {})


def test_a_file_of_equal_size_and_other_content_is_damage(tmp_path):
    folder = Store(tmp_path).ensure(Recipe("codes", 1, {}, {}), lambda out: (out / "x").write_bytes(b"one") and None)
    assert verify(folder) == read_manifest(folder)
    (folder / "x").write_bytes(b"two")
    with pytest.raises(ArtifactError, match="x is damaged"):
        verify(folder)


@pytest.fixture
def folder(tmp_path):
    def fill(out):
        (out / "inner").mkdir()
        (out / "inner" / "x").write_text("one")

    return Store(tmp_path).ensure(Recipe("codes", 1, {"levels": 3, "share": 0.1}, {"vectors": "v"}, seed=1), fill)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"levels": 4, "share": 0.1}},
        {"settings": {"levels": 3, "share": 0.1, "more": None}},
        {"inputs": {"vectors": "w"}},
        {"inputs": {}},
        {"stage": "vectors"},
        {"version": 2},
        {"seed": None},
        {"key": "0" * 64},
        {"settings": {"levels": float("nan")}},
    ],
)
def test_a_manifest_gives_the_key_that_its_artifact_is_stored_under(folder, change):
    verify(folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged: its stage, settings or inputs are not those"):
        verify(folder)


def test_an_artifact_in_anothers_place_is_noticed(folder):
    moved = folder.rename(folder.with_name("f" * 64))
    with pytest.raises(ArtifactError, match="are not those of the folder's name"):
        verify(moved)


def test_a_manifest_of_another_version_of_lexirec_is_called_that(folder):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "signature": "x"}))
    with pytest.raises(
        ArtifactError, match=r"written by another version of lexirec \(this one does not know 'format'\)"
    ):
        read_manifest(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"stage": "codes"}', b'"codes"', b'{"files": 3}', b"[" * 100_000],
)
def test_a_damaged_manifest_is_one_line(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(
        ArtifactError, match=r"manifest\.json is damaged; remove the folder .* and run the stage again$"
    ):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "inner/../../../x"])
def test_a_manifest_lists_files_of_its_folder_only(folder, name):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["files"][name] = content["files"]["inner/x"]
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"is no file of the artifact"):
        verify(folder)


def test_links_are_followed_where_they_lead_to_the_content_and_else_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    kept = (folder / "inner" / "x").rename(tmp_path / "elsewhere" / "x")
    (folder / "inner" / "x").symlink_to(kept)
    verify(folder)
    (folder / "inner" / "x").unlink()
    (folder / "inner").rmdir()
    (folder / "inner").symlink_to(tmp_path / "elsewhere")
    verify(folder)
    kept.write_text("two")
    with pytest.raises(ArtifactError, match=r"inner/x is damaged"):
        verify(folder)
    kept.write_text("one")
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(ArtifactError, match=r"nowhere does not belong to the artifact"):
        verify(folder)
    (folder / "nowhere").unlink()
    (folder / "folder").symlink_to(tmp_path)
    with pytest.raises(ArtifactError, match=r"folder does not belong to the artifact"):
        verify(folder)
