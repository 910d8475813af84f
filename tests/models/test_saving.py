import numpy as np
import pytest
import torch
from torch import nn

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError
from lexirec.data.catalog import Catalog
from lexirec.models.saving import put_weights, read_parts, undamaged, write_manifest, write_parts
from lexirec.semantic_ids.identifiers.identifiers import Identifiers


class Few(Settings):
    size: int = 3


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,oak bowl\nb,pine box\n", encoding="utf-8")
    catalog = Catalog.read(tmp_path / "items.csv", text=["title"])
    folder, model = tmp_path / "saved", nn.Linear(3, 2)
    write_parts(folder, catalog, Identifiers(np.array([[0], [1]], dtype=np.int32), ("<x>", "<y>")), Few(size=5), model)
    write_manifest(folder, {"kind": "small"}, catalog)
    return folder, model


def test_what_was_written_is_read(saved):
    folder, model = saved
    found = read_parts(folder, Few)
    assert found.settings == Few(size=5)
    assert found.manifest["kind"] == "small"
    assert found.catalog.item_ids == ["a", "b"]
    assert found.identifiers.spelled(1) == ["<y>"]
    again = nn.Linear(3, 2).train()
    put_weights(again, found, folder)
    assert torch.equal(again.weight, model.weight)
    assert not again.training


def test_weights_of_another_network_are_refused(saved):
    folder, _ = saved
    with pytest.raises(ArtifactError, match=r"model\.safetensors: .*size mismatch.*; save it again"):
        put_weights(nn.Linear(4, 2), read_parts(folder, Few), folder)


@pytest.mark.parametrize("name", ["settings.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_damage_is_told_in_one_line(saved, name, content):
    folder, _ = saved
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"the saved recommender is damaged .*; save it again") as error:
        read_parts(folder, Few)
    assert "\n" not in str(error.value)


def test_without_a_manifest_nothing_is_there(saved):
    folder, _ = saved
    (folder / "recommender.json").unlink()
    with pytest.raises(ArtifactError, match="no saved recommender is here"):
        read_parts(folder, Few)


def test_other_mistakes_are_not_called_damage(tmp_path):
    with pytest.raises(AssertionError, match="mine"), undamaged(tmp_path):
        raise AssertionError("mine")


def test_settings_of_another_version_are_named_and_not_called_damage(saved):
    folder, _ = saved
    (folder / "settings.json").write_text('{"sise": 5}', encoding="utf-8")
    with pytest.raises(
        ArtifactError, match=r"setting 'sise' is from another version of lexirec: there is no setting 'sise'"
    ) as error:
        read_parts(folder, Few)
    assert "damaged" not in str(error.value)
