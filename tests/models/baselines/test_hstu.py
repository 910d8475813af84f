import numpy as np
import pytest
import torch
from torch.nn import functional

from lexirec.data.sequences import Sequences
from lexirec.models.baselines.hstu import Hstu, HstuBlock, HstuSettings

ITEMS = 7


@pytest.fixture
def hstu():
    made = Hstu(HstuSettings(dimensions=8, max_history=5), device="cpu")
    made.network = made.build(ITEMS)
    made.shares = np.arange(ITEMS, dtype=np.float32) / 21
    for block in made.network.blocks:
        torch.nn.init.normal_(block.distance_bias)
    return made


def test_padding_may_stand_left_or_right_and_no_place_sees_the_future(hstu):
    hstu.network.eval()
    bare = hstu.network(torch.tensor([[3, 1, 4]]))[0]
    assert torch.allclose(hstu.network(torch.tensor([[3, 1, 4, -1, -1]]))[0, :3], bare, atol=1e-6)
    assert torch.allclose(hstu.network(torch.tensor([[-1, -1, 3, 1, 4]]))[0, 2:], bare, atol=1e-6)
    assert torch.allclose(hstu.network(torch.tensor([[3, 1, 5]]))[0, :2], bare[:2], atol=1e-6)


def test_a_unit_is_its_formula_place_by_place():
    block = HstuBlock(HstuSettings(dimensions=4, heads=2, max_history=3)).eval()
    torch.nn.init.normal_(block.distance_bias)
    hidden = torch.randn(1, 3, 4)
    seen = torch.ones(3, 3).tril().bool()
    gate, value, query, key = functional.silu(block.to_parts(block.norm(hidden)))[0].split(4, dim=-1)
    mixed = torch.zeros(3, 4)
    for head in range(2):
        own = slice(2 * head, 2 * head + 2)
        for i in range(3):
            for j in range(i + 1):
                strength = functional.silu(query[i, own] @ key[j, own] + block.distance_bias[head, i - j]) / 3
                mixed[i, own] += strength * value[j, own]
    expected = hidden[0] + block.from_mixed(block.mixed_norm(mixed) * gate)
    assert torch.allclose(block(hidden, seen[None])[0], expected, atol=1e-5)


def test_it_survives_the_disk(hstu, tmp_path):
    hstu.save(tmp_path)
    histories = Sequences.from_lists([[1, 2], [3], []])
    assert np.array_equal(Hstu.load(tmp_path, device="cpu").scores(histories), hstu.scores(histories))
