import json

import pytest

from lexirec.core.errors import ArtifactError
from lexirec.models.saving import MANIFEST, load_catalog, read_manifest, write_manifest
from lexirec.testing import tiny_catalog


def test_a_manifest_names_kind_and_catalogue(tmp_path):
    catalog = tiny_catalog(5)
    catalog.save(tmp_path / "catalog")
    write_manifest(tmp_path, {"kind": "mine", "extra": 3}, catalog)
    manifest = read_manifest(tmp_path)
    assert manifest == {"format": 1, "kind": "mine", "extra": 3, "items": 5, "catalog": catalog.digest}
    assert load_catalog(tmp_path, manifest).item_ids == catalog.item_ids


def test_a_missing_or_damaged_manifest_is_one_line(tmp_path):
    with pytest.raises(ArtifactError, match=rf"no saved recommender is here \({MANIFEST} is missing\)"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text('{"kind": ', encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"{MANIFEST}: damaged \(.*\); save the recommender again") as refusal:
        read_manifest(tmp_path)
    assert "\n" not in str(refusal.value)


def test_another_catalogue_is_refused(tmp_path):
    tiny_catalog(5).save(tmp_path / "catalog")
    write_manifest(tmp_path, {"kind": "mine"}, tiny_catalog(6))
    with pytest.raises(ArtifactError, match=r"\(5 items\), but the recommender was saved with .* \(6 items\)"):
        load_catalog(tmp_path, read_manifest(tmp_path))
    assert json.loads((tmp_path / MANIFEST).read_text())["items"] == 6


def test_a_newer_format_is_refused_by_name_and_folders_without_one_are_read(tmp_path):
    catalog = tiny_catalog(5)
    write_manifest(tmp_path, {"kind": "small"}, catalog)
    manifest = read_manifest(tmp_path)
    assert manifest["format"] == 1
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "format": 2}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"format 2 of saved recommenders .* reads format 1; update lexirec"):
        read_manifest(tmp_path)
    del manifest["format"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert read_manifest(tmp_path)["kind"] == "small"
