import pytest
import torch
from torch.nn import functional

from lexirec.nn.cpu_kernels import look_up, shared_gradient

IDS = (torch.tensor([[1, 3], [3, 3]]), torch.tensor(0), torch.tensor([4, 1, 1]))


def gradient(table, look, through):
    weights = [torch.randn(*ids.shape, 5, generator=torch.Generator().manual_seed(ids.numel())) for ids in IDS]
    seen = through(table)
    loss = sum((look(seen, ids) * weight).sum() for ids, weight in zip(IDS, weights, strict=True))
    (loss + (table**2).sum()).backward()  # a dense use beside the lookups, as a tied output layer is
    return table.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_and_gradients_are_those_of_stock_lookups(dtype):
    table = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    for ids in IDS:
        assert torch.equal(look_up(table, ids), functional.embedding(ids, table))
    ours = gradient(table.clone().requires_grad_(), look_up, shared_gradient)
    stock = gradient(
        table.clone().requires_grad_(), lambda seen, ids: functional.embedding(ids, seen), lambda table: table
    )
    assert not ours.is_sparse
    torch.testing.assert_close(ours, stock)


def test_a_single_lookup_and_a_dense_use_of_what_was_collected():
    table = torch.randn(6, 5).requires_grad_()
    seen = shared_gradient(table)
    (look_up(seen, IDS[0]).sum() + (seen * 2).sum()).backward()
    counts = torch.bincount(IDS[0].flatten(), minlength=6)
    torch.testing.assert_close(table.grad, (counts + 2.0).unsqueeze(1).expand(-1, 5))


def test_a_table_that_does_not_learn_is_taken_as_it_is():
    table = torch.randn(6, 5)
    assert shared_gradient(table) is table
    learning = torch.randn(6, 5).requires_grad_()
    with torch.no_grad():
        assert shared_gradient(learning) is learning
        assert look_up(learning, IDS[0]).shape == (2, 2, 5)
