import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lexirec.core.errors import ArtifactError
from lexirec.training.checkpoints import is_whole, load_weights, save_weights


class Tied(nn.Module):
    """An embedding that is the output layer too, and a layer between."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding, self.between, self.out = nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 5, bias=False)
        self.out.weight = self.embedding.weight
        self.register_buffer("seen", torch.zeros(2))


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


def test_tied_weights_are_written_once_and_stay_tied(tmp_path):
    one, two = Tied(0), Tied(1)
    save_weights(one, tmp_path / "deep" / "w.safetensors")
    assert load_file(tmp_path / "deep" / "w.safetensors").keys() == {
        "embedding.weight",
        "between.weight",
        "between.bias",
        "seen",
    }
    load_weights(two, tmp_path / "deep" / "w.safetensors")
    assert same(one, two)
    assert two.out.weight is two.embedding.weight
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["w.safetensors"]


def test_frozen_weights_are_not_written(tmp_path):
    one, two = Tied(0), Tied(1)
    for model in (one, two):
        model.embedding.requires_grad_(False)
    save_weights(one, tmp_path / "w.safetensors")
    assert load_file(tmp_path / "w.safetensors").keys() == {"between.weight", "between.bias"}
    frozen = two.embedding.weight.clone()
    load_weights(two, tmp_path / "w.safetensors")
    assert torch.equal(two.between.weight, one.between.weight)
    assert torch.equal(two.embedding.weight, frozen)


def test_weights_of_another_training_are_refused(tmp_path):
    one, two = Tied(0), Tied(1)
    one.embedding.requires_grad_(False)
    save_weights(one, tmp_path / "w.safetensors")
    with pytest.raises(
        ArtifactError, match=r"the weights of another model \('.*' is in one of them only\); set one folder"
    ):
        load_weights(two, tmp_path / "w.safetensors")


def test_damaged_weights_are_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    assert not is_whole(path)
    save_weights(Tied(0), path)
    assert is_whole(path)
    content = path.read_bytes()
    changed = bytearray(content)
    changed[-1] ^= 1
    for damaged in (bytes(changed), content[:-1], content[:9], b"", content + b"\0"):
        path.write_bytes(damaged)
        assert not is_whole(path)
        with pytest.raises(ArtifactError, match="the weights are damaged; remove the run's folder to start again"):
            load_weights(Tied(1), path)


def test_weights_of_an_earlier_version_have_no_digest_and_are_read(tmp_path):
    save_file(
        {name: value.clone() for name, value in Tied(0).state_dict().items() if name != "out.weight"}, tmp_path / "w"
    )
    assert is_whole(tmp_path / "w")
    load_weights(Tied(1), tmp_path / "w")


def test_a_full_disk_leaves_the_weights_before(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(Tied(0), path)
    before = path.read_bytes()

    def full(tensors, place, metadata):
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lexirec.training.checkpoints.save_file", full)
    with pytest.raises(ArtifactError, match=r"w\.safetensors: the disk is full; free space and run the same command"):
        save_weights(Tied(1), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["w.safetensors"]
