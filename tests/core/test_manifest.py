import pytest

from lexirec.core import manifest
from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import Recipe, file_digest, files_of, read_manifest, stage_key, verify
from lexirec.core.store import Store


def test_a_recipe_has_the_key_of_what_it_is_made_from():
    recipe = Recipe("codes", 2, {"branching": 4}, {"vectors": "v"}, seed=1)
    assert recipe.key == stage_key("codes", 2, {"branching": 4}, {"vectors": "v"}, seed=1)
    assert len(recipe.key) == 64


def test_keys_refuse_what_json_cannot_hold():
    with pytest.raises(ValueError, match="JSON"):
        stage_key("codes", 1, {"x": float("nan")}, {})


def test_large_files_are_hashed_in_pieces_alike(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(bytes(range(256)) * 100)
    whole = file_digest(tmp_path / "x")
    monkeypatch.setattr(manifest, "_LARGE", 1)
    monkeypatch.setattr(manifest, "_CHUNK", 1000)
    assert file_digest(tmp_path / "x") == whole


def test_files_are_listed_in_order_with_their_paths(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/x", "a", "b/a"):
        (tmp_path / name).write_text(name)
    assert [name for name, _ in files_of(tmp_path)] == ["a", "b/a", "b/x"]


def test_a_file_of_equal_size_and_other_content_is_damage(tmp_path):
    folder = Store(tmp_path).ensure(Recipe("codes", 1, {}, {}), lambda out: (out / "x").write_bytes(b"one") and None)
    assert verify(folder) == read_manifest(folder)
    (folder / "x").write_bytes(b"two")
    with pytest.raises(ArtifactError, match="x is damaged"):
        verify(folder)
