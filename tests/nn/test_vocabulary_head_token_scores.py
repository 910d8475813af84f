import pytest
import torch

from lexirec.nn import vocabulary_head
from lexirec.nn.vocabulary_head import token_log_probabilities


@pytest.mark.parametrize("block", [4, 10, 1000])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_they_are_those_of_a_softmax_over_all_tokens(monkeypatch, block, kind):
    monkeypatch.setattr(vocabulary_head, "_BLOCK", block)
    torch.manual_seed(0)
    queries, table = torch.randn(2, 3, 5, dtype=kind) * 4, torch.randn(30, 5, dtype=kind)
    tokens = torch.randint(0, 30, (2, 3, 7))
    expected = (queries @ table.mT).to(torch.promote_types(kind, torch.float32)).log_softmax(-1).gather(-1, tokens)
    found = token_log_probabilities(queries, table, tokens)
    assert found.dtype == expected.dtype
    assert torch.allclose(found, expected, atol=1e-5)
