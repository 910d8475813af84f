import pytest
import torch
from torch import nn

from lexirec.core.errors import ArtifactError
from lexirec.training.weight_averaging import WeightAverage


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3), nn.LayerNorm(3))
    model.append(nn.Linear(3, 4, bias=False))
    model[3].weight = model[0].weight  # tied
    model[2].requires_grad_(False)
    return model


def test_it_moves_by_its_decay_once_warm_and_faster_before():
    model = network()
    first = model[0].weight.detach().clone()
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model[0].weight += 1
    average.move(1)  # (1 + 1) / (10 + 1)
    with average.in_place():
        torch.testing.assert_close(model[0].weight, first + 9 / 11)
    average.move(1000)
    with average.in_place():
        torch.testing.assert_close(model[0].weight, first + 9 / 11 + 0.1 * 2 / 11)


def test_the_model_has_it_meanwhile_only_tied_weights_too():
    model = network()
    average = WeightAverage(model, 0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for weight in model.parameters():
            weight += 1
    now = {name: value.clone() for name, value in model.state_dict().items()}
    with average.in_place():
        assert torch.equal(model[3].weight, before["0.weight"])
        assert torch.equal(model[2].weight, now["2.weight"])  # frozen
    assert all(torch.equal(value, now[name]) for name, value in model.state_dict().items())
    average.settle()
    assert torch.equal(model[0].weight, before["0.weight"])


def test_it_is_saved_and_loaded(tmp_path):
    model = network()
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model[0].weight += 1
    average.move(5)
    average.save(tmp_path)
    other = network()
    again = WeightAverage(other, 0.5)
    again.load(tmp_path)
    with average.in_place(), again.in_place():
        assert all(
            torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True) if a.requires_grad
        )


def test_what_is_not_its_own_is_refused(tmp_path):
    average = WeightAverage(network(), 0.5)
    with pytest.raises(ArtifactError, match="the averaged weights are missing"):
        average.load(tmp_path)
    WeightAverage(nn.Linear(2, 2), 0.5).save(tmp_path)
    with pytest.raises(ArtifactError, match="average of another model's weights"):
        average.load(tmp_path)


def test_small_moves_are_not_lost_in_low_precision():
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    with torch.no_grad():
        model.weight.fill_(1)
    average = WeightAverage(model, 0.999)
    with torch.no_grad():
        model.weight.fill_(2)
    for step in range(100_000, 100_200):
        average.move(step)  # a step's move, 0.001, is below the precision of bfloat16 at 1
    with average.in_place():
        assert model.weight.item() == pytest.approx(2 - 0.999**200, abs=0.01)
