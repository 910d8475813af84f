import numpy as np
import pytest
import torch

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.sasrec import Attention, Block, LigrBlock, Sasrec, SasrecBaseline, SasrecSettings

ITEMS = 7


def model(**settings):
    made = Sasrec(SasrecSettings(dimensions=8, max_history=5, **settings), device="cpu")
    made.network = made.build(ITEMS)
    made.shares = np.arange(ITEMS, dtype=np.float32) / 21
    return made


@pytest.fixture(params=[("dot", "transformer"), ("cosine", "transformer"), ("cosine", "ligr")])
def sasrec(request):
    return model(output=request.param[0], block=request.param[1])


def test_padding_may_stand_left_or_right(sasrec):
    sasrec.network.eval()
    right = sasrec.network(torch.tensor([[3, 1, 4, -1, -1]]))[0, :3]
    left = sasrec.network(torch.tensor([[-1, -1, 3, 1, 4]]))[0, 2:]
    bare = sasrec.network(torch.tensor([[3, 1, 4]]))[0]
    assert torch.allclose(right, bare, atol=1e-6)
    assert torch.allclose(left, bare, atol=1e-6)


def test_no_place_sees_the_future(sasrec):
    sasrec.network.eval()
    one = sasrec.network(torch.tensor([[0, 1, 2, 3]]))
    other = sasrec.network(torch.tensor([[0, 1, 5, 6]]))
    assert torch.allclose(one[:, :2], other[:, :2], atol=1e-6)
    assert not torch.allclose(one[:, 2:], other[:, 2:], atol=1e-3)


def test_order_of_the_history_matters(sasrec):
    scores = sasrec.scores(Sequences.from_lists([[0, 1, 2], [1, 0, 2]]))
    assert not np.allclose(scores[0], scores[1], atol=1e-4)


def test_scores_do_not_depend_on_the_batch(sasrec):
    histories = Sequences.from_lists([[0, 1, 2], [4], [6, 5, 4, 3, 2, 1]])
    together = sasrec.scores(histories)
    for row in range(3):
        assert np.allclose(sasrec.scores(histories.take([row]))[0], together[row], atol=1e-5)


def test_only_the_newest_items_are_read(sasrec):
    scores = sasrec.scores(Sequences.from_lists([[6, 6, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]))
    assert np.allclose(scores[0], scores[1], atol=1e-6)


def test_heads_must_divide_dimensions():
    with pytest.raises(SettingsError, match="cannot be shared out evenly"):
        validate_settings({"dimensions": 9, "heads": 2}, SasrecSettings)


def test_a_ligr_block_gates_what_each_half_adds():
    settings = SasrecSettings(dimensions=4, heads=2, block="ligr")
    block, hidden = LigrBlock(settings).eval(), torch.randn(1, 3, 4)
    seen = torch.ones(1, 3, 3).tril().bool()
    attended = Attention.forward(block, block.attention_norm(hidden), seen)
    middle = hidden + torch.sigmoid(block.attention_gate(hidden)) * attended
    gate, value = block.inner.to_inner(block.inner_norm(middle)).chunk(2, dim=-1)
    inner = block.inner.from_inner(torch.nn.functional.silu(gate) * value)
    assert torch.allclose(block(hidden, seen), middle + torch.sigmoid(block.inner_gate(middle)) * inner, atol=1e-6)


def test_both_blocks_have_about_as_many_weights():
    sizes = [
        sum(weight.numel() for weight in block.inner.parameters())
        for block in (Block(SasrecSettings()), LigrBlock(SasrecSettings()))
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_a_sasrec_without_extras_is_the_bare_network():
    assert SasrecBaseline(layers=3).stored() == SasrecSettings(layers=3)
    extra = SasrecBaseline(with_neighbors=True, with_vectors=True)
    assert extra.stored() is extra
    assert extra.needed() == ("vectors", "neighbors")
