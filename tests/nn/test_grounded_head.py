import pytest
import torch

from lexirec.nn.grounded_head import _among
from tests.worlds.ensemble import ITEMS, fusion


@pytest.fixture(scope="module")
def model():
    return fusion(head="grounded", pooling="mass", user_prompt="grounded", item_prompts=False)


def one_row(model, target: int):
    """Return the arguments of a loss for one target: tables, hidden states, path, and a history of one item."""
    path_RS = model.trie.ancestors()[[target]]
    path_RS = path_RS[:, : model.head.steps(path_RS)]
    hidden_RSD = torch.randn((*path_RS.shape, 16), generator=torch.Generator().manual_seed(target))
    return model.head.rows(), hidden_RSD, path_RS, torch.tensor([[3]])


@pytest.mark.parametrize("target", [0, 7, ITEMS - 1])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@torch.no_grad()
def test_soft_targets_take_their_share_of_the_loss_and_leave_the_rest_to_the_path(model, target, share):
    rows, hidden, path, seen = one_row(model, target)
    plain = model.head.loss(rows, hidden, path, seen)
    soft = share * torch.rand((1, ITEMS), generator=torch.Generator().manual_seed(1)).softmax(1)
    cross_entropy = -(soft * model.head.item_logp(rows, hidden[:, 0], seen)).sum()
    distilled = model.head.loss(rows, hidden, path, seen, soft_targets_RI=soft)
    torch.testing.assert_close(distilled, (1 - share) * plain + cross_entropy)
    assert cross_entropy == 0 or distilled != plain


@torch.no_grad()
def test_the_first_step_of_a_path_costs_the_mass_of_its_cell(model):
    rows, hidden, path, seen = one_row(model, 5)
    below = model.trie.order[model.trie.first[path[0, 0]] : model.trie.last[path[0, 0]]]
    mass = model.head.item_logp(rows, hidden[:, 0], seen)[0, below].logsumexp(0)
    torch.testing.assert_close(model.head.loss(rows, hidden[:, :1], path[:, :1], seen), -mass)


def test_the_loss_of_longer_paths_is_computed_in_bfloat16_too(model):
    rows, hidden, path, seen = one_row(model, 5)
    assert path.shape[1] > 1
    expected = model.head.loss(rows, hidden, path, seen)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.head.loss(rows, hidden, path, seen)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("looked_up", [3, 40])
def test_seen_items_are_found_by_table_and_by_search(looked_up):
    draw = torch.Generator().manual_seed(0)
    items = torch.randint(0, 20, (4, looked_up), generator=draw)
    seen = torch.tensor([[3, 19, 0, -1], [7, 7, -1, -1], [-1, -1, -1, -1], [0, 1, 2, 3]])
    expected = (items[:, :, None] == seen[:, None]).any(2)
    assert torch.equal(_among(items, seen, 20), expected)
