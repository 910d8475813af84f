import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lexirec.core.errors import ArtifactError
from lexirec.training.checkpoints import load_weights, save_weights


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
