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
