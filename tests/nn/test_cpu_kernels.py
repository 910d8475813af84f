import pytest
import torch
from torch import nn
from torch.nn import functional

from lexirec.nn import cpu_kernels
from lexirec.nn.cpu_kernels import PackedLinear, PackedLinears, can_pack, multiply, pack_blocks

needs_packing = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN for this CPU")


class Block(nn.Module):
    """Two layers worth packing, one of them in two places, and one too small."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512, bias=False))
        self.again = self.inner[2]
        self.small = nn.Linear(512, 8)

    def forward(self, inputs):
        return self.small(self.again(self.inner(inputs)))


@pytest.fixture
def block():
    torch.manual_seed(0)
    return Block().eval()


@needs_packing
@pytest.mark.parametrize("shape", [(3, 512), (2, 1, 5, 512), (0, 512)])
@torch.no_grad()
def test_packed_layers_give_the_same_and_go_again(block, shape):
    inputs = torch.randn(shape)
    plain, stock = block(inputs), block.inner[0]
    packed = PackedLinears(block)
    assert len(packed) == 3  # places, of two layers
    with packed.in_use():
        assert isinstance(block.inner[0], PackedLinear)
        assert block.again is block.inner[2]
        assert type(block.small) is nn.Linear
        torch.testing.assert_close(block(inputs), plain, rtol=1e-5, atol=1e-5)
    assert block.inner[0] is stock
    assert torch.equal(block(inputs), plain)


@needs_packing
@torch.no_grad()
def test_rows_in_any_order_of_memory_are_read(block):
    packed = PackedLinear(block.inner[0])
    inputs = torch.randn(512, 7).mT
    torch.testing.assert_close(packed(inputs), block.inner[0](inputs), rtol=1e-5, atol=1e-5)


@needs_packing
def test_with_gradients_the_stock_product_is_taken(block):
    with PackedLinears(block).in_use():
        block(torch.randn(2, 512)).sum().backward()
    assert block.inner[0].weight.grad.abs().sum() > 0


@needs_packing
def test_packed_weights_are_those_of_the_moment(block):
    inputs, packed = torch.randn(2, 512), PackedLinears(block)
    with torch.no_grad():
        before = block(inputs)
        block.inner[0].weight.mul_(2)
        after = block(inputs)
        with packed.in_use():
            torch.testing.assert_close(block(inputs), before, rtol=1e-5, atol=1e-5)
        with PackedLinears(block).in_use():
            torch.testing.assert_close(block(inputs), after, rtol=1e-5, atol=1e-5)


@needs_packing
def test_the_stock_layers_return_after_an_error(block):
    stock = block.inner[0]
    with pytest.raises(RuntimeError), PackedLinears(block).in_use():
        raise RuntimeError
    assert block.inner[0] is stock


@needs_packing
@torch.no_grad()
def test_tables_are_packed_in_blocks():
    table, queries = torch.randn(1000, 512), torch.randn(3, 512)
    blocks = pack_blocks(table, 384)
    assert len(blocks) == 3
    found = torch.cat([multiply(queries, block) for block in blocks], dim=1)
    torch.testing.assert_close(found, functional.linear(queries, table), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", ["type", "size", "torch"])
def test_what_cannot_be_packed_stays(block, monkeypatch, case):
    if case == "type":
        block.to(torch.bfloat16)
    elif case == "size":
        monkeypatch.setattr(cpu_kernels, "_MOST_BYTES", 1000)
    else:
        monkeypatch.setattr(cpu_kernels, "can_pack", lambda: False)
    assert len(PackedLinears(block)) == 0
    assert pack_blocks(block.inner[0].weight, 512) == ()
    with PackedLinears(block).in_use():
        assert type(block.inner[0]) is nn.Linear
